"""The log of a process that ends, and of one that crashes."""

import subprocess
import sys

import pytest

LONG = 30.0


END = """
import atexit, logging, sys, threading
from hostmanager.agent.log_output import start_log
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
