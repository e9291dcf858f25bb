"""Pipes that no path leads to any more, and commands that the log daemon never got.

Somebody deletes the state directory, or replaces a file of it, while agents run.
"""

import asyncio
import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from hostmanager.drivers.process.output import log_daemon_sink
from hostmanager.drivers.process.output.log_daemon_sink import LogDaemonSink
from hostmanager.logd.client import LogDaemonClient
from tests.integration.logd.conftest import PYTHON
from tests.support.waiting import wait_for

REPEATS = """
import sys
for line in sys.stdin:
    print(line, end="", flush=True)
"""


def start_repeater(env, name: str = "a") -> "subprocess.Popen[str]":
    """Start an agent that prints what it is told."""
    fd = env.client.open_pipe(name)
    agent = subprocess.Popen(
        [PYTHON, "-c", REPEATS], stdin=subprocess.PIPE, stdout=fd, text=True, bufsize=1
    )
    os.close(fd)
    env.agents.append(agent)
    return agent


def repeater(env) -> "subprocess.Popen[str]":
    """Such an agent that was told one thing, which was read."""
    agent = start_repeater(env)
    tell(agent, "one")
    wait_for(lambda: env.current_output("a") == b"one\n")
    return agent


def tell(agent: "subprocess.Popen[str]", text: str) -> None:
    assert agent.stdin is not None
    agent.stdin.write(text + "\n")
    agent.stdin.flush()


def test_the_next_one_reads_pipes_whose_directory_was_deleted(env):
    env.client.ensure_running()
    agent = repeater(env)
    shutil.rmtree(env.state / "pipes")
    env.kill_daemon()
    tell(agent, "two")
    env.client.ensure_running()
    env.client.advertise_pipes()
    tell(agent, "three")
    wait_for(lambda: env.current_output("a") == b"one\ntwo\nthree\n", 10)


def test_the_next_manager_finds_pipes_whose_directory_was_deleted(env):
    env.client.ensure_running()
    agent = repeater(env)
    shutil.rmtree(env.state / "pipes")
    env.kill_daemon()
    env.client.close()
    env.client = LogDaemonClient(env.state, env.files)
    env.client.ensure_running()
    env.client.keep_open("a", agent.pid)
    env.client.advertise_pipes("a")
    tell(agent, "two")
    wait_for(lambda: env.current_output("a") == b"one\ntwo\n", 10)


def test_a_pipe_without_a_path_is_read_when_the_one_before_has_ended(env):
    first = env.client.ensure_running()
    agent = repeater(env)
    shutil.rmtree(env.state / "pipes")
    (env.state / "scribe.lock").unlink()
    (env.state / "scribe.control").unlink()
    assert env.client.ensure_running() != first
    env.client.advertise_pipes()
    tell(agent, "two")
    wait_for(lambda: env.current_output("a") == b"one\ntwo\n", 10)
    os.kill(first, signal.SIGKILL)
    tell(agent, "three")
    wait_for(lambda: env.current_output("a") == b"one\ntwo\nthree\n", 10)


def test_a_pipe_of_somebody_else_is_not_advertised(env, monkeypatch):
    env.client.ensure_running()
    sent: list[str] = []
    monkeypatch.setattr(env.client, "send", sent.append)
    foreign = subprocess.Popen(["/bin/sleep", "1000"], stdout=subprocess.PIPE)
    env.agents.append(foreign)
    env.client.keep_open("b", foreign.pid)  # its stdout is a pipe, but none of ours
    env.client.advertise_pipes()
    assert sent == []
    assert foreign.stdout is not None
    foreign.stdout.close()


def test_another_pipe_at_that_descriptor_is_left_alone(env):
    env.client.ensure_running()
    reading, writing = os.pipe()
    os.write(writing, b"not for the log daemon")
    env.client.send(f"add a {os.getpid()} {reading} 1 2")
    env.write("b", b"x\n")
    assert os.read(reading, 100) == b"not for the log daemon"
    os.close(reading)
    os.close(writing)


def test_a_pipe_of_which_no_command_reported_is_found_by_its_path(env, monkeypatch):
    monkeypatch.setattr(env.client, "send", lambda _command: True)
    pid = env.client.ensure_running()
    env.agent("a", "print('hello')").wait(60)
    wait_for(lambda: env.current_output("a") == b"hello\n", 15)
    assert env.client.pid == pid


# --- commands that are lost ---------------------------------------------------------------


def unknown_agent(env) -> "subprocess.Popen[str]":
    """An agent that has printed a line, while a log daemon runs that cannot know of its pipe.

    Its command was lost with the control pipe, and its path with the directory. The log daemon goes
    on: another agent runs.
    """
    start_repeater(env, "b")
    shutil.rmtree(env.state)
    agent = start_repeater(env)
    shutil.rmtree(env.state)
    tell(agent, "one")
    wait_for(lambda: env.client.waiting("a"))
    return agent


async def wait_on_loop(predicate: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not predicate():  # noqa: ASYNC110 - a file and a sink have no event
            await asyncio.sleep(0.01)


def test_a_pipe_whose_command_and_path_were_lost_is_named_again(env, monkeypatch):
    monkeypatch.setattr(log_daemon_sink, "UNREAD_INTERVAL", 0.2)

    async def lose_and_find() -> None:
        sink = LogDaemonSink(asyncio.get_running_loop(), env.client, env.files)
        sink.start()
        await wait_on_loop(lambda: sink.running)
        first = sink.pid
        unknown_agent(env)
        await wait_on_loop(lambda: env.current_output("a") == b"one\n")
        assert (sink.pid, sink.starts) == (first, 1)
        sink.close(end=False)

    asyncio.run(lose_and_find())


@pytest.mark.parametrize("gone", ["next run", "removed"])
def test_what_an_agent_printed_into_such_a_pipe_is_kept_after_its_end(env, gone):
    env.client.ensure_running()
    agent = unknown_agent(env)
    agent.kill()
    agent.wait()
    if gone == "next run":
        os.close(env.client.open_pipe("a"))
    else:
        env.client.remove("a")
    assert env.client.has_unread()

    def all_read() -> bool:
        env.client.advertise_unread()  # as the manager does, again and again
        return not env.client.has_unread()

    wait_for(all_read, 30, every=0.2)
    assert env.current_output("a") == b"one\n"


def test_the_log_daemon_closes_pipes_that_nobody_can_write_to_any_more(env, monkeypatch):
    pid = env.client.ensure_running()
    agent = start_repeater(env)
    wait_for(lambda: count_pipes(pid) == 1)
    monkeypatch.setattr(env.client, "send", lambda _command: False)  # so no `drop` either
    env.client.remove("a")
    agent.kill()
    agent.wait()
    wait_for(lambda: count_pipes(pid) == 0, 30)
    assert env.client.pid == pid


def count_pipes(pid: int) -> int:
    """Descriptors of agents' pipes that a log daemon has."""
    return sum("/pipes/" in str(fd.readlink()) for fd in Path(f"/proc/{pid}/fd").iterdir())
