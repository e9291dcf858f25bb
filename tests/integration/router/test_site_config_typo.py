"""A typing error in the site config of the operator's machine blinds nobody (field case 44)."""

import stat
from dataclasses import dataclass
from pathlib import Path

import pytest

from hostmanager.client.site_copy import copy_path
from tests.integration.router.cli_site import CliSite, Done, make_cli_site
from tests.support.sites import instance
from tests.support.waiting import wait_for

cli_site = pytest.fixture(make_cli_site)


@dataclass
class Operator:
    """Somebody with a site config of their own, which has a typing error now."""

    cli_site: CliSite
    file: Path

    def run(self, command: str, *arguments: str) -> Done:
        return self.cli_site.run(command, "--site-file", str(self.file), *arguments)


@pytest.fixture
def operator(cli_site, tmp_path, monkeypatch):
    """An operator on another machine, whose copy of the file was read once; the agent is up."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    cli_site.write(daq1=[instance("a")])
    cli_site.start("daq1")
    wait_for(lambda: cli_site.states() == {"a": "up"}, 20, "a to be up", cli_site.states)
    cli_site.wait_minding("a")
    text = cli_site.site.file.read_text()
    own = Operator(cli_site, tmp_path / "own.yaml")
    own.file.write_text(text)
    assert own.run("status").code == 0
    own.file.write_text(text + "\n  oops: [\n")
    return own


def test_status_up_and_down_use_the_last_copy_and_say_so(operator):
    result = operator.run("status")
    assert result.code == 0
    assert "all OK" in result.out
    assert str(operator.file) in result.err
    assert (
        "The last copy that could be used is shown instead; it was read here 1 min ago."
        in result.err
    )
    down = operator.run("down", "a")
    assert (down.code, "The last copy" in down.err) == (0, True)
    assert operator.run("up", "a").code == 0
    assert "The last copy" in operator.run("history", "a").err


@pytest.mark.parametrize(
    "command", [["reload", "--yes"], ["diff"], ["up", "--as-configured", "--yes"]]
)
def test_what_goes_by_the_content_of_the_file_refuses(operator, command):
    result = operator.run(*command)
    assert result.code == 2
    assert "The last copy" not in result.err
    assert "a" in operator.cli_site.states()


def test_the_copy_is_the_users_own(operator, tmp_path):
    copy = copy_path(operator.file, {"XDG_CACHE_HOME": str(tmp_path / "cache")})
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert stat.S_IMODE(copy.parent.stat().st_mode) == 0o700


def test_without_a_copy_it_is_refused_as_before(operator, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "empty"))
    result = operator.run("status")
    assert result.code == 2
    assert "older copy" in result.err
