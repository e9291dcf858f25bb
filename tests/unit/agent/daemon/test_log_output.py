"""The log goes through queues: nobody waits for it, what is lost is counted, the end is told."""

import logging
import os
import threading
import time

import pytest
from tests.support.waiting import wait_for

from hostmanager.agent.daemon import log_output
from hostmanager.agent.daemon.log_output import (
    MAX_RECORD_CHARS,
    LogListener,
    LogOutput,
    LogQueue,
    PrintRedirect,
    make_record,
)
from hostmanager.util.text import truncate_middle

LONG = 30.0


def logger_to(queue, name):
    logger = logging.getLogger(f"test_log_output.{name}")
    logger.propagate = False
    logger.setLevel("INFO")
    logger.addHandler(queue)
    return logger


def drain(reader, end, received=b""):
    """Read until that is there."""
    until = time.monotonic() + LONG
    while end not in received:
        assert time.monotonic() < until, received[-500:]
        received += os.read(reader, 65536)
    return received


def test_a_full_pipe_delays_neither_the_logger_nor_other_destinations(tmp_path, full_pipe):
    reader, writer = full_pipe
    stalled, file = LogQueue(), LogQueue()
    path = tmp_path / "log"
    LogListener(stalled, lambda: writer).start()
    LogListener(file, lambda: os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)).start()
    logger = logger_to(stalled, "full")
    logger.addHandler(file)
    for number in range(100):
        logger.info("line %d", number)
    wait_for(lambda: path.exists() and "line 99\n" in path.read_text(), LONG, "the file")
    result = drain(reader, b"line 99\n")
    assert [b"line %d\n" % n in result for n in range(100)] == [True] * 100


def test_lost_lines_are_counted_in_their_place(full_pipe, monkeypatch):
    monkeypatch.setattr(log_output, "MAX_QUEUED_LINES", 10)
    reader, writer = full_pipe
    queue = LogQueue()
    logger = logger_to(queue, "lost")
    for number in range(25):
        logger.info("line %d", number)
    assert queue.records.get().getMessage() == "line 0"  # there is room for one again
    logger.info("after")
    LogListener(queue, lambda: writer).start()
    lines = drain(reader, b"after\n").decode().splitlines()[-11:]
    message = "15 lines of the log were lost here: they could not be written in time"
    assert [line.partition(" ")[2] for line in lines[1:]] == [
        *(f"line {number}" for number in range(2, 10)),
        message,
        "after",
    ]


def test_lost_lines_are_reported_although_nothing_more_is_logged(full_pipe, monkeypatch):
    monkeypatch.setattr(log_output, "MAX_QUEUED_LINES", 10)
    reader, writer = full_pipe
    queue = LogQueue()
    logger = logger_to(queue, "lost_at_end")
    for number in range(25):
        logger.info("line %d", number)
    LogListener(queue, lambda: writer).start()
    drain(reader, b"15 lines of the log were lost here")


def test_lines_lost_on_a_full_disk_are_reported_when_there_is_room(tmp_path):
    tries, path = [], tmp_path / "log"

    def open_fd():
        tries.append(1)
        if len(tries) < 3:
            raise OSError(28, "No space left on device")
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    queue = LogQueue()
    LogListener(queue, open_fd).start()
    logger = logger_to(queue, "disk")
    for number in range(3):
        logger.info("line %d", number)
    wait_for(lambda: "line 2" in path.read_text(), LONG, "the file")
    wait_for(lambda: " lines of the log were lost" in path.read_text(), LONG, "the loss")


def test_no_line_is_longer_than_the_bound():
    queue = LogQueue()
    logger = logger_to(queue, "long")
    logger.info("begin %s end", "x" * 1_000_000)
    try:
        raise ValueError("y" * 1_000_000)
    except ValueError:
        logger.exception("fault")
    printed = PrintRedirect(queue, 1)
    printed.write("z" * 1_000_000)
    printed.write("\n" + "z" * 1_000_000 + "\n")
    texts = []
    while not queue.records.empty():
        texts.append(queue.records.get().getMessage())
    assert len(texts) == 5  # the end of a line that was cut is a line of its own
    assert all(len(text) <= MAX_RECORD_CHARS for text in texts)
    assert texts[0].startswith("begin x")
    assert texts[0].endswith("x end")
    assert "Traceback" in texts[1]


@pytest.mark.parametrize("length", [0, 10, 100, 101, 500])
def test_a_text_is_cut_in_the_middle(length):
    text = truncate_middle("a" * length, 100)
    assert len(text) <= 100
    assert (text == "a" * length) == (length <= 100)


def test_the_end_waits_for_a_bounded_time(full_pipe, tmp_path, monkeypatch):
    _, writer = full_pipe
    output = LogOutput()
    queue = output.add(lambda: writer)
    queue.enqueue(make_record("never", "x"))
    file = output.open_file(tmp_path / "log")
    for number in range(100):
        file.enqueue(make_record(f"line {number}", "x"))
    used = time.process_time()
    assert output.close(0.5) is False
    assert time.process_time() - used < 2
    assert (tmp_path / "log").read_text().endswith("line 99\n")
    assert output.close() is True, "it is harmless"


def test_a_link_in_the_log_directory_is_not_followed(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("")
    (tmp_path / "log").symlink_to(secret)
    output = LogOutput()
    output.open_file(tmp_path / "log").enqueue(make_record("line", "x"))
    output.close(LONG)
    assert secret.read_text() == ""


def test_logging_while_the_count_is_locked_does_not_deadlock():
    # A finalizer may log in the middle of anything, in the same thread.
    queue = LogQueue()
    finished = threading.Event()

    def count():
        with queue._counting:
            queue.add_lost()
            queue.take_lost()
        finished.set()

    threading.Thread(target=count, daemon=True).start()
    assert finished.wait(LONG)
