"""Agents that a manager launches warm: stopped, killed, adopted as any other; nothing of it is left."""

import os
import signal
from pathlib import Path

from tests.support import clients
from tests.support.processes import processes, processes_of
from tests.support.sites import Site, instance
from tests.support.waiting import wait_for

WARM = ("--warm-launch", "auto")
BOTH_WARM = ("a", "b")


def is_forked(pid: int) -> bool:
    """Whether nothing was executed since the fork of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return bool(int(fields[6]) & 0x40)  # PF_FORKNOEXEC


def fork_servers(site: Site) -> list[int]:
    return [each.pid for each in processes(site) if each.kind == "fork server"]


def running(site: Site, *names: str) -> dict[str, int]:
    """Wait until each of these runs once: their pids."""

    def once() -> dict[str, int] | None:
        pids = processes_of(site)
        if sorted(pids) == sorted(names) and all(len(each) == 1 for each in pids.values()):
            return {name: each[0] for name, each in pids.items()}
        return None

    return wait_for(once, 20, "the agents", lambda: processes_of(site))


def shown(site: Site, name: str) -> dict:
    return clients.children(clients.client(site))[name]


def test_a_day_of_agents_that_are_launched_warm(site, start_manager):
    cold = instance("c", **{"host-manager": {"warm": False}})
    site.write(instance("a"), instance("b"), cold)
    manager = start_manager(site, *WARM)
    manager.wait_ready()
    pids = running(site, "a", "b", "c")
    assert {name: is_forked(pid) for name, pid in pids.items()} == {
        **dict.fromkeys(BOTH_WARM, True),
        "c": False,
    }
    assert {each.ppid for each in processes(site) if each.kind == "agent"} == {manager.pid}
    (server,) = fork_servers(site)

    # Killed: its signal is known, and it is launched again.
    os.kill(pids["a"], signal.SIGKILL)
    wait_for(lambda: "SIGKILL" in str(shown(site, "a")), 20, "the signal", lambda: shown(site, "a"))
    again = wait_for(lambda: running(site, "a", "b", "c")["a"] != pids["a"], 20, "a new run")
    assert again
    assert is_forked(running(site, "a", "b", "c")["a"])

    # Without its fork server nothing happens to an agent; the next launch has a new one.
    os.kill(server, signal.SIGKILL)
    clients.call(site, "start", "update", requests=[["b", "down"]])
    before = running(site, "a", "c")
    clients.call(site, "start", "update", requests=[["b", "up"]])
    pids = running(site, "a", "b", "c")
    assert {name: pids[name] for name in before} == before
    assert is_forked(pids["b"])
    (new,) = fork_servers(site)
    assert new != server

    # The manager is killed: its fork server ends, its agents go on and are adopted.
    manager.kill()
    wait_for(lambda: not fork_servers(site), 20, "the end of the fork server")
    assert running(site, "a", "b", "c") == pids

    manager = start_manager(site)
    manager.wait_ready()
    wait_for(lambda: {shown(site, name)["next_action"] for name in pids} == {"up"}, 20, "adoption")
    assert running(site, "a", "b", "c") == pids
    os.kill(pids["a"], signal.SIGTERM)
    wait_for(lambda: running(site, "a", "b", "c")["a"] != pids["a"], 20, "a new run")
    pids = running(site, "a", "b", "c")
    assert not is_forked(pids["a"])  # this manager launches cold, and has no fork server
    assert not fork_servers(site)
    assert manager.stop() == 0
    assert processes(site) == []
