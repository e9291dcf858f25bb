"""Whatever is in the file: `check` tells it, and misses nothing that a manager would."""

import argparse
import tempfile
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.siteconfig.broken_files import (
    GOOD_DATA,
    NODES,
    ONE_BYTE_CHANGED,
    ONE_NODE_REPLACED,
    dump,
)

from hostmanager.cli.check import render as check_show
from hostmanager.cli.check.agents import InstalledPlugins
from hostmanager.cli.check.report import Category, CheckReport
from hostmanager.cli.check.runner import run_checks
from hostmanager.siteconfig.checks.full_check import check_site
from hostmanager.siteconfig.diagnostics import SiteFileError
from hostmanager.siteconfig.plugins.argument_probe import ArgumentVerdict
from hostmanager.siteconfig.plugins.installed_classes import InstalledClasses
from hostmanager.siteconfig.site_file import load_site_file

pytestmark = pytest.mark.exhaustive

ARGS = argparse.Namespace(
    docker_compose=None, docker_compose_bin=None, offline=True, elsewhere=False
)


class NoPlugins(InstalledPlugins):
    """Knows a class, whose parser takes nothing, without looking for any."""

    def __init__(self) -> None:
        pass

    @property
    def classes(self):
        return InstalledClasses({"FakeDataAgent": "x"})

    def probe_arguments(self, cases):
        return {
            name: ArgumentVerdict(("unrecognized arguments: --rate 4.5",) * len(lists))
            for name, lists in cases.items()
        }


def checked(content):
    """Check it, and compare with what the manager of host `daq` makes of it."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "site.yaml"
        path.write_bytes(content)
        report = CheckReport(str(path))
        try:
            whole = check_site(path)
            report.extend(Category.FILE, whole.diagnostics)
            run_checks(whole, NoPlugins(), "daq" if "daq" in whole.hosts else None, ARGS, report)
        except SiteFileError as error:
            report.extend(Category.FILE, [(None, problem) for problem in error.diagnostics])
        report.sort()
        try:
            errors = load_site_file(path, "daq").errors
        except SiteFileError as error:
            errors = [problem for problem in error.diagnostics if problem.is_error]
        positions = {
            (result.diagnostic.line, result.diagnostic.column) for result in report.results
        }
        # A host that is not in the file is nobody's fault.
        missed = [e for e in errors if "has no block for" not in e.message]
        assert all((error.line, error.column) in positions for error in missed)
        for result in report.results:
            assert "\n" not in check_show.message_text(result)
            assert result.diagnostic.line is None or result.diagnostic.line >= 1
            check_show.message_text(result).encode()
        check_show.report_as_json(report)
        return report


@given(ONE_NODE_REPLACED)
def test_any_node_at_each_position(content):
    checked(content)


@given(ONE_BYTE_CHANGED)
def test_a_good_file_with_one_byte_changed(content):
    checked(content)


@given(st.binary())
def test_any_bytes(content):
    assert checked(content).errors


@given(st.dictionaries(st.text(max_size=12), NODES, max_size=5), st.sampled_from(["hub", "daq"]))
def test_any_further_keys(more, where):
    data = yaml.safe_load(dump(GOOD_DATA))
    target = data["hub"] if where == "hub" else data["hosts"]["daq"]
    for key, value in more.items():
        target.setdefault(key, value)
    report = checked(dump(data))
    assert [
        f for f in report.results if f.diagnostic.is_error and f.category is Category.FILE
    ] == []
