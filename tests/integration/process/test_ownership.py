"""Known by session, mark and lock: whatever an agent, or a dying manager, leaves behind."""

import asyncio
import ctypes
import os
import subprocess
import textwrap
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

import psutil
import pytest

from hostmanager.core.events import (
    Absent,
    Exited,
    ExitedWithRemnants,
    ExitStatus,
    Launched,
    ObservationLost,
    RemnantsGone,
    StopStage,
)
from hostmanager.core.model import InstanceSpec
from hostmanager.drivers.process import spawn
from hostmanager.drivers.process.ownership import discovery as ownership
from hostmanager.drivers.process.ownership import instance_lock as locks
from tests.integration.process.conftest import KILLED, PYTHON, Host, until
from tests.support.processes import started
from tests.support.waiting import wait_for

SPEC = InstanceSpec("a", "Any")

LEAVES = """
    # A daemon: another session and group, a parent that is gone. What it loses is the point.
    import os, sys, time
    note, program = sys.argv[1:]
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            exec(program)
            with open(note + ".new", "w") as file:
                file.write(str(os.getpid()))
            os.rename(note + ".new", note)
            time.sleep(1000)
        os._exit(0)
    os.wait()
    print("ready", flush=True)
    time.sleep(1000)
"""
KEEPS_ALL = "pass"
LOSES_ITS_MARK = """
if "OCS_HOSTMANAGER" in os.environ:
    os.execve(sys.executable, [sys.executable, "-c", again(), note, "pass"], {})
""".replace(
    "again()",
    '\'import os, sys, time; note = sys.argv[1]; f = open(note, "w"); '
    "f.write(str(os.getpid())); f.close(); time.sleep(1000)'",
)
LOSES_ITS_DESCRIPTORS = "os.closerange(0, 4096)"


off = asyncio.to_thread
"""Away from the loop: it is watched, also for what tests do on it."""


async def holders(host: Host) -> list[int]:
    """Who holds the lock of `a`."""
    return await off(locks.holders, host.owner.lock_file("a"))


def lock_fd(host: Host, pid: int) -> int:
    """The descriptor by which a process holds the lock of `a`."""
    path = str(host.owner.lock_file("a"))
    directory = Path(f"/proc/{pid}/fd")
    for fd in directory.iterdir():
        with suppress(FileNotFoundError):  # closed since it was listed: it was not the lock's
            if str(fd.readlink()) == path:
                return int(fd.name)
    raise AssertionError(f"process {pid} does not have {path} open")


def pidfd_getfd(pid: int, fd: int) -> int:
    """Get a copy of a descriptor of a child of ours; Python has no name for this system call."""
    pidfd = os.pidfd_open(pid)
    try:
        copy = ctypes.CDLL(None, use_errno=True).syscall(438, pidfd, fd, 0)
        assert copy >= 0, os.strerror(ctypes.get_errno())
        return int(copy)
    finally:
        os.close(pidfd)


def runs(pid: int) -> bool:
    """Whether a process is there, and no zombie."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def daemon(host: Host, program: str) -> tuple[int, int]:
    """Launch an agent that starts a daemon: the pids of both."""
    note = host.file("daemon")
    pid = await host.launch("a", PYTHON, "-c", textwrap.dedent(LEAVES), str(note), program)
    await until(lambda: note.exists() and note.read_text(), "the daemon")
    return pid, int(note.read_text())


@pytest.mark.parametrize(
    "program",
    [KEEPS_ALL, LOSES_ITS_MARK, LOSES_ITS_DESCRIPTORS],
    ids=["keeps all", "loses its mark", "loses its descriptors"],
)
async def test_a_daemon_is_found_by_what_it_kept_and_ended(host, program):
    pid, left = await daemon(host, program)
    assert os.getsid(left) not in (pid, os.getsid(0))
    marked = await off(host.owner.is_tagged, left, "a")
    kept = (marked, left in await holders(host))
    assert kept == (program != LOSES_ITS_MARK, program != LOSES_ITS_DESCRIPTORS)
    os.kill(pid, 9)
    end = await host.next("a")
    assert isinstance(end, ExitedWithRemnants)
    assert [who.partition(":")[0] for who in end.remnants] == [f"pid {left}"]
    host.driver.signal("a", StopStage.KILL)
    assert await host.next("a") == RemnantsGone()
    assert not await off(runs, left)


async def test_an_agent_is_not_launched_beside_what_another_left(host):
    """The next manager finds a daemon, and no leader: it is dealt with as after any end."""
    pid, left = await daemon(host, KEEPS_ALL)
    run = (await off(host.owner.discover))["a"]
    assert (run.pid, run.other_pids) == (pid, (left,))
    os.kill(pid, 9)
    assert isinstance(await host.next("a"), ExitedWithRemnants)
    run = (await off(host.owner.discover))["a"]
    assert left in (run.pid, *run.other_pids)
    host.driver.signal("a", StopStage.KILL)
    assert await host.next("a") == RemnantsGone()
    assert "a" not in await off(host.owner.discover)


# --- who has the lock ----------------------------------------------------------------------------


def stray(host: Host, *argv: str, held: Sequence[int] = ()) -> int:
    """Start a process that holds the lock of `a`, carries no mark and is not our child.

    The locks in `held` instead, if there are any.
    """
    held = held or [locks.acquire(host.owner.lock_file("a")) or -1]
    output = subprocess.run(
        ["/bin/sh", "-c", 'setsid "$@" >/dev/null 2>&1 & echo $!', "sh", *argv],
        check=True,
        capture_output=True,
        text=True,
        pass_fds=held,
    ).stdout
    for lock in held:
        os.close(lock)
    return int(output)


def end_stray(pid: int) -> None:
    """End a stray, and wait until init has reaped it: none may be left at the end of a test."""
    process = psutil.Process(pid)
    process.kill()
    process.wait(20)


async def test_who_holds_the_lock_is_the_instance_whatever_he_says(host):
    """Only heirs can hold it: without a mark, and whoever its program is."""
    pid = await off(stray, host, "/bin/sleep", "1234")
    host.begin("a", "/bin/sleep", "1000")
    launched = await host.next("a")
    assert isinstance(launched, Launched), launched
    assert (launched.pid, launched.adopted and launched.adopted.pid) == (pid, pid)
    host.driver.signal("a", StopStage.KILL)
    end = await host.next("a")
    assert end in (Exited(ExitStatus(signal=9)), Exited(ExitStatus()))


async def test_a_lock_that_is_held_by_who_cannot_be_seen_is_waited_for(host):
    """It is held by this very process, which is left out where holders are looked for."""
    unseen = await off(locks.acquire, host.owner.lock_file("a"))
    host.begin("a", "/bin/sleep", "1000")
    assert isinstance(await host.next("a"), ObservationLost)
    lost = await host.next("a")
    assert isinstance(lost, ObservationLost), lost
    assert str(host.owner.lock_file("a")) in lost.reason
    assert "is not visible" in lost.reason
    assert isinstance(await host.next("a"), ObservationLost)
    os.close(unseen)
    while isinstance(report := await host.next("a"), ObservationLost):
        pass
    assert report == Absent()
    await host.launch("a", "/bin/sleep", "1000")
    host.driver.signal("a", StopStage.KILL)
    assert await host.next("a") == Exited(ExitStatus(signal=9))


async def test_who_cannot_be_seen_is_found_by_the_survey_and_adopted_once_he_can(host):
    unseen = await off(locks.acquire, host.owner.lock_file("a"))
    surveyed = await off(host.driver.discover)
    assert {i: (f.pid, f.other_pids) for i, f in surveyed.items()} == {"a": (None, ())}
    host.commands["a"] = host.command("a", "/bin/true")
    host.driver.adopt(SPEC, surveyed["a"], host.reports["a"].put_nowait)
    assert isinstance(await host.next("a"), ObservationLost)
    pid = await off(partial(stray, host, "/bin/sleep", "1234", held=[unseen]))
    while isinstance(report := await host.next("a"), ObservationLost):
        pass
    assert isinstance(report, Launched)
    assert report.pid == pid
    host.driver.signal("a", StopStage.KILL)
    assert isinstance(await host.next("a"), Exited)


async def test_an_agent_whose_lock_is_held_after_its_end_is_not_down(host):
    """What it left cannot be seen. (This process has a copy of its open file.)"""
    pid = await host.launch("a", "/bin/sh", "-c", "exec sleep 1000")
    duplicate = await off(pidfd_getfd, pid, await off(lock_fd, host, pid))
    os.kill(pid, 9)
    end = await host.next("a")
    assert isinstance(end, ExitedWithRemnants), end
    assert end.status == KILLED
    host.driver.signal("a", StopStage.TERMINATE)  # as the lifecycle does
    assert isinstance(await host.next("a"), ObservationLost)
    os.close(duplicate)
    while isinstance(report := await host.next("a"), ObservationLost):
        pass
    assert report == Absent()


async def test_who_reads_the_file_of_the_lock_does_not_hold_it(host):
    path = host.owner.lock_file("a")
    pid = await host.launch("a", "/bin/sleep", "1000")
    reader = await off(subprocess.Popen, ["/usr/bin/tail", "-f", path])
    try:
        assert await holders(host) == [pid]
        os.kill(pid, 9)
        assert await host.next("a") == Exited(KILLED)
    finally:
        reader.kill()
        await off(reader.wait)


async def test_who_holds_the_locks_of_several_is_nobody_yet(host, monkeypatch):
    """A manager was killed between fork and exec: the child has copies of all that was open."""
    monkeypatch.setattr(ownership, "LOCK_TIMEOUT", 0.1)
    both = [await off(locks.acquire, host.owner.lock_file(name)) for name in ("a", "b")]
    becomes = """
        import os, sys, time
        while not os.path.exists(sys.argv[1]): time.sleep(0.01)
        os.close(int(sys.argv[2]))
        time.sleep(1000)
    """
    argv = (PYTHON, "-S", "-c", textwrap.dedent(becomes), str(host.file("go")), str(both[1]))
    pid = await off(partial(stray, host, *argv, held=both))
    try:
        surveyed = await off(host.driver.discover)
        unknown = {i: (f.pid, f.other_pids) for i, f in surveyed.items()}
        assert unknown == {"a": (None, ()), "b": (None, ())}
        assert f"pid {pid}" in await off(host.owner.describe_lock_holders, "a")
        host.file("go").touch()
        await off(wait_for, lambda: host.owner.locked_ids() == {"a"}, 20, "b to be free")
        surveyed = await off(host.driver.discover)
        assert {i: f.pid for i, f in surveyed.items()} == {"a": pid}
    finally:
        await off(end_stray, pid)


async def test_what_a_dead_manager_had_just_forked_is_adopted_not_doubled(host, monkeypatch):
    """It holds the lock, has no mark yet, and becomes the agent a moment later."""
    monkeypatch.setattr(spawn, "LOCK_TIMEOUT", 20.0)
    [(name, mark), *_] = host.owner.environment(SPEC).items()
    becomes = f"""
        import os, time
        time.sleep(0.4)
        env = {{"HOST_TEST": {str(host.directory)!r}, {name!r}: {mark!r}}}
        os.execve("/bin/sleep", ["sleep", "1000"], env)
    """
    pid = await off(stray, host, PYTHON, "-S", "-c", textwrap.dedent(becomes))
    host.begin("a", "/bin/sleep", "2000")
    launched = await host.next("a")
    assert isinstance(launched, Launched), launched
    assert (launched.pid, launched.adopted and launched.adopted.pid) == (pid, pid)
    assert [p.cmdline() for p in await off(host.processes)] == [["sleep", "1000"]]
    host.driver.signal("a", StopStage.TERMINATE)
    end = await host.next("a")
    assert end.status in (ExitStatus(signal=15), ExitStatus())


async def test_what_a_dead_manager_had_just_forked_is_seen_by_the_survey(host, monkeypatch):
    """Whatever its target is: wanted down, it would never be met by its lock."""
    monkeypatch.setattr(ownership, "LOCK_TIMEOUT", 20.0)
    [(name, mark), *_] = host.owner.environment(SPEC).items()
    becomes = f"""
        import os, time
        time.sleep(0.4)
        env = {{"HOST_TEST": {str(host.directory)!r}, {name!r}: {mark!r}}}
        os.execve("/bin/sleep", ["sleep", "1000"], env)
    """
    pid = await off(stray, host, PYTHON, "-S", "-c", textwrap.dedent(becomes))
    assert await off(host.owner.locked_ids) == {"a"}
    runs = await off(host.owner.discover)
    await off(end_stray, pid)
    assert {i: f.pid for i, f in runs.items()} == {"a": pid}


async def test_a_survey_does_not_wait_long_for_a_mark(host, monkeypatch):
    monkeypatch.setattr(ownership, "LOCK_TIMEOUT", 0.1)
    pid = await off(stray, host, "/bin/sleep", "1234")
    runs = await off(host.owner.discover)
    await off(end_stray, pid)
    assert {i: (f.pid, f.fingerprint, f.launched_by_other) for i, f in runs.items()} == {
        "a": (pid, "", False)
    }


async def test_the_lock_is_held_as_long_as_the_agent_lives(host):
    pid = await host.launch("a", "/bin/sleep", "1000")
    assert await holders(host) == [pid]
    host.driver.signal("a", StopStage.KILL)
    await host.next("a")
    os.close(await off(locks.acquire, host.owner.lock_file("a")))


async def test_launches_at_the_same_time_do_not_take_each_others_children_for_agents(host):
    """Between fork and exec a child has copies of all that is open here: other locks, too."""
    names = [f"a{n}" for n in range(48)]
    for turn in range(2):
        for name in names:
            host.begin(name, "/bin/sleep", str(1000 + turn))
        reports = await asyncio.gather(*(host.next(name) for name in names))
        assert all(isinstance(r, Launched) and r.adopted is None for r in reports), reports
        for name in names:
            host.driver.signal(name, StopStage.KILL)
        ends = await asyncio.gather(*(host.next(name) for name in names))
        assert all(end == Exited(ExitStatus(signal=9)) for end in ends), ends


async def test_a_launch_without_a_lock_is_a_launch(host):
    path = host.owner.lock_file("a")
    path.mkdir(parents=True)
    await host.launch("a", "/bin/sleep", "1000")
    host.driver.signal("a", StopStage.KILL)
    assert await host.next("a") == Exited(ExitStatus(signal=9))


# --- the survey ----------------------------------------------------------------------------------


async def test_what_was_launched_is_found_with_what_is_known_of_it(host):
    pid = await host.launch("a", "/bin/sleep", "1000")
    run = (await off(host.owner.discover))["a"]
    assert (run.pid, run.agent_class, run.other_pids) == (pid, "Any", ())
    assert abs(run.started_at - started(pid)) < 1
    host.driver.signal("a", StopStage.KILL)
    await host.next("a")
    assert await off(host.owner.discover) == {}


async def test_a_leader_that_ends_between_the_looks_is_not_opened(host):
    pid = await host.launch("a", "/bin/sleep", "1000")
    run = (await off(host.owner.discover))["a"]
    host.driver.signal("a", StopStage.KILL)
    await host.next("a")
    assert not await off(psutil.pid_exists, pid)
    assert await off(host.owner.open_leader, "a", run) is None
