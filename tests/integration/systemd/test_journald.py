"""The log of a real manager in a real journald, which runs in a mount namespace of its own."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.integration.conftest import SHORT
from tests.integration.router.steps import Program, wait_ready
from tests.support.managers import command
from tests.support.sites import instance
from tests.support.waiting import wait_for

JOURNALD = Path("/lib/systemd/systemd-journald")
SET_UP = f"""
mount -t tmpfs tmpfs /run && mount -t tmpfs tmpfs /var/log || exit 77
mkdir -p /run/systemd/journal /run/systemd/journal.test /var/log/journal
mount --bind /run/systemd/journal.test /run/systemd/journal || exit 77
exec {JOURNALD} test
"""
"""As systemd does it for a service with `LogNamespace=test`."""


@pytest.fixture
def journald(tmp_path) -> Iterator[int]:
    """The pid of a journald of our own."""
    if os.getuid() != 0 or not JOURNALD.exists() or shutil.which("nsenter") is None:
        pytest.skip("no root, systemd-journald or nsenter")
    with (tmp_path / "journald.log").open("wb") as log:
        process = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", SET_UP], stdout=log, stderr=log
        )
    root = Path(f"/proc/{process.pid}/root")

    def is_up() -> bool:
        return process.poll() is not None or (root / "run/systemd/journal/socket").is_socket()

    wait_for(is_up, 30, "journald")
    if process.poll() is not None:
        pytest.skip("no journald in a mount namespace here")
    yield process.pid
    process.terminate()
    process.wait(30)


def entries(journald: int, *matches: str) -> list[dict[str, str]]:
    """What journalctl finds in the file."""
    files = map(str, Path(f"/proc/{journald}/root/var/log/journal").glob("*/system.journal"))
    words = ["journalctl", "-o", "json", "--all", *(f"--file={file}" for file in files), *matches]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_lines_of_the_log_can_be_found_by_instance_and_event(site, journald):
    site.write(instance("acu1"), instance("acu2"))
    stdout = site.directory / "manager.log"  # what systemd gives a service is a socket
    stdout.touch()
    status = stdout.stat()
    _, *words = command("ours", site, SHORT)
    inside = ["nsenter", f"--mount=/proc/{journald}/ns/mnt", "--wd=.", sys.executable, *words]
    manager = Program(site, inside, {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"})
    try:
        pid = wait_ready(site, "acu1", "acu2")["acu1"]
        os.kill(pid, signal.SIGKILL)
        killed = wait_for(
            lambda: entries(journald, "HOSTMANAGER_INSTANCE=acu1", "HOSTMANAGER_EVENT=exit"),
            30,
            "the exit in the journal",
        )[0]
    finally:
        manager.stop()
    assert killed["MESSAGE"].startswith("acu1: was ended by SIGKILL")
    assert killed["HOSTMANAGER_PID"] == str(pid)
    assert killed["PRIORITY"] == "4"
    assert killed["SYSLOG_IDENTIFIER"] == f"hostmanager-{site.manager_id}"
    launched = entries(journald, "HOSTMANAGER_INSTANCE=acu2", "HOSTMANAGER_EVENT=launch")[0]
    assert launched["MESSAGE"].startswith("acu2: up")
    of_manager = entries(journald, f"SYSLOG_IDENTIFIER=hostmanager-{site.manager_id}")
    assert any("stopping all agents" in entry["MESSAGE"] for entry in of_manager)
    assert "acu1" not in manager.output(), "nothing is there twice"
