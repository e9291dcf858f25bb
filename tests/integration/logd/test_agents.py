"""What an agent notices: nothing."""

import json
import os
import signal
import subprocess
import threading
import time

import psutil

from tests.integration.logd.conftest import NUMBERED, PACKED, PYTHON, numbers
from tests.support.waiting import wait_for

MANAGER = """
import fcntl, json, os, subprocess, sys, time
from pathlib import Path
from hostmanager.logd.client import LogDaemonClient
state, files = Path(sys.argv[1]), Path(sys.argv[2])
lock = open(state / "manager.lock", "w")
fcntl.flock(lock, fcntl.LOCK_EX)
scribe = LogDaemonClient(state, files)
pid = scribe.ensure_running()
fd = scribe.open_pipe("a")
agent = subprocess.Popen([sys.executable, "-c", sys.argv[3], *sys.argv[4:]], stdout=fd, stderr=fd)
print(json.dumps([pid, agent.pid]), flush=True)
time.sleep(60)
"""


def test_an_agent_prints_50_mb_while_no_manager_lives_and_is_never_stopped(room):
    room.manager_dies()  # another one takes its place
    sign, result = room.folder / "sign", room.folder / "result"
    wait = f"import os, time\nwhile not os.path.exists({str(sign)!r}): time.sleep(0.01)\n"
    words = [str(room.state), str(room.files), wait + NUMBERED, "500000", "20e6", "100", result]
    manager = subprocess.Popen([PYTHON, "-c", MANAGER, *words], stdout=subprocess.PIPE)
    scribe, agent = json.loads(manager.stdout.readline())
    manager.kill()
    manager.wait()
    sign.touch()
    wait_for(result.exists, 30, "the agent has printed all")
    worst, waited, took = map(float, wait_for(result.read_text).split())
    wait_for(lambda: not psutil.pid_exists(agent) or psutil.Process(agent).status() == "zombie")
    assert room.scribe.pid == scribe
    assert room.scribe.flush("a", 5)
    assert numbers(room.printed("a")) == list(range(500_000))
    assert worst < 0.5
    assert waited < 2
    assert took < 6


def test_every_line_is_there_once_when_the_scribe_is_killed_again_and_again(room):
    room.limited(3_000_000, 50)
    agent = room.agent("a", NUMBERED, 400_000, 10e6, 100)
    kills = 0
    while agent.poll() is None:
        time.sleep(0.15)
        room.kill_scribe()
        room.scribe.ensure_running()
        kills += 1
    assert kills > 10
    assert agent.returncode == 0
    assert room.scribe.flush("a", 5)
    assert numbers(room.printed("a")) == list(range(400_000))


def test_what_an_agent_printed_while_no_scribe_lived_is_kept_although_it_ended(room):
    room.scribe.ensure_running()
    fd = room.scribe.open_pipe("a")
    room.kill_scribe()
    os.write(fd, b"last words\n")
    os.close(fd)
    room.scribe.ensure_running()
    assert room.scribe.flush("a", 5)
    assert room.printed("a") == b"last words\n"


def test_an_agent_launched_before_the_scribe_is_read_by_the_next_one(room):
    agent = room.agent("a", "print('early')")
    assert agent.wait(60) == 0
    room.scribe.ensure_running()
    assert room.scribe.flush("a", 5)
    assert room.printed("a") == b"early\n"


def test_a_dead_scribe_is_no_error_for_an_agent(room):
    room.scribe.ensure_running()
    source = "import sys, time\nfor i in range(30): print(i); time.sleep(0.02)"
    agent = room.agent("a", source)
    time.sleep(0.2)
    room.kill_scribe()
    room.scribe.close()
    assert agent.wait(60) == 0


def test_every_line_is_there_once_over_rotation_under_load(room):
    room.limited(500_000, 99)
    room.run("a", NUMBERED, 300_000, 15e6, 100)
    assert numbers(room.printed("a")) == list(range(300_000))
    wait_for(lambda: len(list(room.files.glob("a.out.*.gz"))) > 10, PACKED)


def test_bytes_stay_as_they_are(room):
    room.scribe.ensure_running()
    room.run("a", "import os\nos.write(1, bytes(range(256)) * 100)")
    assert room.printed("a") == bytes(range(256)) * 100


def test_the_next_run_appends_to_what_was_there(room):
    room.scribe.ensure_running()
    for word in ("one", "two", "three"):
        room.run("a", f"print('{word}')")
    assert room.printed("a") == b"one\ntwo\nthree\n"


def test_stderr_and_stdout_are_in_their_order(room):
    room.scribe.ensure_running()
    room.run("a", "import os\nfor i in range(500): os.write(1 + i % 2, b'%d\\n' % i)")
    assert room.printed("a").split() == [b"%d" % i for i in range(500)]


def test_300_pipes_are_all_read_with_few_descriptors_each(room):
    room.scribe.ensure_running()
    scribe = psutil.Process(room.scribe.pid)
    ids = [f"agent-{i}" for i in range(300)]
    pipes = {i: room.scribe.open_pipe(i) for i in ids}
    for word in (b"hello\n", b"again\n"):
        for fd in pipes.values():
            os.write(fd, word)
        for i in ids:
            assert room.scribe.flush(i, 10)
    assert all(room.printed(i) == b"hello\nagain\n" for i in ids)
    assert scribe.num_fds() <= 3 * 300 + 20
    for fd in pipes.values():
        os.close(fd)
    for i in ids:
        room.scribe.remove(i)
    wait_for(lambda: scribe.num_fds() < 20, 5, "descriptors are given back", scribe.num_fds)
    assert not room.scribe.instances()


def test_many_runs_leave_no_descriptors(room):
    room.scribe.ensure_running()
    scribe = psutil.Process(room.scribe.pid)
    room.say("a", b"x\n")
    before, ours = scribe.num_fds(), psutil.Process().num_fds()
    for _ in range(200):
        room.say("a", b"x\n")
    assert scribe.num_fds() <= before
    assert psutil.Process().num_fds() <= ours
    assert room.printed("a") == b"x\n" * 201


def test_a_loud_agent_does_not_hold_up_a_quiet_one(room):
    room.scribe.ensure_running()
    room.agent("loud", NUMBERED, 10_000_000, 100e6, 100)
    for _ in range(10):
        begun = time.monotonic()
        room.say("quiet", b"x\n")
        assert time.monotonic() - begun < 1.0


def test_a_loud_agent_costs_few_wake_ups(room):
    room.scribe.ensure_running()
    agent = room.agent("a", NUMBERED, 300_000, 10e6, 100)
    process = psutil.Process(room.scribe.pid)
    time.sleep(0.5)
    before, begun = process.num_ctx_switches().voluntary, time.monotonic()
    assert agent.wait(60) == 0
    rate = (process.num_ctx_switches().voluntary - before) / (time.monotonic() - begun)
    assert rate < 100


def test_memory_stays_small(room):
    room.scribe.ensure_running()
    room.run("a", NUMBERED, 300_000, 50e6, 100)
    for i in range(50):
        room.say(f"b{i}", b"x\n")
    assert psutil.Process(room.scribe.pid).memory_info().rss < 16e6


def test_a_stopped_scribe_goes_on_when_it_is_asked_for(room):
    pid = room.scribe.ensure_running()
    os.kill(pid, signal.SIGSTOP)
    wait_for(lambda: psutil.Process(pid).status() == "stopped")
    fd = room.scribe.open_pipe("a")
    os.write(fd, b"x\n")
    os.close(fd)
    assert not room.scribe.flush("a", 0.1)
    assert room.scribe.ensure_running() == pid
    assert room.scribe.flush("a", 5)


def test_calls_from_many_threads_do_not_disturb_each_other(room):
    room.scribe.ensure_running()
    threads = [threading.Thread(target=room.say, args=(f"a{i % 4}", b"x\n")) for i in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [room.printed(f"a{i}") for i in range(4)] == [b"x\n" * 10] * 4
