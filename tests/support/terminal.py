"""`hostmanager top` in a terminal of tmux: what it shows is what somebody would read."""

import itertools
import os
import shutil
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.support.processes import alive
from tests.support.waiting import wait_for

HOSTMANAGER = str(Path(sys.executable).parent / "hostmanager")

_count = itertools.count(1)

NEEDS_TMUX = pytest.mark.skipif(
    shutil.which("tmux") is None, reason="tmux is not installed: no terminal to look at"
)


class Terminal:
    """A terminal of 80 by 24 in which the command runs; `close` ends both."""

    def __init__(self, directory, site_file, *arguments):
        self._is_open = True
        # Of its own: the server of an earlier one may not be gone yet.
        self._socket = str(directory / f"tmux.{next(_count)}")
        command = [HOSTMANAGER, "top", "--site-file", str(site_file), *arguments]
        shell = '"$@"; echo "exit $?"; stty -a | grep -o " echo "; sleep 600'
        self._tmux(
            *("-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "24"),
            *("-e", "OCS_CONFIG_DIR=", "sh", "-c", shell, "sh", *command),
        )
        pids = self._tmux("display-message", "-p", "#{pane_pid} #{pid}").split()
        self.pid, self._server = (int(pid) for pid in pids)

    def _tmux(self, *arguments):
        result = subprocess.run(
            ["tmux", "-S", self._socket, *arguments],
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
            env={**os.environ, "TERM": "screen"},
        )
        return result.stdout

    def press(self, *keys):
        for key in keys:
            self._tmux("send-keys", key)

    def narrow(self, text):
        """Type a filter, and leave the field where it is typed."""
        self.press("/", *text)
        self.until(f"filter: {text}")
        self.press("Enter")
        wait_for(lambda: self.screen.splitlines()[-2].strip() != text, 20, "the field to close")

    def resize(self, columns, rows):
        self._tmux("resize-window", "-x", str(columns), "-y", str(rows))

    @property
    def screen(self):
        return self._tmux("capture-pane", "-p")

    @property
    def words(self):
        return " ".join(self.screen.split())

    def until(self, text):
        def look():
            return self.words if text in self.words else None

        return wait_for(look, 40, text, lambda: self.screen, every=0.1)

    def top(self):
        """The process that draws."""
        result = subprocess.run(
            ["pgrep", "-P", str(self.pid)], check=True, capture_output=True, text=True, timeout=60
        )
        return int(result.stdout.split()[0])

    def close(self):
        """End the server and what runs in it; both are gone when this returns."""
        if not self._is_open:
            return
        self._is_open = False
        pids = [self._server, self.pid, *(p.pid for p in psutil.Process(self.pid).children())]
        self._tmux("kill-server")  # which answers before it ends, and before what runs in it
        wait_for(lambda: not any(map(alive, pids)), 20, "its end")
