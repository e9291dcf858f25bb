"""The demo on a terminal."""

import fcntl
import os
import pty
import re
import struct
import termios
import time

import pytest
from tests.support.demos import HOSTMANAGER, environment, kill_all, left_in


class Terminal:
    """A demo on a terminal of its own, of 80 columns and 24 lines."""

    def __init__(self, directory):
        self.written = ""
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            os.environ.update(environment(directory), TERM="xterm-256color")
            os.execv(HOSTMANAGER, [HOSTMANAGER, "demo"])
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))

    def read_until(self, pattern, timeout=60):
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            try:
                read = os.read(self._fd, 65536)
            except OSError:  # the other end is closed
                read = b""
            self.written += read.decode()
            if re.search(pattern, self.plain()) or not read:
                return
        raise AssertionError(f"no {pattern!r} in {self.plain()!r}")

    def plain(self):
        return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]|\r", "", self.written)

    def press_ctrl_c(self):
        os.write(self._fd, b"\x03")

    def end(self):
        self.read_until(r"$^", 60)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


@pytest.mark.router
def test_a_live_table_is_drawn_and_ctrl_c_ends_it(tmp_path):
    terminal = Terminal(tmp_path)
    try:
        terminal.read_until(r"flaky +up +up +[\d.]+ s +0 +1\.00")
        terminal.read_until(r"kill -9 \d+")
        terminal.read_until(r"flaky +up +up +[\d.]+ s +1 +0\.\d+ +code 3")
        picture = terminal.plain()
        terminal.press_ctrl_c()
        code = terminal.end()
    finally:
        kill_all(tmp_path)
    assert code == 0
    for word in ("registry", "fake1", "fake2", "fake3", "spare", "router ws://", "site.yaml"):
        assert word in picture
    assert "\x1b[32m" in terminal.written  # green
    assert "\x1b[?25h" in terminal.written  # the cursor is back
    assert "Nothing was left behind" in terminal.plain()
    assert left_in(tmp_path) == []


@pytest.mark.router
def test_a_terminal_that_is_closed_ends_the_demo(tmp_path):
    terminal = Terminal(tmp_path)
    try:
        terminal.read_until("Starting the manager")
        os.close(terminal._fd)
        os.waitpid(terminal.pid, 0)
        assert left_in(tmp_path) == []
    finally:
        kill_all(tmp_path)
