"""Reading the newest lines and their times."""

import gzip
import math
import os
import struct
import threading
import time
import tracemalloc

import pytest

from hostmanager.logd import output_files
from hostmanager.logd.paths import list_log_files
from hostmanager.logd.reader import (
    MAX_LINE_CHARS,
    Position,
    lines_since,
    newest_page,
    position,
    position_at,
    tail,
)
from hostmanager.logd.timestamps import TimestampIndex
from tests.integration.logd.conftest import COMPRESS_TIMEOUT, NUMBERED, numbers
from tests.support.waiting import BUSY_MACHINE, wait_for


def texts(page):
    return [text for _, text in page]


def test_the_newest_lines_come_last(env):
    env.client.ensure_running()
    env.write("a", b"".join(b"%d\n" % i for i in range(1000)))
    assert texts(tail(env.files, "a", 3)) == ["997", "998", "999"]
    assert len(tail(env.files, "a")) == 100
    assert texts(tail(env.files, "a", 5000)) == [str(i) for i in range(1000)]
    assert tail(env.files, "a", 0) == []


def test_nothing_printed_is_no_lines(env):
    assert tail(env.files, "nobody") == []
    with pytest.raises(ValueError, match="cannot be the name of an instance"):
        tail(env.files, "a b")


def test_a_line_that_is_not_finished_is_shown(env):
    env.client.ensure_running()
    env.write("a", b"one\n\ntwo")
    assert texts(tail(env.files, "a")) == ["one", "", "two"]


def test_a_line_with_carriage_returns_is_shown_in_its_last_state(env):
    env.client.ensure_running()
    env.write("a", b"start\r\n 10%\r 20%")
    env.client.flush("a", 5.0)
    assert texts(tail(env.files, "a")) == ["start", " 20%"]
    before = time.time()
    wait_for(lambda: time.time() > before + 0.2, 5)
    env.write("a", b"\r 30%\r")
    env.client.flush("a", 5.0)
    *_, (when, text) = tail(env.files, "a")
    assert text == " 30%"
    assert when > before
    env.write("a", b"\r" + b"x" * 100 + b"\r" + b" 40%\r" * 100_000 + b"\nend\n")
    assert texts(tail(env.files, "a")) == ["start", " 40%", "end"]


def test_lines_go_on_over_rotated_and_compressed_files(env):
    env.restart_with_limits(50_000, 20)
    env.run("a", NUMBERED, 5000, 5e6, 101)  # lines are cut at the ends of files, too
    wait_for(lambda: len(list(env.files.glob("a.out.*.gz"))) > 7, COMPRESS_TIMEOUT)
    lines = texts(tail(env.files, "a", 5000))
    assert numbers("\n".join(lines).encode()) == list(range(5000))
    assert texts(tail(env.files, "a", 1234)) == lines[-1234:]


def pages(env, size, since=None):
    """All lines of an instance, page by page."""
    lines, position, count = [], None, 0
    while True:
        page = newest_page(env.files, "a", size, since, position)
        lines = texts(page.lines) + lines
        count += 1
        if page.older is None:
            assert not page.more
            return lines, count
        assert page.more
        position = page.older


def test_all_lines_can_be_had_page_by_page_over_rotated_and_compressed_files(env):
    env.restart_with_limits(50_000, 20)
    env.run("a", NUMBERED, 5000, 5e6, 101)
    wait_for(lambda: len(list(env.files.glob("a.out.*.gz"))) > 7, COMPRESS_TIMEOUT)
    whole = texts(tail(env.files, "a", 5000))
    assert pages(env, 5000) == (whole, 1)
    lines, count = pages(env, 700)
    assert lines == whole
    assert count == 8


def test_pages_miss_nothing_of_a_compressed_file_that_is_larger_than_a_page(env, monkeypatch):
    env.restart_with_limits(50_000, 20)
    env.run("a", NUMBERED, 5000, 5e6, 101)
    wait_for(lambda: len(list(env.files.glob("a.out.*.gz"))) > 7, COMPRESS_TIMEOUT)
    monkeypatch.setattr(output_files, "MAX_PAGE_BYTES", 15_000)
    lines, count = pages(env, 10_000)
    assert numbers("\n".join(lines).encode()) == list(range(5000))
    assert count > 20


def test_what_is_too_much_for_one_answer_is_had_in_several(env, monkeypatch):
    monkeypatch.setattr(output_files, "MAX_PAGE_BYTES", 100_000)
    env.client.ensure_running()
    env.write("a", b"".join(b"%06d %s\n" % (i, b"x" * 100) for i in range(3000)))
    lines, count = pages(env, 10_000)
    assert [int(text[:6]) for text in lines] == list(range(3000))
    assert count > 2


def test_a_page_whose_lines_have_been_removed_meanwhile_is_empty(env):
    env.client.ensure_running()
    env.write("a", b"one\ntwo\n")
    page = newest_page(env.files, "a", 1)
    assert page.older is not None
    gone = Position(page.older.generation + 1000, page.older.offset)
    assert newest_page(env.files, "a", 1, None, gone).lines == []
    assert texts(newest_page(env.files, "a", 5, None, page.older).lines) == ["one"]


def test_broken_bytes_are_repaired_for_showing_only(env):
    env.client.ensure_running()
    env.write("a", b"caf\xe9 \xff\nok\r\n")
    assert texts(tail(env.files, "a")) == ["caf� �", "ok"]
    assert env.all_output("a") == b"caf\xe9 \xff\nok\r\n"


def test_times_are_right_within_a_fifth_of_a_second(env):
    env.client.ensure_running()
    source = "import time\nfor i in range(60): print(repr(time.time())); time.sleep(0.01 * (i % 9))"
    env.run("a", source)
    lines = tail(env.files, "a")
    assert len(lines) == 60
    late = [when - float(text) for when, text in lines]
    assert -0.2 < min(late) <= max(late) < 0.2 * BUSY_MACHINE
    assert sorted(late)[50] < 0.2  # the log daemon, too, waits for a processor now and then
    times = [when for when, _ in lines]
    assert times == sorted(times)


def test_times_outlast_rotation_compression_and_the_log_daemons_death(env):
    env.restart_with_limits(4096, 30)
    source = (
        "import time\nfor i in range(150): print(repr(time.time()).ljust(200)); time.sleep(.01)"
    )
    agent = env.agent("a", source)
    time.sleep(0.6)  # in the middle of what the agent says
    killed = time.time()
    env.kill_daemon()
    env.client.ensure_running()
    assert env.client.flush("a", 10)
    lives = time.time()
    assert agent.wait(60) == 0
    assert env.client.flush("a", 5)
    wait_for(lambda: list(env.files.glob("a.out.*.gz")), COMPRESS_TIMEOUT)
    lines = tail(env.files, "a", 500)
    assert len(lines) == 150
    for when, text in lines:
        unread = killed - 0.2 < float(text) < lives  # later, since no log daemon lived
        assert float(text) - 0.2 < when < (lives if unread else float(text)) + 0.2 * BUSY_MACHINE


def test_only_lines_since_a_time(env):
    env.restart_with_limits(50_000)
    env.write("a", b"old\n" * 20_000)
    time.sleep(0.25)  # times are kept to 0.1 s
    since = time.time()
    time.sleep(0.25)  # times are kept to 0.1 s
    env.write("a", b"new 1\nnew 2\n")
    assert texts(tail(env.files, "a", 100, since)) == ["new 1", "new 2"]
    assert tail(env.files, "a", 100, time.time() + 1) == []


def test_a_file_without_times_is_read_all_the_same(env):
    env.files.mkdir()
    (env.files / "a.out").write_bytes(b"one\ntwo\n")
    (env.files / "a.out.times").write_bytes(b"garbage" * 100)
    assert tail(env.files, "a") == [(None, "one"), (None, "two")]
    assert tail(env.files, "a", since=0) == []


def test_a_line_without_an_end_costs_bounded_memory_and_time(env):
    env.files.mkdir()
    with (env.files / "a.out").open("wb") as file:
        file.truncate(1_000_000_000)
        file.seek(0, os.SEEK_END)
        file.write(b"the end")
    tracemalloc.start()
    started = time.thread_time()
    lines = tail(env.files, "a")
    assert time.thread_time() - started < 2
    assert tracemalloc.get_traced_memory()[1] < 6 * output_files.MAX_PAGE_BYTES
    tracemalloc.stop()
    assert len(lines) == 1
    assert lines[0][1].startswith("…")
    assert lines[0][1].endswith("the end")


def test_a_compressed_bomb_costs_bounded_memory(env):
    env.files.mkdir()
    (env.files / "a.out").write_bytes(b"new\n")
    (env.files / "a.out.1.gz").write_bytes(gzip.compress(bytes(200_000_000) + b"\nlast\n", 1))
    tracemalloc.start()
    lines = texts(tail(env.files, "a"))
    assert tracemalloc.get_traced_memory()[1] < 8 * output_files.MAX_PAGE_BYTES
    tracemalloc.stop()
    assert lines[-2:] == ["last", "new"]


def test_a_broken_compressed_file_costs_its_own_lines_only(env):
    env.files.mkdir()
    (env.files / "a.out").write_bytes(b"new\n")
    (env.files / "a.out.1.gz").write_bytes(os.urandom(1000))
    (env.files / "a.out.2.gz").write_bytes(gzip.compress(b"old\n"))
    assert texts(tail(env.files, "a")) == ["old", "new"]


def test_long_lines_are_cut(env):
    env.client.ensure_running()
    env.write("a", b"x" * 50_000 + b"\nshort\n")
    long, short = texts(tail(env.files, "a"))
    assert (len(long), long[-2:], short) == (MAX_LINE_CHARS, "x…", "short")


def test_the_lines_of_one_run(env):
    env.restart_with_limits(50_000, 10)
    env.write("a", b"before\n")
    start = position(env.files, "a")
    assert lines_since(env.files, "a", start) == []
    env.write("a", b"one\ntwo\n")
    end = position(env.files, "a")
    env.write("a", b"after\n")
    assert texts(lines_since(env.files, "a", start)) == ["one", "two", "after"]
    assert texts(lines_since(env.files, "a", start, end=end)) == ["one", "two"]
    assert texts(lines_since(env.files, "a", start, 1, end)) == ["two"]
    for _ in range(4):
        env.write("a", b"filler\n" * 7000)  # all of it is compressed by now
    wait_for(lambda: len(list(env.files.glob("a.out.*.gz"))) >= 2, COMPRESS_TIMEOUT)
    assert texts(lines_since(env.files, "a", start, 3, end)) == ["one", "two"]


def test_the_first_run_begins_at_nothing(env):
    env.client.ensure_running()
    start = position(env.files, "a")
    env.write("a", b"one\n")
    assert texts(lines_since(env.files, "a", start)) == ["one"]


def test_reading_while_the_log_daemon_rotates_misses_and_doubles_no_line(env):
    env.restart_with_limits(20_000, 50)
    agent = env.agent("a", NUMBERED, 40_000, 2e6, 50)
    stop = threading.Event()
    looked = 0
    while agent.poll() is None:
        lines = [int(text[:9]) for text in texts(tail(env.files, "a", 500)) if text[9:]]
        assert lines == list(range(lines[0], lines[0] + len(lines))) if lines else True
        looked += 1
    stop.set()
    assert looked > 20


def test_a_rotation_that_is_halfway_while_files_are_opened_doubles_no_line(env, monkeypatch):
    env.files.mkdir()
    for name, text in (("a.out", "new\n"), ("a.out.1", "old\n")):
        (env.files / name).write_text(text)
    opened = []

    def open_and_rotate(files, instance_id, slot):
        lines = open_one(files, instance_id, slot)
        opened.append(slot)
        if opened == [0, 1]:
            (env.files / "a.out.1").rename(env.files / "a.out.2")
        if opened.count(1) == 2 and slot == 1:  # the rest, while it looks once more
            (env.files / "a.out").rename(env.files / "a.out.1")
            (env.files / "a.out").write_text("newest\n")
        return lines

    open_one = output_files.open_slot
    monkeypatch.setattr(output_files, "open_slot", open_and_rotate)
    lines = texts(tail(env.files, "a"))
    assert lines == ["old", "new", "newest"]


# --- from a time on ------------------------------------------------------------------------


def paused() -> float:
    """A time that lies well between what was said before and what is said after."""
    time.sleep(0.15)  # times are kept to 0.1 s
    now = time.time()
    time.sleep(0.15)  # times are kept to 0.1 s
    return now


def test_what_came_from_a_time_on_is_found(env):
    env.client.ensure_running()
    begin = paused()
    env.write("a", b"earlier run\n")
    middle = paused()
    env.write("a", b"this run\n")
    end = paused()
    since = {
        when: texts(lines_since(env.files, "a", position_at(env.files, "a", when)))
        for when in (begin, middle, end)
    }
    assert list(since.values()) == [["earlier run", "this run"], ["this run"], []]


def test_what_came_from_a_time_on_is_found_in_older_files(env):
    env.restart_with_limits(50_000, 20)
    env.write("a", b"earlier run\n")
    middle = paused()
    env.run("a", NUMBERED, 3000, 5e6, 101)
    wait_for(lambda: len(list(env.files.glob("a.out.*.gz"))) > 3, COMPRESS_TIMEOUT)
    lines = lines_since(env.files, "a", position_at(env.files, "a", middle), 5000)
    assert numbers("\n".join(texts(lines)).encode()) == list(range(3000))


def test_without_times_a_time_is_no_position(env):
    assert position_at(env.files, "nobody", time.time()) == Position(0, 0)


def test_the_files_that_there_are_come_the_newest_first(env):
    env.files.mkdir()
    of_a = ["a.out", "a.out.1", "a.out.2.gz", "a.out.10.gz"]
    others = ["a.out.1.times", "a.out.gz.new", "a.out.times", "a.outer", "ab.out", "a.out.x.gz"]
    for name in (*others, *reversed(of_a)):
        (env.files / name).touch()
    assert list_log_files(str(env.files), "a") == [str(env.files / name) for name in of_a]
    assert list_log_files(str(env.directory / "nowhere"), "a") == []


@pytest.mark.parametrize("when", [math.nan, math.inf, -math.inf, -1.0, 1e300])
def test_a_time_that_cannot_be_one_is_none(when):
    moments = TimestampIndex(struct.pack("<8sQQd", b"hmtimes1", 1, 0, when))
    assert moments.at(5) == 0.0
    assert moments.since == 0.0
