"""Stops, and what an agent leaves behind: named, ended, and only then is it gone."""

import asyncio
import errno
import os
import signal
import subprocess
import textwrap
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from random import Random

import psutil
import pytest

from hostmanager.agent.framework.event_loop import LoopClock
from hostmanager.core.events import Exited, ExitedWithRemnants, ExitStatus, RemnantsGone, StopStage
from hostmanager.core.model import InstanceSpec, Kind
from hostmanager.core.policy import Policy, RestartPolicy, StopPolicy
from hostmanager.core.record import State
from hostmanager.core.supervisor import Supervisor
from hostmanager.drivers.process.ownership import instance_lock as locks
from hostmanager.drivers.process.ownership import rlimit_tag
from hostmanager.drivers.process.ownership.descendants import Descendants
from hostmanager.drivers.process.ownership.discovery import Ownership
from hostmanager.drivers.process.ownership.manager_identity import ManagerIdentity
from hostmanager.drivers.process.ownership.rlimit_tag import RlimitTag
from hostmanager.util.procfs import start_ticks
from tests.integration.process.conftest import KILLED, PYTHON, Host, until

LEAVES_A_CHILD = "sleep 1000 & echo ready; wait"
LEAVES_A_STUBBORN_CHILD = (
    "(trap '' TERM; while :; do sleep 0.05; done) & sleep 0.1; echo ready; wait"
)
DAEMON = """
    # A group of its own in the same session, reparented: out of reach for a killpg.
    import os, time
    if os.fork() == 0:
        os.setpgid(0, 0)
        if os.fork() == 0:
            time.sleep(1000)
        os._exit(0)
    os.wait()
    print("ready", flush=True)
    time.sleep(1000)
"""
FORKS_WHEN_ENDED = """
    # Whoever gets SIGTERM leaves another one behind, five generations long.
    import os, signal, sys, time
    def generation(left):
        def leave(*_):
            if left and os.fork() == 0:
                generation(left - 1)
            os._exit(0)
        signal.signal(signal.SIGTERM, leave)
        while True:
            time.sleep(1000)
    if os.fork() == 0:
        generation(5)
    time.sleep(0.2)
    print("ready", flush=True)
    time.sleep(1000)
"""
IGNORES = """
    import signal, time
    for number in {numbers}:
        signal.signal(number, signal.SIG_IGN)
    print("ready", flush=True)
    while True:
        time.sleep(1000)
"""


async def ready(host: Host, name: str, *argv: str) -> int:
    """Launch what says when it is ready."""
    pid = await host.launch(name, *argv)
    await until(lambda: host.has_said(name, "ready"), f"{name} ready")
    return pid


async def ready_python(host: Host, name: str, code: str) -> int:
    return await ready(host, name, PYTHON, "-c", textwrap.dedent(code))


# --- the steps of a stop -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("step", "number"),
    [(StopStage.INTERRUPT, 2), (StopStage.TERMINATE, 15), (StopStage.KILL, 9)],
)
async def test_each_step_of_a_stop_is_its_signal(host, step, number):
    await host.launch("a", "/bin/sleep", "1000")
    host.driver.signal("a", step)
    assert await host.next("a") == Exited(ExitStatus(signal=number))


async def test_sigint_goes_to_the_agent_alone(host):
    # Not `time.sleep`: a signal that comes just before it is not heard of until it ends.
    code = "import signal, subprocess, time; p = subprocess.Popen(['sleep', '1000'])\n"
    code += "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])\n"
    code += "print('ready', flush=True); signal.sigwait([signal.SIGINT])\n"
    code += "time.sleep(0.1); print(p.poll(), flush=True); p.kill(); p.wait()"
    await ready(host, "a", PYTHON, "-c", code)
    host.driver.signal("a", StopStage.INTERRUPT)
    assert await host.next("a") == Exited(ExitStatus(code=0))
    assert host.output("a").read_text().splitlines()[-1] == "None"  # its child had not ended


async def test_sigterm_and_sigkill_go_to_the_whole_group(host):
    for step in (StopStage.TERMINATE, StopStage.KILL):
        await ready(host, "a", "/bin/sh", "-c", f"echo; {LEAVES_A_CHILD}")
        host.driver.signal("a", step)
        end = await host.next("a")
        assert end.status.signal == {2: 15, 3: 9}[step]
        if isinstance(end, ExitedWithRemnants):  # the child was not quite as quick
            host.driver.signal("a", StopStage.KILL)
            assert await host.next("a") == RemnantsGone()
        host.output("a").unlink()


# --- remnants ------------------------------------------------------------------------------


async def test_what_is_left_behind_is_named_ended_and_only_then_gone(host):
    pid = await ready(host, "a", "/bin/sh", "-c", LEAVES_A_CHILD)
    (child,) = psutil.Process(pid).children()
    await until(lambda: child.cmdline() == ["sleep", "1000"], "no copy of the shell any more")
    psutil.Process(pid).kill()
    left = await host.next("a")
    assert isinstance(left, ExitedWithRemnants)
    assert left.status == KILLED
    assert [text.split(": ")[1] for text in left.remnants] == ["sleep 1000"]
    host.driver.signal("a", StopStage.TERMINATE)
    assert await host.next("a") == RemnantsGone()
    assert host.processes() == []


async def test_remnants_that_end_by_themselves_are_gone_too(host):
    go = host.directory / "go"
    left = 'while [ ! -e "$1" ]; do sleep 0.05; done & echo ready; wait'
    pid = await ready(host, "a", "/bin/sh", "-c", left, "sh", str(go))
    psutil.Process(pid).kill()
    assert isinstance(await host.next("a"), ExitedWithRemnants)
    go.touch()
    assert await host.next("a") == RemnantsGone()


async def test_remnants_that_ignore_sigterm_are_killed(host):
    pid = await ready(host, "a", "/bin/bash", "-c", LEAVES_A_STUBBORN_CHILD)
    psutil.Process(pid).kill()
    assert isinstance(await host.next("a"), ExitedWithRemnants)
    host.driver.signal("a", StopStage.TERMINATE)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(host.next("a"), 0.3)
    host.driver.signal("a", StopStage.KILL)
    assert await host.next("a") == RemnantsGone()


async def test_remnants_that_fork_while_they_are_ended_are_all_found(host):
    pid = await ready_python(host, "a", FORKS_WHEN_ENDED)
    psutil.Process(pid).kill()
    assert isinstance(await host.next("a"), ExitedWithRemnants)
    host.driver.signal("a", StopStage.TERMINATE)
    try:
        gone = await asyncio.wait_for(host.next("a"), 1)
    except TimeoutError:  # Python loses a signal that comes in the middle of a fork
        host.driver.signal("a", StopStage.KILL)
        gone = await host.next("a")
    assert gone == RemnantsGone()
    assert host.processes() == []


async def test_a_daemon_in_the_same_session_is_found_although_its_group_is_another(host):
    await ready_python(host, "a", DAEMON)
    host.driver.signal("a", StopStage.KILL)
    left = await host.next("a")
    assert isinstance(left, ExitedWithRemnants)
    assert len(left.remnants) == 1
    host.driver.signal("a", StopStage.TERMINATE)
    assert await host.next("a") == RemnantsGone()
    assert host.processes() == []


async def test_the_number_of_an_agent_is_its_own_until_nothing_is_left(host):
    pid = await ready(host, "a", "/bin/sh", "-c", LEAVES_A_CHILD)
    psutil.Process(pid).kill()
    await host.next("a")
    assert psutil.Process(pid).status() == psutil.STATUS_ZOMBIE  # not waited for yet
    host.driver.signal("a", StopStage.KILL)
    await host.next("a")
    assert not psutil.pid_exists(pid)


async def test_signals_while_an_end_is_being_looked_at_confuse_nothing(host):
    for n in range(20):
        name = f"a{n}"
        await host.launch(name, "/bin/sh", "-c", "exit 3")
        while host.reports[name].empty():
            for step in StopStage:
                host.driver.signal(name, step)
            await asyncio.sleep(0)
        assert isinstance(await host.next(name), Exited)
        await host.next(name, output=True)
        assert host.reports[name].empty()


# --- with a supervisor ---------------------------------------------------------------------

QUICK = Policy(RestartPolicy(first_delay=0.1, max_delay=0.3), StopPolicy(0.3, 0.3, 20.0))


class Supervised(Supervisor):
    """A supervisor with little patience, on the real driver."""

    def __init__(self, host: Host) -> None:
        clock = LoopClock(asyncio.get_running_loop())
        super().__init__({Kind.HOST: host.driver}, clock, QUICK, Random(1), lambda *_: None)
        self.host = host

    def add_command(self, name: str, *argv: str) -> None:
        self.host.commands[name] = self.host.command(name, *argv)
        self.add(InstanceSpec(name, "Any"))

    async def ready(self, name: str) -> None:
        """Wait until it says so, and is shown up: its words may be quicker than its pid."""
        await until(
            lambda: self.host.has_said(name, "ready") and self.snapshot[name].state is State.UP,
            f"{name} ready",
        )


@pytest.fixture
async def supervised(host):
    return Supervised(host)


def shown(supervisor, name="a"):
    return supervisor.snapshot[name].state


async def end(supervisor):
    finished = asyncio.Event()
    supervisor.stop_all()
    supervisor.when_idle(finished.set)
    await asyncio.wait_for(finished.wait(), 60)  # fifty agents, on a busy machine


async def test_a_stubborn_agent_is_killed_after_its_stop_timeout(host, supervised):
    code = textwrap.dedent(IGNORES).format(numbers=(2, 15))
    supervised.add_command("a", PYTHON, "-c", code)
    await supervised.ready("a")
    seen = []
    supervised.snapshot.subscribe(lambda _, record: seen.append(record.state))
    await end(supervised)
    assert list(dict.fromkeys(seen)) == [
        *(State.STOPPING, State.TERMINATING, State.KILLING, State.DOWN)
    ]
    assert supervised.snapshot["a"].last_exit.status == ExitStatus(signal=9)
    assert supervised.snapshot["a"].last_exit.expected


async def test_a_crash_with_remnants_is_relaunched_when_those_are_gone(host, supervised):
    supervised.add_command("a", "/bin/sh", "-c", LEAVES_A_CHILD)
    await supervised.ready("a")
    first = supervised.snapshot["a"].run.pid
    child = psutil.Process(first).children()[0]
    psutil.Process(first).kill()
    await until(lambda: supervised.snapshot["a"].run.pid not in (first, None), "relaunched")
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
    await end(supervised)


async def test_a_daemon_in_the_session_does_not_outlive_a_stop(host, supervised):
    supervised.add_command("a", PYTHON, "-c", textwrap.dedent(DAEMON))
    await supervised.ready("a")
    await end(supervised)
    assert shown(supervised) is State.DOWN
    assert host.processes() == []


async def test_an_agent_that_crashes_is_tried_again_and_again(host, supervised):
    supervised.add_command("a", "/bin/sh", "-c", "echo attempt; echo why >&2; exit 7")
    await until(lambda: host.has_said("a", "attempt", 6), "six attempts")
    record = supervised.snapshot["a"]
    assert record.last_exit.status == ExitStatus(code=7)
    await until(lambda: supervised.snapshot["a"].last_output == ("attempt", "why"), "output")
    await end(supervised)


async def test_fifty_agents_that_are_killed_at_once_are_back(host, supervised):
    names = [f"a{n}" for n in range(50)]
    for name in names:
        supervised.add_command(name, "/bin/sleep", "1000")
    up = [State.UP] * 50
    await until(lambda: [shown(supervised, name) for name in names] == up, "all up")
    before = {name: supervised.snapshot[name].run.pid for name in names}
    for pid in before.values():
        psutil.Process(pid).kill()
    await until(
        lambda: all(supervised.snapshot[n].run.pid not in (before[n], None) for n in names),
        "all back",
    )
    await end(supervised)


def test_the_policy_of_these_tests_is_short_and_otherwise_the_same():
    assert replace(QUICK, stop=StopPolicy(), restart=RestartPolicy()) == Policy()


async def test_no_memory_for_a_look_delays_it_and_loses_no_end(host, monkeypatch):
    submit, refused = ThreadPoolExecutor.submit, []

    def no_memory(pool: ThreadPoolExecutor, *work: object):
        if len(refused) < 3:
            refused.append(work)
            raise MemoryError
        return submit(pool, *work)

    pid = await host.launch("a", "/bin/sleep", "100")
    monkeypatch.setattr(ThreadPoolExecutor, "submit", no_memory)
    os.kill(pid, signal.SIGKILL)
    assert await host.next("a") == Exited(KILLED)
    assert len(refused) == 3


async def test_no_memory_for_an_answer_delays_it_and_loses_no_end(host):
    tell, refused = host.loop.call_soon_threadsafe, []

    def no_memory(*work: object):
        if len(refused) < 3:
            refused.append(work)
            raise MemoryError
        return tell(*work)

    host.loop.calls["call_soon_threadsafe"] = no_memory
    await host.launch("a", "/bin/sh", "-c", "exit 7")
    assert await host.next("a") == Exited(ExitStatus(code=7))
    assert len(refused) == 3


def test_those_who_come_and_go_do_not_hold_up_a_look_for_ever(monkeypatch, tmp_path):
    kin = Descendants(
        Ownership(ManagerIdentity("come-and-go", ("0" * 32,)), tmp_path / "locks"), "a", None
    )
    monkeypatch.setattr(Descendants, "_members", lambda _: [2**22 - 1])
    with pytest.raises(OSError, match="come and go"):
        kin.open_all()


def test_the_tag_of_a_live_run_says_whose_a_process_is_before_its_environment_does(tmp_path):
    owner = Ownership(ManagerIdentity("tags", ("0" * 32,)), tmp_path / "locks")
    env = {**os.environ, **owner.environment(InstanceSpec("a", "A"))}
    process = subprocess.Popen(["/bin/sleep", "1000"], env=env, start_new_session=True)
    try:
        tag = rlimit_tag.apply(process.pid)
        for live_tags, theirs in (((tag,), []), ((), [process.pid])):
            left = Descendants(owner, "a", None, None, live_tags).open_all()
            assert list(left.processes) == theirs
            for relative in left.processes.values():
                os.close(relative.pidfd)
    finally:
        process.kill()
        process.wait()


def test_who_has_got_the_number_of_a_leader_has_not_got_its_session(tmp_path):
    """An adopted leader is waited for by init: its number is free then."""
    owner = Ownership(ManagerIdentity("numbers", ("0" * 32,)), tmp_path / "locks")
    script = "sleep 1000 & echo $!; wait"
    leader = subprocess.Popen(
        ["/bin/sh", "-c", script], start_new_session=True, stdout=subprocess.PIPE, text=True
    )
    with leader:
        child = int(leader.stdout.readline())
        began = start_ticks(leader.pid)
        try:
            for started, theirs in ((began, [child]), (began - 5, [])):
                left = Descendants(
                    owner, "a", leader.pid, RlimitTag(leader.pid, started)
                ).open_all()
                assert list(left.processes) == theirs
                for relative in left.processes.values():
                    os.close(relative.pidfd)
        finally:
            os.killpg(leader.pid, 9)


def test_without_descriptors_no_lock_is_called_free(tmp_path, monkeypatch):
    def none_left(*_args):
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(locks, "acquire_lock", none_left)
    with pytest.raises(OSError, match="Too many"):
        locks.is_held(tmp_path / "a.lock")
