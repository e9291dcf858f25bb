"""Whose lock is held by somebody who cannot be seen is neither launched nor called down.

The manager lives in a process namespace of its own, as in a container that shares the state
directory; this very process, which is outside, holds the locks.
"""

import os
import signal
import subprocess
from collections.abc import Iterator

import psutil
import pytest

from hostmanager.drivers.process.ownership import instance_lock as locks
from tests.integration.router.cli_site import HOSTMANAGER
from tests.support import managers
from tests.support.clients import children, client
from tests.support.managers import Manager
from tests.support.processes import processes, processes_of
from tests.support.sites import Site, instance
from tests.support.waiting import wait_for

UNSHARE = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]


def can_unshare() -> bool:
    """Whether a process namespace can be had."""
    try:
        return subprocess.run([*UNSHARE, "true"], check=False, capture_output=True).returncode == 0
    except OSError:
        return False


pytestmark = pytest.mark.skipif(
    not can_unshare(), reason="a process namespace can be had by root alone (unshare --pid)"
)


@pytest.fixture
def inside(site: Site, fresh_managers, monkeypatch) -> Iterator[Manager]:
    """A manager in a process namespace of its own."""
    command = managers.command
    monkeypatch.setattr(managers, "command", lambda *args: [*UNSHARE, *command(*args)])
    site.state_dir.mkdir(mode=0o700)
    (site.state_dir / "manager.lock").touch()
    site.write(instance("a"), instance("b", manage="down"), instance("c"))
    held = {name: locks.acquire(site.state_dir / "locks" / f"{name}.lock") for name in ("a", "b")}
    manager = Manager(site).wait_ready()
    manager.held = held  # type: ignore[attr-defined]
    yield manager
    for fd in held.values():
        if fd is not None:
            os.close(fd)
    manager.process.kill()
    manager.process.wait()
    # The kernel ends the others of the namespace then, one after the other.
    wait_for(lambda: not processes(site), 20, "the namespace to end", lambda: processes(site))


def test_it_is_reported_what_holds_the_lock_until_it_is_free(site, inside):
    shown = children(client(site))
    for name in ("a", "b"):
        assert (shown[name]["next_action"], shown[name]["operable"]) == ("?", False)
        assert f"{site.state_dir}/locks/{name}.lock is held by" in shown[name]["message"]
        assert "fuser" in shown[name]["message"]
    wait_for(lambda: processes_of(site).get("c"), 20, "c")
    assert "a" not in processes_of(site)
    down = subprocess.run(
        [HOSTMANAGER, "down", "--site-file", site.file, "--timeout", "5", "a", "b"],
        capture_output=True,
        text=True,
        check=False,
    )
    output = down.stdout + down.stderr
    assert down.returncode == 1, output
    assert "a.lock" in output
    assert "is down" not in output
    assert {name: children(client(site))[name]["next_action"] for name in "ab"} == {
        "a": "?",
        "b": "?",
    }
    for name in ("a", "b"):
        os.close(inside.held.pop(name))

    def free() -> bool:
        now = children(client(site))
        return all(now[name]["next_action"] == "down" for name in ("a", "b"))

    wait_for(free, 20, "both down")
    client(site).update(requests=[["a", "up"]])
    wait_for(lambda: processes_of(site).get("a"), 20, "a")


def test_an_end_says_what_it_could_not_end(site, inside):
    [manager] = psutil.Process(inside.process.pid).children()
    manager.send_signal(signal.SIGTERM)
    assert inside.process.wait(60) == 1
    output = inside.output()
    assert "Could not be ended: a: Its lock" in output
    assert "b: Its lock" in output
    assert "All agents are down" not in output
