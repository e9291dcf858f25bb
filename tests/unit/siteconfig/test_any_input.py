"""Whatever is in the file: an answer or a `SiteFileError`, and each entry for itself."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ocs.site_config import SiteConfig

from hostmanager.siteconfig.diagnostics import SiteFileError
from hostmanager.siteconfig.entry import MANAGE_ALIASES, MANAGE_VALUES
from hostmanager.siteconfig.site_file import SiteFile, load_site_file
from tests.unit.siteconfig.broken_files import (
    GOOD_DATA,
    NODES,
    ONE_BYTE_CHANGED,
    ONE_NODE_REPLACED,
    dump,
)
from tests.unit.siteconfig.conftest import GOOD

pytestmark = pytest.mark.exhaustive


def load_bytes(content: bytes) -> SiteFile | None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "site.yaml"
        path.write_bytes(content)
        try:
            site = load_site_file(path, "daq")
        except SiteFileError as error:
            assert any(problem.is_error for problem in error.diagnostics)
            assert str(error)
            str(error).encode()
            return None
    SiteConfig.from_dict(site.data)
    site.summary()[1].encode()
    assert all(spec.fingerprint for spec in site.specs)
    return site


@given(st.binary())
def test_any_bytes(content):
    load_bytes(content)


@given(st.text(alphabet="-:?[]{},&*!|>'\"%@`#\n\t ab0~<=.", max_size=60))
def test_any_text_of_yaml_signs(text):
    load_bytes(text.encode())
    load_bytes((GOOD + text).encode())


@given(ONE_BYTE_CHANGED)
def test_a_good_file_with_one_byte_changed(content):
    load_bytes(content)


@given(ONE_NODE_REPLACED)
def test_any_node_at_each_position(content):
    load_bytes(content)


GOOD_ENTRY = st.fixed_dictionaries(
    {"agent-class": st.sampled_from(["A", "HostManager"])},
    optional={
        "arguments": st.lists(st.sampled_from(["-x", 1, 2.5, True, ["y", ["z"]]])),
        "manage": st.sampled_from([True, False, None, *MANAGE_VALUES, *MANAGE_ALIASES]),
        "other": NODES,
    },
)
BAD_ENTRY = st.one_of(
    st.just({}),
    st.fixed_dictionaries({"agent-class": st.sampled_from([None, 5, ""])}),
    st.fixed_dictionaries({"agent-class": st.just("A"), "manage": st.sampled_from(["x", 5, []])}),
    st.fixed_dictionaries({"agent-class": st.just("A"), "arguments": st.sampled_from([None, {}])}),
)


@given(st.lists(st.tuples(st.booleans(), GOOD_ENTRY, BAD_ENTRY), max_size=6))
def test_good_and_bad_entries_do_not_touch_each_other(drawn):
    entries, good, bad = [], [], set()
    for number, (is_good, good_entry, bad_entry) in enumerate(drawn):
        name = f"id{number}"
        entry = good_entry if is_good else bad_entry
        entries.append({"instance-id": name, **entry})
        managed = entry.get("manage") not in (False, "no", "ignore")
        if not is_good:
            bad.add(name)
        elif managed and entry["agent-class"] != "HostManager":
            good.append(name)
    data = {**GOOD_DATA, "hosts": {"daq": {"agent-instances": entries}}}
    site = load_bytes(dump(data))
    assert [spec.instance_id for spec in site.specs] == good
    assert site.broken_ids == bad
    assert {problem.instance_id for problem in site.errors} == bad
