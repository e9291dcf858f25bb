"""A manager where `install-systemd` has it started: in the subgroup of a delegated cgroup.

The hierarchy and its processes are real. systemd is played: it makes the cgroup, marks it as
delegated, and starts the manager in the subgroup, as `Delegate=` and `DelegateSubgroup=` say.
"""

import os
import signal
import subprocess

import psutil
import pytest

from hostmanager.util.cgroup import controllers, own_processes
from tests.integration.router.steps import wait_child
from tests.support.cgroups import make_delegated
from tests.support.clients import children, client
from tests.support.managers import OURS, command
from tests.support.processes import kill_all
from tests.support.sites import instance
from tests.support.waiting import wait_for

delegated = pytest.fixture(make_delegated)


@pytest.fixture
def start(site, delegated):
    """Start the manager as systemd would."""
    started = []

    def begin() -> subprocess.Popen[bytes]:
        script = 'echo $$ > "$0" && exec "$@"'
        place = str(delegated / "manager" / "cgroup.procs")
        environment = {**os.environ, "HM_TEST_MARK": site.mark}
        argv = ["sh", "-c", script, place, *command(OURS, site)]
        started.append(subprocess.Popen(argv, cwd=site.working_dir, env=environment))
        return started[-1]

    yield begin
    kill_all(site)
    for process in started:
        process.kill()
        process.wait()


def agents(delegated) -> dict[str, list[int]]:
    """The processes in the cgroup of each agent."""
    found = {path.name.split("-")[2]: own_processes(path) for path in delegated.glob("agent-*")}
    return {name: pids for name, pids in found.items() if pids}


def test_agents_have_cgroups_over_the_death_of_their_manager(site, start, delegated):
    site.write(instance("a"), instance("b", **{"host-manager": {"memory-max": "1G"}}))
    manager = start()
    hm = client(site)
    pids = {name: wait_child(hm, name, 30, next_action="up")["pid"] for name in ("a", "b")}
    assert agents(delegated) == {name: [pid] for name, pid in pids.items()}
    notice = wait_child(hm, "b", 30, next_action="up")["message"]
    if "memory" in controllers(delegated):
        assert notice == ""
    else:
        assert "'memory-max' is not applied: the cgroup of the manager has no memory" in notice
    assert manager.pid in own_processes(delegated / "manager")
    assert own_processes(delegated) == []  # or systemd could not start the next one

    manager.kill()
    manager.wait()
    manager = start()
    wait_for(lambda: children(hm)["a"]["pid"] == pids["a"], 30, "the next manager")
    assert agents(delegated) == {name: [pid] for name, pid in pids.items()}

    site.write(instance("a"), instance("b", **{"host-manager": {"nice": 5, "open-files": 99}}))
    hm.update(reload_config=True)
    settings = {"heartbeat.timeout": 0, "nice": 5, "open-files": 99}
    shown = wait_child(hm, "b", 30, message="", settings=settings)
    assert (shown["pid"], shown["restart_required"]) == (pids["b"], False)
    process = psutil.Process(pids["b"])
    wait_for(lambda: process.nice() == 5, 30, "its niceness")
    assert process.rlimit(psutil.RLIMIT_NOFILE) == (99, 99)

    os.kill(pids["a"], signal.SIGKILL)
    shown = wait_for(
        lambda: (child := children(hm)["a"])["pid"] not in (None, pids["a"]) and child,
        30,
        "a again",
    )
    assert agents(delegated)["a"] == [shown["pid"]]
    manager.terminate()
    assert manager.wait(30) == 0
    assert list(delegated.glob("agent-*")) == []
