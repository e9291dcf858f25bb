"""The fixtures themselves, tried with the reference: it is always there."""

from tests.support.clients import client, states
from tests.support.managers import REFERENCE
from tests.support.processes import processes, processes_of
from tests.support.sites import instance
from tests.support.waiting import wait_for


def test_a_manager_its_agents_and_its_states_are_seen(site, start_manager):
    site.write(instance("a"), instance("b", manage="host/down"))
    manager = start_manager(site, kind=REFERENCE)
    pids = wait_for(lambda: processes_of(site).get("a"), 15, "agent a", lambda: processes(site))
    assert len(pids) == 1
    assert [process.pid for process in processes(site) if process.kind == "manager"] == [
        manager.pid
    ]
    hm = client(site)
    wait_for(lambda: states(hm) == {"a": "up", "b": "down"}, 15, "states", lambda: states(hm))
    wait_for(lambda: [launch.pid for launch in site.launches("a")] == pids, 5, "the launch note")
