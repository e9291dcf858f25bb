"""How a process ended that is not our child."""

import os
import platform
import select
import signal
import subprocess

import pytest

from hostmanager.core.events import ExitStatus
from hostmanager.drivers.process import non_child_exit as strangers

KERNEL = tuple(int(part) for part in platform.release().split(".")[:2])
tells = pytest.mark.skipif(KERNEL < (6, 15), reason="PIDFD_GET_INFO tells codes from Linux 6.15 on")


def stranger(script: str) -> tuple[int, int]:
    """Start a process that is not our child; its pid and a pidfd."""
    output = subprocess.run(
        ["/bin/sh", "-c", '/bin/sh -c "$1" >/dev/null 2>&1 & echo $!', "sh", script],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    pid = int(output)
    return pid, os.pidfd_open(pid)


def end_of(pid: int, pidfd: int) -> ExitStatus:
    """Wait for its end, as an event loop does, and ask at once."""
    try:
        assert select.select([pidfd], [], [], 20)[0], f"{pid} does not end"
        with pytest.raises(ChildProcessError):
            os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG)
        return strangers.exit_status(pid, pidfd)
    finally:
        os.close(pidfd)


@tells
@pytest.mark.parametrize("code", [0, 1, 3, 255])
def test_its_exit_code_is_reported(code):
    assert end_of(*stranger(f"sleep 0.6; exit {code}")) == ExitStatus(code=code)


@tells
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_signal_that_ended_it_is_reported(number):
    pid, pidfd = stranger("exec sleep 1000")
    signal.pidfd_send_signal(pidfd, number)
    assert end_of(pid, pidfd) == ExitStatus(signal=number)


@tells
def test_it_is_reported_long_after_init_has_waited_for_it():
    pid, pidfd = stranger("sleep 0.6; exit 4")
    select.select([pidfd], [], [], 20)
    while os.path.exists(f"/proc/{pid}"):  # noqa: PTH110 - until init has waited
        select.select([], [], [], 0.005)
    assert end_of(pid, pidfd) == ExitStatus(code=4)


def test_a_zombie_tells_where_the_kernel_does_not(monkeypatch):
    monkeypatch.setattr(strangers, "_by_pidfd", lambda _pidfd: None)
    child = subprocess.Popen(["/bin/sh", "-c", "exit 5"])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert strangers.exit_status(child.pid, -1) == ExitStatus(code=5)
    child.wait()


def test_where_nothing_tells_it_is_unknown(monkeypatch):
    monkeypatch.setattr(strangers, "_by_pidfd", lambda _pidfd: None)
    child = subprocess.Popen(["/bin/true"])
    child.wait()
    assert strangers.exit_status(child.pid, -1) == ExitStatus()
