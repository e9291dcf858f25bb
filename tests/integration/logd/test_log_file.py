"""What is on the disk: rotation, limits, and disks and people that get in the way."""

import gzip
import os
import re
import shutil
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest

from hostmanager.logd import rotation
from hostmanager.logd.client import LogDaemonClient
from hostmanager.logd.log_file import LogFile
from hostmanager.logd.settings import Settings
from tests.integration.logd.conftest import COMPRESS_TIMEOUT, NUMBERED, numbers
from tests.support.waiting import BUSY_MACHINE, wait_for

MARKER = re.compile(
    rb"^\[hostmanager: (\d+) bytes lost between (\S+Z) and (\S+Z): ([^\]]+)\]$", re.MULTILINE
)


def on_disk(directory: Path) -> int:
    sizes = {}  # by inode: files move while they are looked at
    for path in directory.glob("*"):
        with suppress(FileNotFoundError):
            status = path.stat()
            sizes[status.st_ino] = status.st_size
    return sum(sizes.values())


# --- rotation -----------------------------------------------------------------------------


def test_old_files_are_numbered_and_compressed_from_the_second_on(env):
    env.restart_with_limits(100_000, 3)
    for i in range(8):
        env.write("a", b"%d " % i * 25_000 + b"\n")
    want = {"a.out", "a.out.1", "a.out.2.gz", "a.out.3.gz"}
    want |= {"a.out.times", "a.out.1.times", "a.out.2.times", "a.out.3.times"}

    def there():
        return {path.name for path in env.files.iterdir()}

    wait_for(lambda: there() == want, COMPRESS_TIMEOUT, "the files", lambda: sorted(there()))
    assert gzip.decompress((env.files / "a.out.2.gz").read_bytes()).strip(b"0123456789 \n") == b""


def test_lines_are_whole_in_each_file(env):
    env.restart_with_limits(2_000_000, 50)
    env.run("a", NUMBERED, 150_000, 10e6, 100)
    wait_for(lambda: {p.name for p in env.files.glob("a.out.?")} == {"a.out.1"}, COMPRESS_TIMEOUT)
    packed = [gzip.decompress(path.read_bytes()) for path in env.files.glob("a.out.*.gz")]
    assert len(packed) > 3
    for data in (*packed, (env.files / "a.out.1").read_bytes()):
        assert len(data.splitlines()[-1]) == 99
        assert len(data) <= 2_000_000


def test_disk_use_is_bounded_whatever_is_printed(env):
    env.restart_with_limits(100_000, 4)
    source = "import os\nfor i in range(40): os.write(1, os.urandom(100_000))"
    agent = env.agent("a", source)
    most = 0
    while agent.poll() is None:
        most = max(most, on_disk(env.files))
    assert env.client.flush("a", 5)
    assert 400_000 <= max(most, on_disk(env.files)) <= 5 * 112_500 + 100_000


def test_random_bytes_are_not_compressed_and_still_bounded(env):
    env.restart_with_limits(100_000, 3)
    for _ in range(8):
        env.write("a", os.urandom(100_000))
    wait_for(lambda: not (env.files / "a.out.gz.new").exists())
    assert on_disk(env.files) <= 4 * 112_500
    assert len(env.all_output("a")) >= 300_000


def test_fewer_old_files_are_kept_when_the_limit_is_lowered(env):
    env.restart_with_limits(50_000, 6)
    for _ in range(10):
        env.write("a", b"x" * 50_000)
    env.restart_with_limits(50_000, 2)
    env.write("a", b"y\n")
    slots = {path.name.split(".")[2] for path in env.files.glob("a.out.[0-9]*")}
    assert slots == {"1", "2"}


def test_trickling_output_does_not_make_the_times_larger_than_it(env):
    env.restart_with_limits(4096, 3)  # so 32 records of times for a file
    source = "import os, time\nfor i in range(40): os.write(1, b'.'); time.sleep(0.105)"
    env.run("a", source)
    assert all(path.stat().st_size <= 512 + 16 for path in env.files.glob("*.times"))
    assert env.all_output("a") == b"." * 40


@pytest.mark.parametrize("killed_at", range(12))
def test_rotation_that_is_cut_short_anywhere_loses_and_doubles_nothing(
    tmp_path, monkeypatch, killed_at
):
    def write(slot: int, text: str) -> None:
        name = f"a.out.{slot}" if slot else "a.out"
        name_of_data = f"{name}.gz" if slot > 1 else name
        data = gzip.compress(text.encode()) if slot > 1 else text.encode()
        (tmp_path / name_of_data).write_bytes(data)
        (tmp_path / f"{name}.times").write_text(f"times of {text}")

    class Killed(BaseException):
        pass

    for slot, text in enumerate(("new", "one", "two", "three")):
        write(slot, text)
    steps = iter(range(100))
    for call in ("rename", "unlink"):
        monkeypatch.setattr(os, call, dying(getattr(os, call), steps, killed_at, Killed))
    try:
        rotation.rotate(str(tmp_path), "a", 4)
    except Killed:
        monkeypatch.undo()
        rotation.repair(str(tmp_path), "a", 4)
        if (tmp_path / "a.out").exists():
            rotation.rotate(str(tmp_path), "a", 4)
    monkeypatch.undo()
    results = {}
    for slot in range(5):
        for path in map(Path, rotation.slot_files(str(tmp_path), "a", slot)):
            data = path.read_bytes()
            times = (tmp_path / (path.name.removesuffix(".gz") + ".times")).read_text()
            results[slot] = (gzip.decompress(data) if path.suffix == ".gz" else data).decode()
            assert times == f"times of {results[slot]}"
    assert results == {1: "new", 2: "one", 3: "two", 4: "three"}


def dying(call, steps, killed_at, error):
    def instead(*args):
        if next(steps) == killed_at:
            raise error
        return call(*args)

    return instead


def test_a_compressed_file_beside_its_plain_one_counts_once(env):
    env.files.mkdir()
    (env.files / "a.out.2").write_bytes(b"old\n")
    (env.files / "a.out.2.gz").write_bytes(gzip.compress(b"old\n"))
    (env.files / "a.out.gz.new").write_bytes(b"half")
    env.restart_with_limits(10_000)
    env.write("a", b"new\n")
    assert env.all_output("a") == b"old\nnew\n"
    assert not (env.files / "a.out.2").exists()
    assert not (env.files / "a.out.gz.new").exists()


# --- people -------------------------------------------------------------------------------


def test_a_file_that_was_moved_away_is_made_again(env):
    env.client.ensure_running()
    env.write("a", b"one\n")
    (env.files / "a.out").rename(env.files / "moved")
    time.sleep(1.1)  # it looks at the file once a second
    env.write("a", b"two\n")
    assert env.current_output("a") == b"two\n"
    assert (env.files / "moved").read_bytes() == b"one\n"


def test_a_deleted_file_is_made_again_at_once(env):
    env.client.ensure_running()
    env.write("a", b"one\n")
    (env.files / "a.out").unlink()
    env.write("a", b"two\n")
    assert env.current_output("a") == b"two\n"


def test_a_deleted_directory_is_made_again(env):
    env.client.ensure_running()
    env.write("a", b"one\n")
    subprocess.run(["rm", "-r", env.files], check=True)
    env.write("a", b"two\n")
    assert env.current_output("a") == b"two\n"


def test_a_directory_deleted_while_the_file_is_closed_is_made_again(tmp_path):
    null, (reader, writer) = os.open("/dev/null", os.O_WRONLY), os.pipe()
    log_file = LogFile(Settings(str(tmp_path), str(tmp_path / "files"), 1000, 2), "a", null)
    try:
        for text in (b"one\n", b"two\n"):
            os.write(writer, text)
            assert log_file.splice_from(reader, len(text), 65536) == len(text)
            assert (tmp_path / "files" / "a.out").read_bytes() == text
            log_file.close()  # as after some seconds without output
            shutil.rmtree(tmp_path / "files")
    finally:
        for fd in (null, reader, writer):
            os.close(fd)


def test_a_file_that_was_cut_goes_on_at_its_new_end(env):
    env.client.ensure_running()
    env.write("a", b"one\n" * 1000)
    os.truncate(env.files / "a.out", 0)
    env.write("a", b"two\n")
    assert env.current_output("a") == b"two\n"


def test_what_others_append_is_not_overwritten(env):
    env.client.ensure_running()
    env.write("a", b"one\n")
    with (env.files / "a.out").open("ab") as file:
        file.write(b"a note\n")
    env.write("a", b"two\n")
    assert env.current_output("a") == b"one\na note\ntwo\n"


# --- disks --------------------------------------------------------------------------------


def test_a_full_disk_neither_stops_nor_slows_an_agent_and_the_loss_is_reported(env, small_disk):
    client = env.client = LogDaemonClient(env.state, small_disk / "files", 10_000_000, 2)
    env.files = small_disk / "files"
    client.ensure_running()
    result = env.directory / "result"
    agent = env.agent("a", NUMBERED, 200_000, 10e6, 100, result)
    assert agent.wait(60) == 0
    worst, waited, took = map(float, result.read_text().split())
    assert worst < 0.5 * BUSY_MACHINE
    assert waited < 1 * BUSY_MACHINE
    assert took < 3 * BUSY_MACHINE
    full = env.current_output("a")
    assert 1_000_000 < len(full) < 2_100_000
    os.truncate(env.files / "a.out", 50_000)
    assert wait_for(lambda: client.flush("a", 0.1), 5, "what was held is written")
    env.write("a", b"and on\n")
    match = MARKER.search(env.current_output("a"))
    assert match, env.current_output("a")[49_000:50_500]
    lost, started, ended, why = match.groups()
    assert why == b"No space left on device"
    assert started <= ended
    after = env.current_output("a")[match.end() :]
    assert len(full) + int(lost) + len(after) - 1 - len(b"and on\n") == 200_000 * 100
    assert after.endswith(b"and on\n")
    assert numbers(after.split(b"\n", 2)[2][: -len(b"and on\n")])[-1] == 199_999
    assert "No space left" in env.log()


def test_what_fits_into_the_pipe_outlasts_a_full_disk(env, small_disk):
    env.client = LogDaemonClient(env.state, small_disk / "files")
    env.files = small_disk / "files"
    env.client.ensure_running()
    env.write("a", b"one\n")
    filler = small_disk / "filler"
    with filler.open("wb") as file, pytest.raises(OSError, match="No space"):
        while True:
            os.write(file.fileno(), bytes(4096))
    env.agent("a", "import os\nos.write(1, b'x' * 4096 * 2 + b'\\ntwo\\n')").wait(60)
    assert not env.client.flush("a", 0.3)
    filler.unlink()
    assert env.client.flush("a", 5)
    assert env.current_output("a") == b"one\n" + b"x" * 8192 + b"\ntwo\n"


def test_a_disk_that_stays_full_costs_next_to_nothing(env, small_disk):
    env.client = LogDaemonClient(env.state, small_disk / "files")
    env.files = small_disk / "files"
    env.client.ensure_running()
    assert env.agent("a", NUMBERED, 60_000, 100e6, 100).wait(60) == 0
    assert not env.client.flush("a", 0.3)
    spent = Path(f"/proc/{env.client.pid}/schedstat")
    before = int(spent.read_text().split()[0])
    time.sleep(1.5)  # the length is the point
    assert int(spent.read_text().split()[0]) - before < 0.1 * 1.5e9


def test_a_read_only_directory_is_survived(env, small_disk):
    env.client = LogDaemonClient(env.state, small_disk / "files")
    env.files = small_disk / "files"
    env.client.ensure_running()
    remount = ["mount", "-o", "remount,ro", str(small_disk)]
    if subprocess.run(remount, capture_output=True, check=False).returncode:
        pytest.skip("cannot be made read-only here")
    result = env.directory / "result"
    assert env.agent("a", NUMBERED, 50_000, 10e6, 100, result).wait(60) == 0
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    assert wait_for(lambda: env.client.flush("a", 0.1), 5)
    match = MARKER.search(env.current_output("a"))
    assert match
    assert match[4] == b"Read-only file system"
    assert int(match[1]) + len(env.current_output("a")) - match.end() - 1 == 50_000 * 100


def test_something_else_in_the_place_of_the_file_is_survived(env):
    env.client.ensure_running()
    (env.files / "a.out").mkdir(parents=True)
    env.agent("a", "print('hello')").wait(60)
    assert not env.client.flush("a", 0.3)
    (env.files / "a.out").rmdir()
    assert env.client.flush("a", 5)
    assert env.current_output("a") == b"hello\n"
