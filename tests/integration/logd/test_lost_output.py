"""What was lost on a full disk is told, though the scribe that lost it has ended meanwhile."""

import os
import re

import pytest

from hostmanager.logd.client import LogDaemonClient
from hostmanager.logd.lost_output import LostOutput, load, save
from tests.integration.logd.conftest import NUMBERED, numbers
from tests.support.waiting import wait_for

MARKER = re.compile(
    rb"\n\[hostmanager: (\d+) bytes lost between [^\]]+: No space left on device\]\n"
)
NOTE = {"a": LostOutput(12, 1.5, 2.5, 28), "b.c-d": LostOutput(3, 4.0, 4.0, 5)}


@pytest.fixture
def full(room, small_disk):
    """Its files are on a disk that fills up; ``full()`` makes room."""
    room.scribe = LogDaemonClient(room.state, small_disk / "files", 10_000_000, 2)
    room.files = small_disk / "files"
    room.scribe.ensure_running()
    filler = small_disk / "filler"
    room.say("a", b"begin\n")
    with filler.open("wb") as file, pytest.raises(OSError, match="No space"):
        while True:
            os.write(file.fileno(), bytes(4096))
    return filler.unlink


def told(room, before, written):
    """What comes after the remark, which tells exactly what is missing of `written` bytes."""
    text = room.current("a")
    found = MARKER.search(text)
    assert found, text[-500:]
    # A new line was begun for it where that had to be.
    assert found.start() == len(before) - before.endswith(b"\n")
    after = text[found.end() :]
    assert len(before) - len(b"begin\n") + int(found[1]) + len(after) == written
    assert f"output of a: {int(found[1])} bytes lost; its file tells when it can" in room.log()
    assert not (room.state / "scribe.debts").exists()
    return after


def test_told_to_end_on_a_full_disk_what_was_lost_is_told_by_the_next_one(room, full):
    room.agent("a", NUMBERED, 20_000, 100e6, 100).wait(60)
    assert room.scribe.quit(last=True)
    room.scribe.close()
    before = room.current("a")
    full()
    room.scribe.ensure_running()
    room.say("a", b"the next run\n")
    assert told(room, before, 20_000 * 100 + len(b"the next run\n")) == b"the next run\n"


def test_followed_by_another_it_leaves_what_is_in_the_pipes(room, full):
    """The agents go on: another version, say."""
    written, sign = room.folder / "written", room.folder / "sign"
    waits = f"\nwhile not os.path.exists({str(sign)!r}): time.sleep(0.02)\n"
    agent = room.agent("a", NUMBERED + waits, 20_000, 100e6, 100, written)
    wait_for(written.exists, 30, "all to be written")
    assert room.scribe.quit()
    before = room.current("a")
    full()
    room.scribe.ensure_running()
    assert room.scribe.flush("a", 10)
    kept = told(room, before, 20_000 * 100)
    assert len(kept) > 10_000
    assert numbers(kept.split(b"\n", 1)[1])[-1] == 19_999
    sign.touch()
    assert agent.wait(60) == 0


def test_of_an_instance_that_is_no_more_it_is_told_as_well(room, full):
    room.agent("a", NUMBERED, 20_000, 100e6, 100).wait(60)
    assert room.scribe.quit(last=True)
    room.scribe.drop("a")
    full()
    room.scribe.ensure_running()
    wait_for(lambda: MARKER.search(room.current("a")), 10, "the remark")


def test_a_note_is_read_once(tmp_path):
    save(str(tmp_path), NOTE)
    assert (tmp_path / "scribe.debts").stat().st_mode & 0o777 == 0o600
    assert load(str(tmp_path)) == NOTE
    assert load(str(tmp_path)) == {}


def test_nothing_owed_is_no_note(tmp_path):
    save(str(tmp_path), {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "line",
    [
        *("garbage", "a 1 2.0", "a one 1.0 2.0 5", "a -1 1.0 2.0 5", "a 1 nan 2.0 5"),
        *("a 1 2.0 1.0 5", "a 1 1.0 1e300 5", "../a 1 1.0 2.0 5", "a 1 1.0 2.0 5 6", "\xff\0"),
    ],
)
def test_what_makes_no_sense_in_a_note_costs_its_own_line(tmp_path, capfd, line):
    (tmp_path / "scribe.debts").write_text(f"{line}\nb 7 1.0 2.0 28\n")
    assert load(str(tmp_path)) == {"b": LostOutput(7, 1.0, 2.0, 28)}
    assert "scribe.debts: not understood" in capfd.readouterr().err


def test_something_else_in_its_place_is_survived_and_said(tmp_path, capfd):
    (tmp_path / "scribe.debts").mkdir()
    save(str(tmp_path), NOTE)
    assert "the next scribe will not know of what was lost" in capfd.readouterr().err
    assert load(str(tmp_path)) == {}
    (tmp_path / "scribe.debts").rmdir()
    (tmp_path / "scribe.debts").symlink_to(tmp_path / "elsewhere")
    save(str(tmp_path), NOTE)
    assert not (tmp_path / "elsewhere").exists()
    assert load(str(tmp_path)) == {}


@pytest.mark.parametrize(
    "line",
    [
        f"a {'9' * 5000} 1.0 2.0 28",
        f"a 5 1.0 2.0 {'9' * 30}",
        "a ² 1.0 2.0 28",
        "a 5 nan nan 28",
        "a 5 1.0 inf 28",
        "a -5 1.0 2.0 28",
        "a 5 1.0 2.0 -1",
    ],
)
def test_a_debt_with_numbers_that_none_can_have_is_none(tmp_path, line):
    note = tmp_path / "scribe.debts"
    note.write_text(f"{line}\nb 5 1.0 2.0 28\n")
    assert load(str(tmp_path)) == {"b": LostOutput(5, 1.0, 2.0, 28)}
