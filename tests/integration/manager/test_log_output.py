"""The log of a process that ends, and of one that crashes."""

import subprocess
import sys

import pytest
from tests.support.waiting import wait_for

LONG = 30.0


END = """
import atexit, logging, sys, threading
from hostmanager.agent.daemon.log_output import start_log
{before}
start_log("INFO", None, ("hostmanager",))
log = logging.getLogger("hostmanager.test")
print("one")
log.info("two")
print("three", file=sys.stderr)
sys.stderr.write("no end of ")
sys.stderr.write("line")
{end}
"""


@pytest.mark.parametrize(
    ("end", "last", "code"),
    [
        ("", "no end of line", 0),
        ("raise SystemExit(3)", "no end of line", 3),
        ("raise ValueError('crash')", "ValueError: crash", 1),
        ("t = threading.Thread(target=lambda: 1 / 0); t.start(); t.join()", "division by zero", 0),
    ],
)
def test_everything_is_written_in_order_before_the_end(end, last, code):
    script = END.format(end=end, before="")
    result = subprocess.run(
        [sys.executable, "-c", script],
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LONG,
    )
    assert result.returncode == code
    texts = ["one", " two", "three", last]
    places = [result.stdout.find(word) for word in texts]
    assert -1 not in places, result.stdout
    assert places == sorted(places), result.stdout


def test_a_crash_with_a_full_pipe_ends_all_the_same(full_pipe):
    _, writer = full_pipe
    script = END.format(end="raise ValueError('crash')", before="")
    process = subprocess.Popen([sys.executable, "-c", script], stdout=writer, stderr=writer)
    assert process.wait(LONG) == 1


ROTATED = """
import logging, sys
from pathlib import Path
from hostmanager.agent.daemon.log_output import start_log
start_log("INFO", Path(sys.argv[1]), ("hostmanager",))
for line in sys.stdin:
    logging.getLogger("hostmanager.test").info(line.rstrip())
"""


@pytest.fixture
def logging_process(tmp_path):
    """Logs each line that it is given, to manager.log."""
    log = tmp_path / "logs" / "manager.log"
    log.parent.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-c", ROTATED, str(log)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        bufsize=1,
    )
    yield process, log
    process.stdin.close()
    process.wait(LONG)


def _log(process, log, text):
    process.stdin.write(f"{text}\n")
    wait_for(lambda: log.exists() and text in log.read_text(), LONG)


def test_the_log_goes_on_in_the_new_file_when_logrotate_moves_it(logging_process):
    process, log = logging_process
    _log(process, log, "before")
    log.rename(log.with_suffix(".1"))
    _log(process, log, "after the move")
    log.unlink()
    _log(process, log, "after the removal")
    log.write_bytes(b"")  # logrotate's copytruncate
    _log(process, log, "after the truncation")
    assert log.read_text().count("\n") == 1
    assert log.with_suffix(".1").read_text().count("\n") == 1


def test_where_no_new_log_can_be_made_the_moved_one_goes_on(logging_process):
    process, log = logging_process
    _log(process, log, "before")
    moved = log.parent.with_name("moved")
    log.parent.rename(moved)
    _log(process, moved / log.name, "after")
    log.parent.mkdir()
    _log(process, log, "again in its place")
