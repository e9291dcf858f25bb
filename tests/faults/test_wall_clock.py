"""The wall clock of a host is set back: what waits goes by another."""

import socket

import pytest

from hostmanager.testing.crossbar_router import CrossbarRouter
from tests.faults.wallclock import WallClock

YEAR = 365 * 86400
PATIENCE = 60.0


def test_a_connection_that_comes_to_nothing_is_given_up_all_the_same(
    make_site, start_manager, tmp_path
):
    clock = WallClock(tmp_path)
    if clock.impossible:
        pytest.skip(clock.impossible)
    with socket.create_server(("127.0.0.1", 0)) as silent_router:
        silent_router.settimeout(PATIENCE)
        router = CrossbarRouter(tmp_path / "router", port=silent_router.getsockname()[1])
        site = make_site(router)
        site.write()
        start_manager(site, ready=False, surroundings=clock.surroundings)
        connection, _ = silent_router.accept()
        with connection:
            connection.settimeout(PATIENCE)
            assert connection.recv(1), "the manager has begun to shake hands"
            clock.ahead -= YEAR
            another, _ = silent_router.accept()
            another.close()
