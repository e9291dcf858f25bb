"""How a process is: what the kernel says of it, whoever launched it, when somebody looks."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from hostmanager.agent.operations.child_state import child_state
from hostmanager.core.events import Timestamp
from hostmanager.core.model import InstanceSpec, Target
from hostmanager.core.record import CurrentRun, InstanceRecord, State
from hostmanager.drivers.process.process_state import (
    CACHE_SECONDS,
    MAX_AGE,
    MAX_READS,
    TRANSIENT_SECONDS,
    ProcessState,
    ProcessStateCache,
)
from tests.support.waiting import wait_for

SPEC = InstanceSpec("a", "Any")
WAITS_IN_THE_KERNEL = """
import os, sys
# A parent waits in the kernel until what it spawns has executed its program.
os.posix_spawn("/bin/true", ["true"], {}, file_actions=[
    (os.POSIX_SPAWN_OPEN, 3, sys.argv[1], os.O_RDONLY, 0)])
"""

Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def start() -> Iterator[Start]:
    started: list[subprocess.Popen[bytes]] = []

    def go(*argv: str) -> subprocess.Popen[bytes]:
        started.append(subprocess.Popen(argv or ("/bin/sleep", "1000")))
        return started[-1]

    yield go
    for process in started:
        process.kill()
        process.wait()


def word(pid: int) -> str | None:
    condition = ProcessStateCache().get("a", pid, time.monotonic())
    return condition.name if condition else None


def test_a_sleeping_a_suspended_and_a_continued_process_are_shown_as_that(start):
    pid = start().pid
    wait_for(lambda: word(pid) == "sleeping")
    os.kill(pid, signal.SIGSTOP)
    wait_for(lambda: word(pid) == "stopped")
    os.kill(pid, signal.SIGCONT)
    wait_for(lambda: word(pid) == "sleeping")


def test_a_zombie_is_shown_as_that(start):
    process = start("/bin/true")
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert word(process.pid) == "zombie"


def test_an_uninterruptible_sleep_is_shown_as_that(start, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    process = start(sys.executable, "-c", WAITS_IN_THE_KERNEL, str(pipe))
    wait_for(lambda: word(process.pid) == "disk sleep")
    pipe.write_bytes(b"")
    assert process.wait(60) == 0


def test_of_a_process_that_is_gone_nothing_is_known(start):
    process = start("/bin/true")
    process.wait()
    assert word(process.pid) is None
    assert ProcessStateCache().get("a", None, 0.0) is None


def test_many_looks_are_one_and_another_process_is_another_look():
    looks: list[int] = []
    conditions = ProcessStateCache(lambda pid: looks.append(pid) or b"S")
    for _ in range(100):
        conditions.get("a", 7, 1.0)
    assert looks == [7]
    conditions.get("a", 8, 1.0)
    conditions.get("a", 8, 1.0 + CACHE_SECONDS)
    assert looks == [7, 8, 8]


def test_of_many_processes_the_oldest_states_are_read_and_none_is_older_than_it_may_be():
    looks: list[int] = []
    conditions = ProcessStateCache(lambda pid: looks.append(pid) or b"S")
    count, step = 3 * MAX_READS, CACHE_SECONDS
    for turn in range(20):
        now = 1.0 + turn * step
        before = len(looks)
        states = [conditions.get(f"a{pid}", pid, now) for pid in range(count)]
        assert all(now - state.observed_at < MAX_AGE for state in states if state)
        assert turn == 0 or len(looks) - before == MAX_READS
    assert {looks.count(pid) for pid in range(count)} == {7, 8}


def test_those_that_are_gone_take_nobodys_turn():
    looks: list[int] = []
    conditions = ProcessStateCache(lambda pid: looks.append(pid) or b"S")
    for turn in range(8):
        name = "before" if turn < 3 else "renamed"
        for pid in range(MAX_READS):
            conditions.get(f"{name}{pid}", pid, 1.0 + turn * CACHE_SECONDS)
    assert {looks.count(pid) for pid in range(MAX_READS)} == {8}


def test_a_sleep_in_the_kernel_is_talked_about_when_it_lasts():
    letters = iter([b"D", b"S", b"D", b"D"])
    conditions = ProcessStateCache(lambda _: next(letters))
    seen = [conditions.get("a", 7, n * TRANSIENT_SECONDS) for n in range(4)]
    assert [c.is_persistent for c in seen if c] == [False, False, False, True]


# --- as it is shown ------------------------------------------------------------------------


def shown(state: State, word: str, lasted: float = 0.0) -> tuple[str, str]:
    """The field and the message of an instance in a state, and its process in another."""
    record = InstanceRecord(SPEC, Target.DOWN, state, 5.0, run=CurrentRun(pid=7))
    condition = ProcessState(7, word, 1.0, 1.0 + lasted)
    result = child_state(record, Timestamp(1.0, 1000.0), None, condition)
    return result["process_state"], result["message"]


def test_a_suspended_agent_says_so_and_how_it_is_continued():
    state, message = shown(State.UP, "stopped")
    assert state == "stopped"
    assert message == (
        "It is suspended (SIGSTOP) and does nothing until it is continued (`kill -CONT 7` on its "
        "host) or restarted."
    )


@pytest.mark.parametrize(
    ("state", "asked"), [(State.STOPPING, "SIGINT"), (State.TERMINATING, "SIGTERM")]
)
def test_a_stop_that_waits_for_a_suspended_agent_says_so(state, asked):
    assert (
        f"It is suspended (SIGSTOP), so it cannot react to {asked}." in shown(state, "stopped")[1]
    )


def test_what_happens_to_any_process_for_a_moment_is_no_message():
    assert shown(State.UP, "sleeping") == ("sleeping", "")
    assert shown(State.UP, "running") == ("running", "")
    assert shown(State.UP, "disk sleep") == ("disk sleep", "")
    assert "uninterruptible sleep" in shown(State.UP, "disk sleep", TRANSIENT_SECONDS)[1]
    assert shown(State.UP, "zombie")[1] == ""
    assert "zombie" in shown(State.UP, "zombie", TRANSIENT_SECONDS)[1]
