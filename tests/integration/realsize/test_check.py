"""`hostmanager check` of a host of real size says what is wrong with it, and nothing else."""

import re

import pytest

from tests.integration.realsize import hosts
from tests.integration.realsize.environment import SITE

MISTAKES = {"ds378", "Falcon", "hwp-supervisor", "hwp-supervisor-2", "LSA2833", "pfeiffer"}
MISSING = {
    *("soaculib", "casperfpga", "holog_daq", "picosdk", "numexpr", "xy_agent", "so3g"),
    *("pfeiffer_vacuum_protocol", "matplotlib", "cv2", "epics", "MC2000B_COMMAND_LIB", "gclib"),
}
"""Libraries that these agents need, and that socs does not bring by itself."""


@pytest.fixture(scope="module")
def diagnostics() -> list[dict]:
    """What is found."""
    return hosts.check(SITE)["files"][0]["problems"]


def missing(finding: dict) -> str | None:
    named = re.search(r"No module named '([\w.]+)'", finding["message"])
    return named[1] if named else None


def test_the_mistakes_of_the_documentation_are_found_and_no_others(diagnostics):
    wrong = [f for f in diagnostics if missing(f) is None]
    assert {f["instance_id"] for f in wrong} == MISTAKES
    assert len(wrong) == len(MISTAKES)


def test_each_library_that_is_missing_is_named_once(diagnostics):
    libraries = [library for f in diagnostics if (library := missing(f)) is not None]
    assert sorted(libraries) == sorted(MISSING)
