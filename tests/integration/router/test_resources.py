"""What agents use, as clients get it from a real manager."""

import pytest

from tests.integration.router.steps import wait_child
from tests.support.clients import children, client
from tests.support.sites import instance
from tests.support.waiting import wait_for

TIMEOUT = 120.0


@pytest.mark.slow
def test_resources_are_in_child_states_and_the_last_hour_can_be_had(site, start_manager):
    site.write(instance("a"), instance("b", manage="host/down"))
    start_manager(site)
    hm = client(site, timeout=TIMEOUT)
    wait_child(hm, "a", TIMEOUT, next_action="up")

    def measured() -> bool:
        return children(hm)["a"]["resources"] is not None

    wait_for(measured, TIMEOUT, "the first sample")
    used = children(hm)["a"]["resources"]
    assert used["processes"] >= 1
    assert used["memory"] > 1_000_000
    assert children(hm)["b"]["resources"] is None
    hm.resources.start()
    session = hm.resources.wait(timeout=60).session
    assert session["success"]
    assert session["data"]["columns"] == ["time", "cpu", "memory", "threads", "open_files"]
    assert list(session["data"]["samples"]) == ["a"]
    assert session["data"]["samples"]["a"][0][2] == pytest.approx(used["memory"], rel=1.0)
    hm.resources.start(instance_id="nobody")
    session = hm.resources.wait(timeout=60).session
    assert not session["success"]
    assert "'nobody' is not an instance of this host." in str(session["messages"])
