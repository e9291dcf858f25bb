"""A state directory, a directory of files, a manager that lives (its lock is held), real agents.

def test_something(env):
    env.client.ensure_running()
    agent = env.agent("a", "print('hello')")
    assert env.all_output("a") == b"hello\\n"
"""

import fcntl
import gzip
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from hostmanager.logd import paths as names
from hostmanager.logd.client import LogDaemonClient
from tests.support.waiting import wait_for

PYTHON = sys.executable

COMPRESS_TIMEOUT = 60.0
"""Seconds that the packer may need: it is the last to get a processor (nice 19)."""

NUMBERED = """
import os, sys, time
count, rate, width = int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
path = "/proc/thread-self/schedstat"  # not in every kernel
queued = os.open(path if os.path.exists(path) else "/dev/zero", os.O_RDONLY)
def busy():
    # running, or waiting for a processor: neither is a reader's fault
    words = os.pread(queued, 80, 0).split()
    return time.thread_time() + (int(words[1]) / 1e9 if len(words) > 1 else 0)
begun, sent, worst, waited, i = time.monotonic(), 0, 0, 0, 0
unfair = busy() - time.thread_time()
while i < count:
    block = b"".join(b"%09d %s\\n" % (n, b"x" * (width - 11)) for n in range(i, min(i + 20, count)))
    at, before = time.monotonic(), busy()
    assert os.write(1, block) == len(block)
    blocked = time.monotonic() - at - (busy() - before)
    worst, waited = max(worst, blocked), waited + blocked
    sent += len(block)
    i += 20
    ahead = sent / rate - (time.monotonic() - begun)
    if ahead > 0.002:
        time.sleep(ahead)
if len(sys.argv) > 4:
    took = time.monotonic() - begun - (busy() - time.thread_time() - unfair)
    open(sys.argv[4], "w").write(f"{worst} {waited} {took}")
"""
"""Writes COUNT numbered lines of WIDTH bytes at RATE bytes a second. Into a file, if one is given:
for how many seconds it was blocked at the worst, and in all, because nobody read; and how long all
took. What it waited for a processor counts in none of them (/proc/PID/schedstat)."""


class LogEnvironment:
    """One manager's directories, its log daemon and its agents."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.state = directory / "state"
        self.files = directory / "files"
        self.state.mkdir(parents=True)
        self.client = LogDaemonClient(self.state, self.files)
        self.agents: list[subprocess.Popen[bytes]] = []
        self._lock = os.open(self.state / "manager.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
        fcntl.flock(self._lock, fcntl.LOCK_EX)

    def restart_with_limits(self, max_bytes: int, max_files: int = 5) -> LogDaemonClient:
        """a log daemon with these limits runs from now on."""
        self.client.close()
        self.client = LogDaemonClient(self.state, self.files, max_bytes, max_files)
        self.client.ensure_running()
        return self.client

    def agent(self, name: str, source: str, *args: object) -> "subprocess.Popen[bytes]":
        fd = self.client.open_pipe(name)
        argv = [PYTHON, "-u", "-c", source, *map(str, args)]
        agent = subprocess.Popen(argv, stdout=fd, stderr=fd)
        os.close(fd)
        self.agents.append(agent)
        return agent

    def run(self, name: str, source: str, *args: object) -> None:
        """An agent, until it has ended and all is in its file."""
        assert self.agent(name, source, *args).wait(60) == 0
        assert self.client.flush(name, 10)

    def write(self, name: str, text: bytes) -> None:
        """What an agent would print, at once in its file."""
        fd = self.client.open_pipe(name)
        os.write(fd, text)
        os.close(fd)
        assert self.client.flush(name, 5)

    def current_output(self, name: str) -> bytes:
        path = self.files / f"{name}.out"
        return path.read_bytes() if path.exists() else b""

    def all_output(self, name: str) -> bytes:
        """All that there is, of all files."""
        parts = [self.current_output(name)]
        for slot in range(1, 100):
            packed = Path(names.compressed_file(str(self.files), name, slot))
            plain = Path(names.log_file(str(self.files), name, slot))
            with suppress(FileNotFoundError):  # then it is packed by now
                parts.append(plain.read_bytes())
                continue
            if packed.exists():
                parts.append(gzip.decompress(packed.read_bytes()))
        return b"".join(reversed(parts))

    def kill_daemon(self) -> None:
        pid = self.client.pid
        assert pid
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: self.client.pid != pid, 5)

    def manager_dies(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def log(self) -> str:
        path = self.state / "scribe.log"
        return path.read_text() if path.exists() else ""

    def close(self) -> None:
        for agent in self.agents:
            agent.kill()
            agent.wait()
        self.client.close()
        self.manager_dies()
        for process in psutil.process_iter(["cmdline"]):
            argv = process.info["cmdline"] or []
            if "hostmanager.logd" in argv and str(self.state) in argv:
                with suppress(psutil.NoSuchProcess):  # it ends by itself, too
                    process.kill()


def numbers(data: bytes) -> list[int]:
    """The numbers of the lines of `NUMBERED`."""
    return [int(line[:9]) for line in data.splitlines()]


@pytest.fixture
def env(tmp_path: Path) -> Iterator[LogEnvironment]:
    environment = LogEnvironment(tmp_path)
    yield environment
    environment.close()


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of 2 MB."""
    directory = tempfile.mkdtemp(prefix="log-disk-")
    argv = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", directory]
    if subprocess.run(argv, capture_output=True, check=False).returncode:
        Path(directory).rmdir()
        pytest.skip("a tmpfs cannot be mounted here")
    yield Path(directory)
    subprocess.run(["umount", "-l", directory], check=True)
    Path(directory).rmdir()
