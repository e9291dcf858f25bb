"""The journal on file systems that refuse, and what a killed manager leaves of it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from hostmanager.journal import EntryKind, Journal

PRIVATE_MOUNTS = ["unshare", "--user", "--map-root-user", "--mount"]


def in_a_small_file_system(program: str, directory: Path) -> dict:
    """Run a program with a file system of 1 MiB of its own at `directory`; what it prints."""
    directory.mkdir()
    script = f"mount -t tmpfs -o size=1m none {directory} && exec {sys.executable} -c '{program}' {directory}"
    try:
        probe = subprocess.run([*PRIVATE_MOUNTS, "true"], capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("no unshare here")
    if probe.returncode != 0:
        pytest.skip("no private mounts here")
    result = subprocess.run(
        [*PRIVATE_MOUNTS, "sh", "-c", script],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


HEAD = """
import json, os, pathlib, subprocess, sys, time
from hostmanager.journal import Journal, JournalError, EntryKind, writer
writer.JOURNAL_RETRY_INTERVAL = 0.05
directory = pathlib.Path(sys.argv[1])
told = []
j = Journal(directory / "journal.sqlite", on_message=told.append)
def say(text): j.record(EntryKind.STATE, text)
def until(true):
    end = time.monotonic() + 20
    while not true() and time.monotonic() < end: time.sleep(0.01)
    return bool(true())
say("before"); j.flush(10)
"""

FULL = """
filler = open(directory / "filler", "wb", buffering=0)
try:
    while True: filler.write(bytes(4096))
except OSError: pass
for n in range(3000): say("x" * 500)
j.flush(10)
trouble = j.error
os.unlink(directory / "filler"); filler.close()
say("after")
again = until(lambda: j.error is None)
last = j.history(limit=1)[0]["text"]
count = len(j.history(limit=10000))
"""


def test_a_full_disk_disables_it_until_there_is_room(tmp_path):
    program = HEAD + FULL + "print(json.dumps([trouble, again, last, count, told]))"
    program = program.replace("range(3000)", "range(300)")
    error, again, last, count, messages = in_a_small_file_system(program, tmp_path / "disk")
    assert "full" in error
    assert again
    assert (last, count) == ("after", 302)
    assert len(messages) == 2


def test_a_read_only_directory_disables_it_until_it_can_be_written(tmp_path):
    program = (
        HEAD
        + """
j.close(10)
remount = ["mount", "-o", "remount,ro", str(directory)]
subprocess.run(remount, check=True)
j = Journal(directory / "journal.sqlite", on_message=told.append)
say("meanwhile"); j.flush(10)
trouble = j.error
try: j.history(); refused = ""
except JournalError as error: refused = str(error)
remount[2] = "remount,rw"
subprocess.run(remount, check=True)
again = until(lambda: j.error is None)
texts = [e["text"] for e in j.history()]
print(json.dumps([trouble, refused, again, texts, told, os.listdir(directory)]))
"""
    )
    error, refused, again, texts, messages, files = in_a_small_file_system(
        program, tmp_path / "disk"
    )
    assert "Read-only file system" in error
    assert refused == error
    assert again
    assert texts == ["before", "meanwhile"]
    assert len(messages) == 2
    assert not [name for name in files if "broken" in name]


def test_what_was_committed_outlives_a_kill(tmp_path):
    path = tmp_path / "journal.sqlite"
    messages: list[str] = []
    program = (
        "import os, sys, pathlib; from hostmanager.journal import Journal, EntryKind\n"
        "j = Journal(pathlib.Path(sys.argv[1]))\n"
        "j.record(EntryKind.MANAGER, 'started', data={'event': 'started', 'pid': 77})\n"
        "[j.record(EntryKind.STATE, str(n)) for n in range(500)]\n"
        "assert j.flush(30); os.kill(os.getpid(), 9)\n"
    )
    killed = subprocess.run([sys.executable, "-c", program, str(path)], timeout=60, check=False)
    assert killed.returncode == -9
    journal = Journal(path, on_message=messages.append)
    journal.record(EntryKind.MANAGER, "started", data={"event": "started", "pid": 78})
    texts = [entry["text"] for entry in journal.history(limit=10_000)]
    assert texts[:501] == ["started", *map(str, range(500))]
    assert "(pid 77) was killed" in texts[501]
    assert texts[502:] == ["started"]
    assert messages == []
    assert journal.close(10)
