"""The stamp: who was launched, told exactly, by whatever descends from it."""

import os
import resource
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator

import pytest

from hostmanager.core.events import Exited, ExitedWithRemnants, ExitStatus, RemnantsGone, StopStage
from hostmanager.drivers.process.ownership import env_tag as marks
from hostmanager.drivers.process.ownership import rlimit_tag as stamps
from hostmanager.drivers.process.ownership.discovery import Ownership, describe_run
from hostmanager.drivers.process.ownership.env_tag import EnvTag
from hostmanager.drivers.process.ownership.manager_identity import ManagerIdentity
from hostmanager.drivers.process.ownership.rlimit_tag import RlimitTag
from hostmanager.util.procfs import start_ticks
from tests.integration.process.conftest import PYTHON, Host, until
from tests.integration.process.test_ownership import LEAVES, off, runs

LOSES_EVERYTHING = """
if "OCS_HOSTMANAGER" in os.environ:
    os.closerange(0, 4096)
    code = "import os, sys, time; f = open(sys.argv[1] + '.new', 'w'); f.write(str(os.getpid())); "
    code += "f.close(); os.rename(sys.argv[1] + '.new', sys.argv[1]); time.sleep(1000)"
    os.execve(sys.executable, [sys.executable, "-c", code, note], {})
"""

STAMPED = f"""
import resource, time
while resource.getrlimit({stamps.RLIMIT_LOCKS})[0] < 1 << 62: time.sleep(0.001)
"""
"""Wait for the stamp: without a free processor, it comes later than the first instructions."""

Sleeper = Callable[..., int]


@pytest.fixture
def sleeper(tmp_path) -> Iterator[Sleeper]:
    """Start a sleeper with a mark of so many ticks ago, in a session of its own; its pid."""
    started = []

    def go(owner: Ownership, *, ago: int = 0) -> int:
        mark = EnvTag(owner.identity.key, "a", "abc", marks.now_ticks() - ago, "Any")
        env = {marks.ENV_VAR: str(mark)}
        started.append(subprocess.Popen(["/bin/sleep", "1000"], env=env, start_new_session=True))
        # Popen returns at the exec; its environment can be read a moment after that.
        end = time.monotonic() + 60
        while marks.inspect(started[-1].pid, owner.identity.owns) is None:
            assert time.monotonic() < end, "its mark cannot be read"
            time.sleep(0.001)
        return started[-1].pid

    yield go
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def owner(tmp_path) -> Ownership:
    return Ownership(ManagerIdentity(f"stamps{os.getpid()}", ("0" * 32,)), tmp_path / "locks")


def test_a_stamp_says_pid_and_start(owner, sleeper):
    pid = sleeper(owner)
    assert stamps.read(pid) is None
    stamp = stamps.apply(pid)
    assert stamp == RlimitTag(pid, start_ticks(pid))
    assert stamps.read(pid) == stamp


def test_all_that_a_process_starts_inherits_its_rlimit_tag():
    code = """
        import subprocess, sys
        input()
        child = subprocess.Popen(["sleep", "1000"], env={}, start_new_session=True)
        print(child.pid, flush=True)
        input()
        child.kill()
        child.wait()
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        stamp = stamps.apply(process.pid)
        process.stdin.write("go\n")
        process.stdin.flush()
        assert stamps.read(int(process.stdout.readline())) == stamp is not None
        process.communicate("end\n")


def test_another_limit_is_no_rlimit_tag(owner, sleeper):
    pid = sleeper(owner)
    _, hard = resource.prlimit(pid, stamps.RLIMIT_LOCKS)
    resource.prlimit(pid, stamps.RLIMIT_LOCKS, (4096, hard))
    assert stamps.read(pid) is None
    assert stamps.apply(pid) is not None


def test_who_has_ended_gets_no_rlimit_tag():
    process = subprocess.Popen(["/bin/true"])
    process.wait()
    assert stamps.apply(process.pid) is None
    assert stamps.read(process.pid) is None


def test_a_leader_that_began_long_after_its_mark_is_known_by_its_rlimit_tag(owner, sleeper):
    pid = sleeper(owner, ago=10 * marks.LEADER_START_TOLERANCE)
    assert owner.discover()["a"].pid is None
    stamps.apply(pid)
    assert owner.discover()["a"].pid == pid


def test_a_daemon_that_began_at_once_is_no_leader_whatever_its_mark_says(owner, sleeper):
    """Its agent ended while no manager lived: the agent must not be shown up."""
    daemon = sleeper(owner)
    _, hard = resource.prlimit(daemon, stamps.RLIMIT_LOCKS)
    agent = RlimitTag(os.getpid(), 12345)
    resource.prlimit(daemon, stamps.RLIMIT_LOCKS, (int(agent), hard))
    survey = owner.discover()["a"]
    assert (survey.pid, survey.other_pids) == (None, (daemon,))
    assert owner.open_leader("a", survey) is None


def test_of_two_that_might_lead_the_one_with_the_rlimit_tag_does(owner, sleeper):
    first, second = sleeper(owner), sleeper(owner)
    stamps.apply(second)
    survey = describe_run(marks.find_tagged(owner.identity.owns))
    assert (survey.pid, survey.other_pids) == (second, (first,))


def test_an_agent_of_a_manager_before_stamps_is_adopted_and_gets_one(owner, sleeper):
    pid = sleeper(owner)
    survey = owner.discover()["a"]
    pidfd = owner.open_leader("a", survey)
    assert pidfd is not None
    os.close(pidfd)
    assert (survey.pid, stamps.read(pid)) == (pid, RlimitTag(pid, start_ticks(pid)))


def test_a_manager_takes_off_the_rlimit_tag_that_it_was_born_with():
    code = """
        from hostmanager.drivers.process.ownership import rlimit_tag as stamps
        input()
        assert stamps.read(__import__("os").getpid()) is not None
        stamps.clear_inherited()
        assert stamps.read(__import__("os").getpid()) is None
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], stdin=subprocess.PIPE, text=True
    ) as process:
        assert stamps.apply(process.pid) is not None
        process.communicate("go\n")
    assert process.returncode == 0


async def test_a_daemon_that_lost_mark_lock_and_session_is_found_by_its_rlimit_tag(host: Host):
    note = host.file("daemon")
    code = STAMPED + textwrap.dedent(LEAVES)
    pid = await host.launch("a", PYTHON, "-c", code, str(note), LOSES_EVERYTHING)
    await until(lambda: note.exists() and note.read_text(), "the daemon")
    left = int(note.read_text())
    assert not await off(host.owner.is_tagged, left, "a")
    assert left not in await off(host.owner.lock_holders, "a")
    assert os.getsid(left) != pid
    os.kill(pid, 9)
    end = await host.next("a")
    assert isinstance(end, ExitedWithRemnants)
    assert [who.partition(":")[0] for who in end.remnants] == [f"pid {left}"]
    host.driver.signal("a", StopStage.KILL)
    assert await host.next("a") == RemnantsGone()
    assert not await off(runs, left)


async def test_each_launch_has_a_stamp_of_its_own(host: Host):
    pids = [await host.launch(name, "/bin/sleep", "1000") for name in ("a", "b")]
    assert [stamp.pid for pid in pids if (stamp := stamps.read(pid))] == pids
    for name in ("a", "b"):
        host.driver.signal(name, StopStage.KILL)
        assert await host.next(name) == Exited(ExitStatus(signal=9))
