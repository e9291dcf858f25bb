"""Signals: to who is meant, and to nobody who has the number of one that is gone."""

import os
import signal
import subprocess
from collections.abc import Iterator

import psutil
import pytest

from hostmanager.drivers.process import signals
from tests.support.waiting import wait_for

KERNEL, BEFORE_6_9 = signals._TO_GROUP, 1 << 30


@pytest.fixture(params=[KERNEL, BEFORE_6_9], ids=["by this kernel", "by one before 6.9"])
def how(request, monkeypatch) -> None:
    """With the kernel's help, and without."""
    monkeypatch.setattr(signals, "_TO_GROUP", request.param)


@pytest.fixture
def group() -> Iterator[subprocess.Popen[str]]:
    """A process that leads a group of two, both asleep."""
    process = subprocess.Popen(
        ["/bin/sh", "-c", "sleep 1000 & echo $!; exec sleep 1000"],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    yield process
    process.kill()
    process.communicate()


@pytest.mark.usefixtures("how")
def test_a_group_gets_a_signal_as_a_whole(group):
    other = psutil.Process(int(group.stdout.readline()))
    pidfd = os.pidfd_open(group.pid)
    signals.send_group(pidfd, group.pid, signal.SIGTERM)
    assert group.wait(60) == -signal.SIGTERM
    wait_for(lambda: not other.is_running() or other.status() == psutil.STATUS_ZOMBIE)
    os.close(pidfd)


@pytest.mark.usefixtures("how")
def test_who_has_the_number_of_a_leader_that_is_gone_gets_no_signal(group):
    gone = subprocess.Popen(["/bin/sleep", "1000"], start_new_session=True)
    pidfd = os.pidfd_open(gone.pid)
    gone.kill()
    gone.wait()
    signals.send_group(pidfd, group.pid, signal.SIGKILL)  # as if it had that number now
    signals.send(pidfd, signal.SIGKILL)
    os.close(pidfd)
    assert group.poll() is None
    assert psutil.Process(int(group.stdout.readline())).is_running()
    os.killpg(group.pid, signal.SIGKILL)
