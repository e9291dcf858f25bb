"""Agents that a manager launches warm: stopped, killed, adopted as any other; nothing of it is left."""

import os
import signal
from pathlib import Path

from tests.support import clients
from tests.support.processes import processes, processes_of
from tests.support.sites import Site, instance
from tests.support.waiting import wait_for

WARM = ("--warm-launch", "auto")
FORKED = ("a", "b", "d")
HELD = """
import os, sys, time
if any(word.endswith("fork_server.py") for word in sys.orig_argv):
    manager = os.getppid()
    while os.getppid() == manager:
        time.sleep(0.05)
"""
"""A `sitecustomize` by which the imports of a fork server take as long as its manager lives."""


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


def cold(name: str) -> dict:
    return instance(name, **{"host-manager": {"warm": False}})


def test_a_day_of_agents_that_are_launched_warm(site, start_manager):
    site.write(*map(instance, FORKED), cold("c"))
    manager = start_manager(site, *WARM)
    pids = running(site, "a", "b", "c", "d")
    forked = [name for name, pid in pids.items() if is_forked(pid)]
    assert sorted(forked) == ["a", "b", "d"]
    assert {each.ppid for each in processes(site) if each.kind == "agent"} == {manager.pid}
    (server,) = fork_servers(site)

    # Killed: its signal is known, and it is launched again.
    os.kill(pids["a"], signal.SIGKILL)
    wait_for(lambda: "SIGKILL" in str(shown(site, "a")), 20, "the signal", lambda: shown(site, "a"))
    again = wait_for(lambda: running(site, "a", "b", "c", "d")["a"] != pids["a"], 20, "a new run")
    assert again
    assert is_forked(running(site, "a", "b", "c", "d")["a"])

    # Without its fork server nothing happens to an agent; the next launch has a new one.
    os.kill(server, signal.SIGKILL)
    clients.call(site, "start", "update", requests=[["b", "down"]])
    before = running(site, "a", "c", "d")
    clients.call(site, "start", "update", requests=[["b", "up"]])
    pids = running(site, "a", "b", "c", "d")
    assert {name: pids[name] for name in before} == before
    assert is_forked(pids["b"])
    (new,) = fork_servers(site)
    assert new != server

    # The manager is killed: its fork server ends, its agents go on and are adopted.
    manager.kill()
    wait_for(lambda: not fork_servers(site), 20, "the end of the fork server")
    assert running(site, "a", "b", "c", "d") == pids

    manager = start_manager(site, "--warm-launch", "off")
    wait_for(lambda: {shown(site, name)["next_action"] for name in pids} == {"up"}, 20, "adoption")
    assert running(site, "a", "b", "c", "d") == pids
    os.kill(pids["a"], signal.SIGTERM)
    wait_for(lambda: running(site, "a", "b", "c", "d")["a"] != pids["a"], 20, "a new run")
    pids = running(site, "a", "b", "c", "d")
    assert not is_forked(pids["a"])  # this manager launches cold, and has no fork server
    assert not fork_servers(site)
    assert manager.stop() == 0
    assert processes(site) == []


def test_nothing_waits_for_the_imports_of_the_fork_server_in_vain(site, start_manager):
    """A cold launch; what is not wanted any more; the end, however; and nothing is lost by it."""
    (site.directory / "sitecustomize.py").write_text(HELD)
    held = {"PYTHONPATH": os.fspath(site.directory)}
    site.write(*map(instance, FORKED), cold("c"))
    manager = start_manager(site, *WARM, surroundings=held)
    running(site, "c")
    wait_for(lambda: fork_servers(site), 20, "the fork server")

    # An operator's "down", and an entry that goes.
    clients.call(site, "start", "update", requests=[["a", "down"]])
    wait_for(
        lambda: shown(site, "a")["next_action"] == "down", 20, "no launch", lambda: shown(site, "a")
    )
    site.write(*map(instance, ("a", "d")), cold("c"))
    clients.call(site, "start", "update", reload_config=True)
    wait_for(lambda: "b" not in clients.children(clients.client(site)), 20, "its entry to be gone")
    assert shown(site, "d")["next_action"] == "wait_start"

    clients.call(site, "start", "die")
    assert manager.process.wait(60) == 0
    assert processes(site) == []

    site.write(*map(instance, FORKED), cold("c"))
    manager = start_manager(site, *WARM, surroundings=held)
    running(site, "c")
    assert manager.stop() == 0
    assert processes(site) == []

    # Killed while it imports: the next manager launches what was to be launched.
    manager = start_manager(site, *WARM, surroundings=held)
    pid = running(site, "c")["c"]
    wait_for(lambda: fork_servers(site), 20, "the fork server")
    manager.kill()
    assert not site.launches("d")
    manager = start_manager(site, *WARM)
    assert running(site, "b", "c", "d")["c"] == pid
    assert not any(map(site.launches, "a"))
    assert manager.stop() == 0
    assert processes(site) == []
