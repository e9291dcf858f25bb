"""What another user puts into the log directory is neither written to nor read, nor waited for."""

import os
import stat
import threading
import time
from pathlib import Path

import pytest

from hostmanager.drivers.process.output.output_sink import last_lines, open_output_file
from hostmanager.logd import paths as names
from hostmanager.logd.reader import position, tail
from tests.integration.logd.conftest import LogEnvironment
from tests.support.waiting import wait_for
from tests.unit.util.test_files import KINDS


@pytest.fixture
def shared(env) -> LogEnvironment:
    """A env whose output files are where everybody may write."""
    env.files.mkdir()
    env.files.chmod(0o777)
    (env.directory / "secret").write_text("secret\n")
    return env


@pytest.fixture(params=KINDS)
def plant(request):
    return KINDS[request.param]


def untouched(shared: LogEnvironment) -> bool:
    return (shared.directory / "secret").read_text() == "secret\n"


def texts(shared: LogEnvironment) -> list[str]:
    return [text for _, text in tail(shared.files, "a", 5000)]


def test_output_goes_into_a_file_of_ours_whatever_lies_in_its_place(shared, plant):
    plant(shared.files / "a.out")
    plant(shared.files / "a.out.times")
    shared.client.ensure_running()
    shared.run("a", "print('hello')")
    assert shared.current_output("a") == b"hello\n"
    assert texts(shared) == ["hello"]
    assert not (shared.files / "a.out").is_symlink()
    assert untouched(shared)


def test_what_takes_the_place_of_an_open_file_gets_nothing(shared, plant):
    shared.client.ensure_running()
    shared.run("a", "print('one')")
    (shared.files / "a.out").rename(shared.files / "mine")
    plant(shared.files / "a.out")

    def noticed():
        shared.run("a", "print('two')")
        mode = (shared.files / "a.out").lstat().st_mode
        return stat.S_ISREG(mode) and b"two\n" in shared.current_output("a")

    wait_for(noticed, 20, every=0.3)
    assert untouched(shared)


def test_what_lies_in_the_place_of_an_old_file_is_not_served(shared, plant):
    shared.client.ensure_running()
    shared.run("a", "print('hello')")
    plant(shared.files / "a.out.1")
    (shared.files / "secret.gz").write_bytes(b"")
    assert texts(shared) == ["hello"]
    assert names.list_log_files(str(shared.files), "a") == [str(shared.files / "a.out")]


@pytest.mark.parametrize("name", ["a.out", "a.out.times"])
def test_a_reader_neither_waits_nor_serves_what_lies_in_the_place_of_the_file(shared, plant, name):
    shared.client.ensure_running()
    shared.run("a", "print('hello')")
    assert shared.client.stop()
    (shared.files / name).unlink()
    plant(shared.files / name)
    answers = []
    reader = threading.Thread(
        target=lambda: answers.append((texts(shared), position(shared.files, "a"))), daemon=True
    )
    reader.start()
    reader.join(20)
    assert answers, "the reader waits"
    assert "secret" not in answers[0][0]
    assert "theirs" not in answers[0][0]


def test_rotation_and_compression_neither_follow_nor_overwrite(shared, plant):
    client = shared.restart_with_limits(4096, 3)
    for slot in (1, 2, 3):
        plant(shared.files / f"a.out.{slot}")
        plant(shared.files / f"a.out.{slot}.gz")
    plant(shared.files / "a.out.gz.new")
    shared.run("a", "for n in range(3000): print('%09d' % n)")
    assert untouched(shared)
    assert texts(shared)[-1] == "000002999"
    assert client.pid


def test_a_planted_compressed_file_does_not_end_the_plain_one(shared, plant):
    shared.restart_with_limits(4096, 5)
    shared.run("a", "for n in range(600): print('%09d' % n)")
    shared.client.stop()
    before = texts(shared)
    for slot in range(1, 6):
        plain, packed = (
            Path(path_of(str(shared.files), "a", slot))
            for path_of in (names.log_file, names.compressed_file)
        )
        if plain.exists() and not packed.exists():
            plant(packed)
    shared.client.ensure_running()
    shared.run("a", "print('more')")
    assert texts(shared)[-len(before) - 1 :] == [*before, "more"]


def test_an_agent_that_writes_its_file_itself_gets_one_of_ours(shared, plant):
    path = shared.files / "a.out"
    plant(path)
    fd, begin = open_output_file(path)
    os.write(fd, b"hello\n")
    os.close(fd)
    assert begin == 0
    assert last_lines(path, 0) == ("hello",)
    assert untouched(shared)


def test_the_last_lines_of_a_run_are_of_our_file(shared, plant):
    plant(shared.files / "a.out")
    before = time.monotonic()
    assert last_lines(shared.files / "a.out", 0) == ()
    assert time.monotonic() - before < 20  # a FIFO would be waited for
