"""What an agent writes: all of it in its file, the last of it shown."""

import asyncio
import os

import pytest

from hostmanager.core.events import Exited, LastOutput
from hostmanager.drivers.process.output import output_sink as output
from hostmanager.drivers.process.output.output_sink import (
    LINE_LENGTH,
    MAX_FILE_BYTES,
    TAIL_LINES,
    last_lines,
)
from tests.integration.process.conftest import LOCK_TIMEOUT, PYTHON, Host


async def lines_of(host: Host, name: str, *argv: str) -> tuple[str, ...]:
    """Launch, wait for the end, and return the lines that are reported after it."""
    await host.launch(name, *argv)
    return (await host.next(name, output=True)).lines


async def test_stdout_and_stderr_go_to_one_file_in_their_order(host):
    lines = await lines_of(host, "a", "/bin/sh", "-c", "echo one; echo two >&2; echo three")
    assert lines == ("one", "two", "three")
    assert host.output("a").read_text() == "one\ntwo\nthree\n"


async def test_output_is_reported_after_the_end(host):
    await host.launch("a", "/bin/echo", "bye")
    kinds = [type(await host.reports["a"].get()).__name__ for _ in range(2)]
    assert kinds == ["Exited", "LastOutput"]


async def test_only_the_lines_of_this_run_are_shown_and_the_file_keeps_all(host):
    await lines_of(host, "a", "/bin/echo", "first run")
    assert await lines_of(host, "a", "/bin/echo", "second run") == ("second run",)
    assert host.output("a").read_text() == "first run\nsecond run\n"


async def test_a_run_without_words_has_none(host):
    await lines_of(host, "a", "/bin/echo", "first run")
    assert await lines_of(host, "a", "/bin/true") == ()


async def test_undecodable_bytes_are_repaired_for_showing_and_kept_in_the_file(host):
    code = r"import os; os.write(1, b'caf\xc3'); os.write(2, b'\xa9 \xff\xfe\nnext\n')"
    assert await lines_of(host, "a", PYTHON, "-c", code) == ("café ��", "next")
    assert host.output("a").read_bytes() == b"caf\xc3\xa9 \xff\xfe\nnext\n"


async def test_long_lines_are_cut_for_showing(host):
    (line,) = await lines_of(host, "a", PYTHON, "-c", "print('x' * 5000)")
    assert line == "x" * (LINE_LENGTH - 1) + "…"


async def test_of_much_output_the_last_lines_are_shown(host):
    code = "for n in range(200_000): print(n)"
    expected = tuple(str(n) for n in range(200_000 - TAIL_LINES, 200_000))
    assert await lines_of(host, "a", PYTHON, "-c", code) == expected


async def test_a_file_that_has_grown_too_large_is_moved_aside_at_the_next_launch(host):
    path = host.output("a")
    path.touch()
    os.truncate(path, MAX_FILE_BYTES + 1)
    assert await lines_of(host, "a", "/bin/echo", "fresh") == ("fresh",)
    assert path.read_text() == "fresh\n"
    assert path.with_name("a.out.1").stat().st_size == MAX_FILE_BYTES + 1


async def test_a_file_that_is_removed_while_an_agent_writes_harms_nothing(host):
    assert await lines_of(host, "a", "/bin/sh", "-c", f"rm {host.output('a')}; echo lost") == ()


async def test_runs_that_follow_at_once_do_not_mix_their_words(host):
    shown, launched = set(), 1
    host.begin("a", "/bin/echo", "run 1")
    async with asyncio.timeout(LOCK_TIMEOUT):
        while len(shown) < 30:
            report = await host.reports["a"].get()
            if isinstance(report, LastOutput):
                shown.add(report.lines)
            elif isinstance(report, Exited) and launched < 30:
                launched += 1
                host.begin("a", "/bin/echo", f"run {launched}")
    assert shown == {(f"run {n}",) for n in range(1, 31)}


# --- reading ------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "a.out"
    path.write_bytes(b"one\ntwo\nthree\n")
    return path


def test_a_file_that_is_not_there_has_no_lines(tmp_path):
    assert last_lines(tmp_path / "none", 0) == ()


def test_reading_stops_where_the_next_run_began(file):
    assert last_lines(file, 4, 8) == ("two",)
    assert last_lines(file, 4, 4) == ()


def test_a_file_that_shrank_has_no_lines_of_that_run(file):
    assert last_lines(file, 1000) == ()


def test_a_run_whose_file_was_moved_aside_is_read_there(file):
    file.rename(output.rotated_path(file))
    file.write_bytes(b"next run\n")
    assert last_lines(file, 4, 0) == ("two", "three")


def test_a_cut_in_the_middle_of_a_character_is_repaired(file):
    file.write_bytes("é".encode() * 20_000)
    (line,) = last_lines(file, 0)
    assert line.endswith("…")
