"""Fixtures for tests of one manager: short stops, and a client that is at hand."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from ocs.ocs_client import OCSClient

from tests.integration.router.steps import Program
from tests.support.clients import client
from tests.support.managers import Manager
from tests.support.sites import Site

SHORT = ("--stop-timeout", "1")
"""Agents that ignore SIGINT get SIGTERM after this second, and SIGKILL 5 s later."""

PATIENT = ("--stop-timeout", "30")
"""For agents that stop slowly: they are not told twice, however busy the machine is."""


@pytest.fixture
def begin(site, start_manager) -> Callable[..., OCSClient]:
    """Write the site file, start its manager, give a client: ``hm = begin(instance("a"))``."""

    def go(*entries: dict[str, Any], options: tuple[str, ...] = ()) -> OCSClient:
        site.write(*entries)
        start_manager(site, *SHORT, *options)
        return client(site)

    return go


@pytest.fixture
def start_program(make_site) -> Iterator[Callable[..., Manager]]:
    """Start managers by any command line: ``start_program(site, argv, {"SITE_HOST": "x"})``."""
    started: list[Manager] = []

    def start(site: Site, argv: list[str], environment: dict[str, str] | None = None) -> Manager:
        started.append(Program(site, argv, environment))
        return started[-1]

    yield start
    for program in started:
        program.stop()
