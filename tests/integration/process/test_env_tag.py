"""The mark in the environment: written, read, found; who leads and who was only started."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hostmanager.drivers.process.ownership import env_tag as marks
from hostmanager.drivers.process.ownership.discovery import describe_run
from hostmanager.drivers.process.ownership.env_tag import EnvTag, TaggedProcess
from hostmanager.drivers.process.ownership.manager_identity import ManagerIdentity
from hostmanager.util.procfs import start_ticks

KEY = f"marks{os.getpid()}"
OWNER = ManagerIdentity(KEY, ("0" * 32,))
SLEEP = ("/bin/sleep", "1000")

Start = Callable[..., int]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a sleeper with a mark; its pid."""
    started = []

    def go(mark: str, *, session: bool = True) -> int:
        env = {"A": "1", marks.ENV_VAR: mark, "B": "2"}
        started.append(subprocess.Popen(SLEEP, env=env, start_new_session=session))
        environ = Path(f"/proc/{started[-1].pid}/environ")
        while not environ.read_bytes():  # empty for an instant in the middle of an exec
            pass
        return started[-1].pid

    yield go
    for process in started:
        process.kill()
        process.wait()


def mark_of(instance_id: str, ago: int = 0) -> EnvTag:
    """A mark as of so many ticks ago."""
    return EnvTag(KEY, instance_id, "abc", marks.now_ticks() - ago, "Any")


@pytest.mark.parametrize("agent_class", ["FakeDataAgent", "odd/class", "", "mit Umläuten"])
def test_what_was_written_is_read(agent_class):
    mark = EnvTag(KEY, "a.b-c_1", "f00", 123456, agent_class)
    assert marks.parse_tag(str(mark)) == mark


@pytest.mark.parametrize(
    "text", ["", "a", "a/b/c", "a/b/c/later/X", "a/b/c/-1/X", "a/b/c//X", "////"]
)
def test_what_is_no_mark_of_ours_is_none(text):
    assert marks.parse_tag(text) is None


def test_a_marked_process_is_found_by_its_key_alone(start):
    mark = mark_of("a")
    pid = start(str(mark))
    start(str(mark).replace(KEY, KEY + "x"))
    (one,) = marks.find_tagged(OWNER.owns)
    assert (one.pid, one.tag) == (pid, mark)
    assert one.is_leader


def test_a_mark_that_cannot_be_read_as_text_disturbs_nothing(start):
    pid = start("\udcff\udcfe/\udc80")
    assert marks.read_tag(pid) is None
    assert marks.find_tagged(OWNER.owns) == []


def test_a_zombie_carries_no_mark():
    env = {marks.ENV_VAR: str(mark_of("a"))}
    process = subprocess.Popen(["/bin/sleep", "0"], env=env)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert marks.find_tagged(OWNER.owns) == []
    process.wait()


def test_a_process_that_ended_carries_none():
    process = subprocess.Popen(["/bin/true"])
    process.wait()
    assert marks.read_tag(process.pid) is None
    assert start_ticks(process.pid) is None


def test_who_leads_a_session_and_began_when_the_mark_says_is_the_leader(start):
    mark = mark_of("a")
    leader = start(str(mark))
    other = start(str(mark), session=False)
    by_pid = {marked.pid: marked.is_leader for marked in marks.find_tagged(OWNER.owns)}
    assert by_pid == {leader: True, other: False}


def test_a_daemon_with_a_session_of_its_own_began_too_late_to_be_the_leader(start):
    daemon = start(str(mark_of("a", ago=marks.LEADER_START_TOLERANCE + 1)))
    (one,) = marks.find_tagged(OWNER.owns)
    assert (one.pid, one.is_leader) == (daemon, False)
    assert describe_run([one]).pid is None


def test_of_two_that_might_lead_the_earlier_does():
    # A daemon that was started within a second of its agent: the agent began before it.
    me, mark = os.getsid(0), EnvTag(KEY, "a", "abc", 1000, "Any")
    agent, daemon = TaggedProcess(me, mark, 1005), TaggedProcess(me, mark, 1050)
    assert agent.is_leader or os.getsid(0) != me
    assert describe_run([daemon, agent]).other_pids == (daemon.pid,)


def test_a_name_with_parentheses_does_not_hide_the_start(tmp_path):
    program = tmp_path / "a) S 1 (b"
    program.symlink_to(sys.executable)
    process = subprocess.Popen([program, "-c", "import time; time.sleep(1000)"])
    try:
        ticks = start_ticks(process.pid)
        assert ticks is not None
        assert abs(ticks - marks.now_ticks()) < 1000
    finally:
        process.kill()
        process.wait()
