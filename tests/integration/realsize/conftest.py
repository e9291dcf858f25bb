"""These take minutes: they run if ``HOSTMANAGER_REALSIZE`` is set, as by ``make realsize``."""

import os

import pytest

from tests.integration.realsize import hosts


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/integration/realsize/" in item.path.as_posix():
            item.add_marker("realsize")
            item.add_marker(pytest.mark.timeout(hosts.LIMIT + 300))


@pytest.fixture(scope="session", autouse=True)
def possible() -> None:
    """Whether there is to be, and can be, such a host here."""
    if not os.environ.get("HOSTMANAGER_REALSIZE"):
        pytest.skip("takes ten minutes, and installs socs: `make realsize` runs it")
    why = hosts.obstacle()
    if why is not None:
        pytest.skip(why)
