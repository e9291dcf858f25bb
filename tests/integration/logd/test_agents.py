"""What an agent notices: nothing."""

import json
import os
import signal
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path

import psutil

from tests.integration.logd.conftest import COMPRESS_TIMEOUT, NUMBERED, PYTHON, numbers
from tests.support.waiting import BUSY_MACHINE, wait_for

MANAGER = """
import fcntl, json, os, subprocess, sys, time
from pathlib import Path
from hostmanager.logd.client import LogDaemonClient
state, files = Path(sys.argv[1]), Path(sys.argv[2])
lock = open(state / "manager.lock", "w")
fcntl.flock(lock, fcntl.LOCK_EX)
client = LogDaemonClient(state, files)
pid = client.ensure_running()
fd = client.open_pipe("a")
agent = subprocess.Popen([sys.executable, "-c", sys.argv[3], *sys.argv[4:]], stdout=fd, stderr=fd)
print(json.dumps([pid, agent.pid]), flush=True)
time.sleep(60)
"""


def test_an_agent_prints_50_mb_while_no_manager_lives_and_is_never_stopped(env):
    env.manager_dies()  # another one takes its place
    sign, result = env.directory / "sign", env.directory / "result"
    wait = f"import os, time\nwhile not os.path.exists({str(sign)!r}): time.sleep(0.01)\n"
    argv = [str(env.state), str(env.files), wait + NUMBERED, "500000", "20e6", "100", result]
    manager = subprocess.Popen([PYTHON, "-c", MANAGER, *argv], stdout=subprocess.PIPE)
    daemon_pid, agent = json.loads(manager.stdout.readline())
    manager.kill()
    manager.wait()
    sign.touch()
    wait_for(result.exists, 30, "the agent has printed all")
    worst, waited, took = map(float, wait_for(result.read_text).split())
    wait_for(lambda: not psutil.pid_exists(agent) or psutil.Process(agent).status() == "zombie")
    assert env.client.pid == daemon_pid
    assert env.client.flush("a", 5)
    assert numbers(env.all_output("a")) == list(range(500_000))
    assert worst < 0.5 * BUSY_MACHINE
    assert waited < 2 * BUSY_MACHINE
    assert took < 6 * BUSY_MACHINE


def test_a_pipe_is_read_whose_manager_died_before_the_log_daemon_heard_of_it(env):
    env.manager_dies()  # another one takes its place
    manager_code = MANAGER.replace("fd = client", "os.kill(pid, 19)\nfd = client", 1)
    manager_code = manager_code.replace("import ", "import os, ", 1)
    args = [
        str(env.state),
        str(env.files),
        NUMBERED,
        "20000",
        "20e6",
        "100",
        env.directory / "result",
    ]
    manager = subprocess.Popen([PYTHON, "-c", manager_code, *args], stdout=subprocess.PIPE)
    daemon_pid, _ = json.loads(manager.stdout.readline())
    manager.kill()
    manager.wait()
    os.kill(daemon_pid, signal.SIGCONT)  # only now does it read what it was sent
    wait_for((env.directory / "result").exists, 30, "the agent has printed all")
    wait_for(lambda: numbers(env.all_output("a")) == list(range(20_000)), 30, "all lines")


def test_every_line_is_there_once_when_the_log_daemon_is_killed_again_and_again(env):
    env.restart_with_limits(3_000_000, 50)
    agent = env.agent("a", NUMBERED, 400_000, 10e6, 100)
    kills = 0
    while agent.poll() is None:
        time.sleep(0.15)
        env.kill_daemon()
        env.client.ensure_running()
        kills += 1
    assert kills > 2  # a dozen, unless the machine is busy
    assert agent.returncode == 0
    assert env.client.flush("a", 5)
    assert numbers(env.all_output("a")) == list(range(400_000))


def test_what_an_agent_printed_while_no_log_daemon_lived_is_kept_although_it_ended(env):
    env.client.ensure_running()
    fd = env.client.open_pipe("a")
    env.kill_daemon()
    os.write(fd, b"last words\n")
    os.close(fd)
    env.client.ensure_running()
    assert env.client.flush("a", 5)
    assert env.all_output("a") == b"last words\n"


def test_an_agent_launched_before_the_log_daemon_is_read_by_the_next_one(env):
    agent = env.agent("a", "print('early')")
    assert agent.wait(60) == 0
    env.client.ensure_running()
    assert env.client.flush("a", 5)
    assert env.all_output("a") == b"early\n"


def test_a_dead_log_daemon_is_no_error_for_an_agent(env):
    env.client.ensure_running()
    source = "import sys, time\nfor i in range(30): print(i); time.sleep(0.02)"
    agent = env.agent("a", source)
    time.sleep(0.2)  # in the middle of what the agent says
    env.kill_daemon()
    env.client.close()
    assert agent.wait(60) == 0


def test_every_line_is_there_once_over_rotation_under_load(env):
    env.restart_with_limits(500_000, 99)
    env.run("a", NUMBERED, 300_000, 15e6, 100)
    assert numbers(env.all_output("a")) == list(range(300_000))
    wait_for(lambda: len(list(env.files.glob("a.out.*.gz"))) > 10, COMPRESS_TIMEOUT)


def test_bytes_stay_as_they_are(env):
    env.client.ensure_running()
    env.run("a", "import os\nos.write(1, bytes(range(256)) * 100)")
    assert env.all_output("a") == bytes(range(256)) * 100


def test_the_next_run_appends_to_what_was_there(env):
    env.client.ensure_running()
    for word in ("one", "two", "three"):
        env.run("a", f"print('{word}')")
    assert env.all_output("a") == b"one\ntwo\nthree\n"


def test_stderr_and_stdout_are_in_their_order(env):
    env.client.ensure_running()
    env.run("a", "import os\nfor i in range(500): os.write(1 + i % 2, b'%d\\n' % i)")
    assert env.all_output("a").split() == [b"%d" % i for i in range(500)]


def test_300_pipes_are_all_read_with_few_descriptors_each(env):
    env.client.ensure_running()
    daemon = psutil.Process(env.client.pid)
    ids = [f"agent-{i}" for i in range(300)]
    pipes = {i: env.client.open_pipe(i) for i in ids}
    for word in (b"hello\n", b"again\n"):
        for fd in pipes.values():
            os.write(fd, word)
        for i in ids:
            assert env.client.flush(i, 10)
    assert all(env.all_output(i) == b"hello\nagain\n" for i in ids)
    assert daemon.num_fds() <= 3 * 300 + 20
    for fd in pipes.values():
        os.close(fd)
    for i in ids:
        env.client.remove(i)
    wait_for(lambda: daemon.num_fds() < 20, 5, "descriptors are given back", daemon.num_fds)
    assert not env.client.instances()


def open_fds(directory: Path) -> set[str]:
    """Which files of a directory this process has open."""
    links = []
    for fd in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # that of the listing itself
            links.append(os.fspath(fd.readlink()))
    return {link for link in links if link.startswith(f"{directory}/")}


def test_many_runs_leave_no_descriptors(env):
    env.client.ensure_running()
    daemon = psutil.Process(env.client.pid)
    env.write("a", b"x\n")
    before, ours = daemon.num_fds(), open_fds(env.state)
    for _ in range(200):
        env.write("a", b"x\n")
    wait_for(lambda: daemon.num_fds() <= before, 10, "descriptors are given back", daemon.num_fds)
    assert open_fds(env.state) == ours
    assert env.all_output("a") == b"x\n" * 201


def test_a_loud_agent_does_not_hold_up_a_quiet_one(env):
    env.client.ensure_running()
    loud = env.agent("loud", NUMBERED, 10_000_000_000, 50e6, 100)
    wait_for(lambda: env.current_output("loud"), 10, "it to be loud")
    for _ in range(10):
        env.write("quiet", b"x\n")  # which does not wait for its end
    assert loud.poll() is None


def test_a_loud_agent_costs_few_wake_ups(env):
    env.client.ensure_running()
    agent = env.agent("a", NUMBERED, 300_000, 10e6, 100)
    process = psutil.Process(env.client.pid)
    time.sleep(0.5)  # past its start
    before, started = process.num_ctx_switches().voluntary, time.monotonic()
    assert agent.wait(60) == 0
    rate = (process.num_ctx_switches().voluntary - before) / (time.monotonic() - started)
    assert rate < 100


def test_memory_stays_small(env):
    env.client.ensure_running()
    env.run("a", NUMBERED, 300_000, 50e6, 100)
    for i in range(50):
        env.write(f"b{i}", b"x\n")
    assert psutil.Process(env.client.pid).memory_info().rss < 16e6


def test_a_stopped_log_daemon_goes_on_when_it_is_asked_for(env):
    pid = env.client.ensure_running()
    os.kill(pid, signal.SIGSTOP)
    wait_for(lambda: psutil.Process(pid).status() == "stopped")
    fd = env.client.open_pipe("a")
    os.write(fd, b"x\n")
    os.close(fd)
    assert not env.client.flush("a", 0.1)
    assert env.client.ensure_running() == pid
    assert env.client.flush("a", 5)


def test_calls_from_many_threads_do_not_disturb_each_other(env):
    env.client.ensure_running()
    threads = [threading.Thread(target=env.write, args=(f"a{i % 4}", b"x\n")) for i in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [env.all_output(f"a{i}") for i in range(4)] == [b"x\n" * 10] * 4
