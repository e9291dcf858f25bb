"""The log daemon's own life: one of them, as long as somebody needs it."""

import os
import re
import signal
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from hostmanager.logd.client import LogDaemonClient
from hostmanager.logd.daemon_process import LogDaemonError
from hostmanager.logd.settings import Settings
from tests.integration.logd.conftest import NUMBERED, PYTHON, numbers
from tests.support.waiting import wait_for


def start(env, *more: str) -> "subprocess.Popen[bytes]":
    argv = ["--state", str(env.state), "--files", str(env.files), *more]
    return subprocess.Popen([PYTHON, "-m", "hostmanager.logd", *argv], stderr=subprocess.PIPE)


def test_a_second_one_ends_at_once(env):
    pid = env.client.ensure_running()
    second = start(env)
    assert second.wait(60) == 1
    assert env.client.pid == pid
    assert LogDaemonClient(env.state, env.files).ensure_running() == pid


def test_two_managers_at_the_same_time_get_one_log_daemon(env):
    source = (
        "import sys; from pathlib import Path; from hostmanager.logd.client import LogDaemonClient\n"
        "print(LogDaemonClient(Path(sys.argv[1]), Path(sys.argv[2])).ensure_running())"
    )
    argv = [PYTHON, "-c", source, str(env.state), str(env.files)]
    both = [subprocess.Popen(argv, stdout=subprocess.PIPE) for _ in range(4)]
    outputs = {process.communicate(timeout=60)[0] for process in both}
    assert len(outputs) == 1
    assert int(outputs.pop()) == env.client.pid


def test_arguments_that_make_no_sense_are_refused(env):
    process = subprocess.run(
        [PYTHON, "-m", "hostmanager.logd", "--state"], capture_output=True, check=False
    )
    assert process.returncode == 2
    assert b"not understood: --state" in process.stderr
    assert Settings.parse(Settings("/a", "/b", 5000, 7).to_argv()).to_argv() == [
        *("--state", "/a", "--files", "/b", "--max-bytes", "5000", "--max-files", "7")
    ]


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"])
def test_signals_from_terminals_are_ignored(env, name):
    pid = env.client.ensure_running()
    os.kill(pid, getattr(signal, name))
    env.write("a", b"x\n")
    assert env.client.pid == pid


def test_it_has_a_session_of_its_own_and_nothing_of_the_managers(env):
    pid = env.client.ensure_running()
    assert os.getsid(pid) == pid
    open_files = [str(Path(f"/proc/{pid}/fd/{fd}").readlink()) for fd in (0, 1, 2)]
    assert open_files == ["/dev/null", "/dev/null", str(env.state / "scribe.log")]
    assert psutil.Process(pid).cwd() == str(env.state)


def test_garbage_in_the_control_pipe_has_no_effect(env):
    pid = env.client.ensure_running()
    with (env.state / "scribe.control").open("wb", buffering=0) as control:
        for garbage in (
            b"\n\n\n",
            b"add\n",
            b"add ../../etc/passwd\n",
            b"drop \xff\xfe\n",
            b"quit now\n",
            bytes(range(256)),
            b"\nadd nobody\n",
            b"x" * 60_000,
            b"quit" * 5000 + b"\n",
            b"\0" * 4096 + b"\n",
        ):
            control.write(garbage)
    env.write("a", b"hello\n")
    assert env.client.pid == pid
    assert env.all_output("a") == b"hello\n"
    assert "not understood: b'add ../../etc/passwd'" in env.log()
    assert len(env.log()) < 10_000


@pytest.mark.parametrize("name", ["", "a\0", "a b", "a\n", "x" * 201, "é" * 34])
def test_ids_that_cannot_be_file_names_are_refused(env, name):
    with pytest.raises(ValueError, match="cannot be the name of an instance"):
        env.client.open_pipe(name)


@pytest.mark.parametrize("name", [".", "..", ".control", "a.pipe", "-rf", "a.out.1", "x" * 200])
def test_ids_that_only_look_odd_work(env, name):
    env.client.ensure_running()
    env.write(name, b"hello\n")
    assert env.all_output(name) == b"hello\n"
    assert env.client.instances() == [name]


@pytest.mark.parametrize("number", range(4))
def test_one_that_is_only_starting_is_stopped_and_none_is_started_after_that(env, number):
    def start_until_stopped() -> None:
        with suppress(LogDaemonError):
            env.client.ensure_running()

    starter = threading.Thread(target=start_until_stopped)
    starter.start()
    time.sleep(0.02 * number)  # before, in or after the start of its process
    assert env.client.stop(20, final=True)
    starter.join()
    commands = [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]
    assert [command for command in commands if str(env.state) in command] == []
    with pytest.raises(LogDaemonError):
        env.client.ensure_running()


def test_told_to_quit_it_empties_the_pipes_first(env):
    pid = env.client.ensure_running()
    fds = [env.client.open_pipe(f"a{i}") for i in range(20)]
    for fd in fds:
        os.write(fd, b"x" * 60_000)
    assert env.client.stop()
    assert not psutil.pid_exists(pid)
    assert [len(env.all_output(f"a{i}")) for i in range(20)] == [60_000] * 20
    for fd in fds:
        os.close(fd)


def test_other_settings_replace_it_and_no_byte_is_lost(env):
    first = env.client.ensure_running()
    fd = env.client.open_pipe("a")
    os.write(fd, b"one\n")
    second = LogDaemonClient(env.state, env.files, 50_000)
    assert second.ensure_running() != first
    os.write(fd, b"two\n")
    os.close(fd)
    assert env.client.flush("a", 5)
    assert env.all_output("a") == b"one\ntwo\n"


def test_another_version_that_does_not_listen_is_replaced_by_force(env, monkeypatch):
    first = env.client.ensure_running()
    os.kill(first, signal.SIGSTOP)
    second = LogDaemonClient(env.state, env.files, 50_000)
    monkeypatch.setattr("hostmanager.logd.daemon_process.QUIT_TIMEOUT", 0.3)
    assert second.ensure_running() != first
    env.write("a", b"x\n")


def test_it_ends_by_itself_when_neither_manager_nor_writer_lives(env):
    env.client.ensure_running()
    fd = env.client.open_pipe("a")
    pid = env.client.pid
    env.manager_dies()
    env.write("b", b"x\n")  # which ends
    time.sleep(2.5)  # it does not end: only time shows it
    os.write(fd, b"still read\n")
    assert env.client.flush("a", 5)
    assert env.client.pid == pid
    os.close(fd)
    wait_for(lambda: env.client.pid is None, 5, "its end")


def test_an_idle_one_lives_as_long_as_a_manager_and_hardly_ever_wakes_up(env):
    env.client.ensure_running()
    process = psutil.Process(env.client.pid)
    env.write("a", b"x\n")
    time.sleep(0.3)  # what was written is dealt with
    before = process.num_ctx_switches().voluntary
    time.sleep(11)  # the length is the point
    assert process.num_ctx_switches().voluntary - before <= 5
    assert env.client.pid == process.pid


def pipe_that_is_read(env):
    """The pipe of the agent `a`; its first line, `zero`, is in the file."""
    env.client.ensure_running()
    fd = env.client.open_pipe("a")
    os.write(fd, b"zero\n")
    wait_for(lambda: env.all_output("a") == b"zero\n", 5, "the pipe is read")
    return fd


def test_a_state_directory_deleted_under_it_is_made_again(env):
    fd = pipe_that_is_read(env)
    subprocess.run(["rm", "-r", env.state], check=True)
    os.write(fd, b"one\n")
    wait_for(lambda: env.all_output("a") == b"zero\none\n", 5, "what came through the deleted pipe")
    env.client.ensure_running()  # its lock is not to be seen: another one, for what comes now
    assert env.state.stat().st_mode & 0o777 == 0o700
    env.write("a", b"two\n")
    os.write(fd, b"three\n")
    os.close(fd)
    wait_for(lambda: env.all_output("a") == b"zero\none\ntwo\nthree\n", 5)


def test_output_in_a_state_directory_deleted_under_it_is_for_its_user_alone(env):
    env.client.close()
    env.files = env.state / "output"
    env.client = LogDaemonClient(env.state, env.files)
    fd = pipe_that_is_read(env)
    subprocess.run(["rm", "-r", env.state], check=True)
    os.write(fd, b"one\n")
    os.close(fd)
    wait_for(lambda: env.all_output("a") == b"one\n", 5, "what came through the deleted pipe")
    assert [path.stat().st_mode & 0o777 for path in (env.state, env.files)] == [0o700, 0o700]


def test_one_whose_lock_was_removed_takes_no_orders_from_the_next(env):
    """What is told must reach the one that goes on: the other stops reading, for its part."""
    first = env.client.ensure_running()
    (env.state / "scribe.lock").unlink()
    assert env.client.ensure_running() != first
    fds = {f"a{i}": env.client.open_pipe(f"a{i}") for i in range(20)}
    for name, fd in fds.items():
        os.write(fd, b"one\n")
        assert env.client.flush(name, 5)
    wait_for(lambda: has_let_go(first), 20, "the first to let go of its pipes", every=0.1)
    for name, fd in fds.items():
        os.write(fd, b"two\n")
        os.close(fd)
        wait_for(lambda name=name: env.all_output(name) == b"one\ntwo\n", 5, name)


def has_let_go(pid):
    """Whether a log daemon waits for no pipe of an agent any more: it has ended, or left its epoll."""
    try:
        infos = [path.read_text() for path in Path(f"/proc/{pid}/fdinfo").iterdir()]
    except OSError:
        return True
    return max(info.count("tfd:") for info in infos) <= 1  # the control pipe


@pytest.mark.parametrize("name", ["scribe.control", "scribe.lock", "pipes/a.pipe", "scribe.log"])
@pytest.mark.parametrize("what", ["directory", "garbage", "loop"])
def test_something_else_in_the_place_of_its_files_is_moved_aside(env, name, what):
    path = env.state / name
    path.parent.mkdir(exist_ok=True)
    if what == "directory":
        path.mkdir()
    elif what == "garbage":
        path.write_bytes(os.urandom(100_000))
    else:
        path.symlink_to(path.name)
    env.client.ensure_running()
    env.write("a", b"hello\n")
    assert env.all_output("a") == b"hello\n"


def test_without_a_place_for_its_state_there_is_an_error_that_says_so(env):
    (env.directory / "file").write_text("")
    with pytest.raises(LogDaemonError, match="cannot be started"):
        LogDaemonClient(env.directory / "file" / "state", env.files).ensure_running(2)


def test_one_that_was_suspended_is_resumed(env):
    pid = env.client.ensure_running()
    os.kill(pid, signal.SIGSTOP)
    wait_for(lambda: psutil.Process(pid).status() == psutil.STATUS_STOPPED)
    env.client.resume()
    env.write("a", b"x\n")
    assert env.current_output("a") == b"x\n"


def test_it_does_not_carry_the_mark_of_a_manager_above(env, monkeypatch):
    monkeypatch.setenv("OCS_HOSTMANAGER", "another/a/b/1/C")
    environ = psutil.Process(env.client.ensure_running()).environ()
    assert "OCS_HOSTMANAGER" not in environ
    assert environ["PATH"] == os.environ["PATH"]


@pytest.mark.parametrize("lost", ["scribe.lock", "everything"])
def test_a_second_one_whose_first_lost_its_lock_mixes_up_nothing(env, lost, tmp_path):
    """Somebody removes the lock file: the next manager starts another log daemon beside the first."""
    first = env.client.ensure_running()
    agent = env.agent("a", NUMBERED, 4000, 200_000, 100)  # 2 s
    wait_for(lambda: env.current_output("a"), 5, "the first lines")
    if lost == "everything":
        (tmp_path / "gone").mkdir()
        for path in list(env.state.iterdir()):
            if path.name != "manager.lock":
                path.rename(tmp_path / "gone" / path.name)
    else:
        (env.state / lost).unlink()
    second = env.client.ensure_running()
    assert second != first
    assert agent.wait(60) == 0
    wait_for(lambda: len(env.all_output("a").splitlines()) == 4000, 5, "all lines")
    assert numbers(env.all_output("a")) == list(range(4000))
    wait_for(lambda: not psutil.pid_exists(first) or _zombie(first), 30, "the first one's end")
    env.run("a", "print('and on it goes')")
    assert env.all_output("a").endswith(b"and on it goes\n")


def _zombie(pid: int) -> bool:
    return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_on_a_full_disk_it_logs_how_much_was_lost_before_it_ends(env, small_disk):
    env.client = LogDaemonClient(env.state, small_disk / "files")
    env.files = small_disk / "files"
    env.client.ensure_running()
    env.agent("a", NUMBERED, 60_000, 100e6, 100).wait(60)
    env.agent("b", "print('too little to be discarded')").wait(60)
    assert env.client.stop()
    assert re.search(r"output of a: \d+ bytes lost: No space left on device", env.log())
    assert "output of b: 27 bytes lost: No space left on device" in env.log()


@pytest.mark.parametrize(
    "line",
    ["add a", "add a 1 2 3", "add a 1 2 3 4 5", "add ../a 1 2 3 4", "add a -1 2 3 x", "drop"],
)
def test_commands_that_make_no_sense_are_reported_and_have_no_effect(env, line):
    pid = env.client.ensure_running()
    env.client.send(line)
    wait_for(lambda: "not understood" in env.log())
    env.write("b", b"x\n")
    assert env.client.pid == pid


def test_the_directory_of_the_pipes_deleted_under_it_is_made_again(env):
    fd = pipe_that_is_read(env)
    pid = env.client.pid
    subprocess.run(["rm", "-r", env.state / "pipes"], check=True)
    wait_for((env.state / "pipes").is_dir, 20, "the directory of the pipes")
    os.write(fd, b"one\n")
    wait_for(lambda: env.all_output("a") == b"zero\none\n", 5, "what came through the deleted pipe")
    assert env.client.ensure_running() == pid
    os.close(fd)
