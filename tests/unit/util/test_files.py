"""Opening by name: a file of ours is opened, whatever else lies there is not."""

import os
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hostmanager.util.files import (
    ForeignFileError,
    is_own,
    make_private_directory,
    open_fifo,
    open_or_replace,
    open_own,
    replace_file,
)
from tests.support.users import STRANGER, needs_root

APPEND = os.O_WRONLY | os.O_APPEND


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """A directory that everybody may write to."""
    directory = tmp_path / "shared"
    directory.mkdir()
    directory.chmod(0o777)
    return directory


def link(path: Path) -> None:
    path.symlink_to(path.parent.parent / "secret")


def hard_link(path: Path) -> None:
    path.hardlink_to(path.parent.parent / "secret")


def fifo(path: Path) -> None:
    os.mkfifo(path)


def device(path: Path) -> None:
    try:
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("no device can be made here (it takes root)")


def of_another(path: Path) -> None:
    path.write_text("theirs\n")
    try:
        os.chown(path, STRANGER, STRANGER)
    except PermissionError:
        pytest.skip("a file of another user can be made by root only")


KINDS = {
    "symbolic link": link,
    "hard links": hard_link,
    "named pipe": fifo,
    "device": device,
    "another user": of_another,
}


@pytest.fixture(params=KINDS)
def planted(request, shared) -> tuple[Path, str]:
    (shared.parent / "secret").write_text("secret\n")
    path = shared / "file"
    KINDS[request.param](path)
    return path, request.param


@pytest.mark.parametrize(
    "flags", [os.O_RDONLY, APPEND, APPEND | os.O_CREAT, os.O_RDWR | os.O_TRUNC]
)
def test_what_is_not_ours_is_not_opened_and_the_error_says_what_it_is(planted, flags):
    path, kind = planted
    before = path.lstat()
    with pytest.raises(ForeignFileError, match=kind):
        open_own(str(path), flags)
    assert not is_own(str(path))
    assert path.lstat() == before
    assert (path.parent.parent / "secret").read_text() == "secret\n"


def test_what_is_not_ours_is_moved_aside_as_it_is_and_a_new_file_is_made(planted):
    path, _ = planted
    before = path.lstat()
    fd, fresh = open_or_replace(str(path), APPEND, 0o640)
    os.write(fd, b"ours\n")
    os.close(fd)
    assert fresh
    assert path.read_text() == "ours\n"
    assert stat.S_IMODE(path.lstat().st_mode) == 0o640
    (aside,) = path.parent.glob("file.aside-*")
    after = aside.lstat()
    assert (after.st_ino, after.st_uid, after.st_size) == (
        before.st_ino,
        before.st_uid,
        before.st_size,
    )
    assert (path.parent.parent / "secret").read_text() == "secret\n"


def test_a_file_of_ours_is_opened_and_made_only_when_asked(tmp_path):
    path = str(tmp_path / "file")
    with pytest.raises(FileNotFoundError):
        open_own(path, os.O_RDONLY)
    fd, fresh = open_or_replace(path, APPEND)
    os.write(fd, b"one\n")
    os.close(fd)
    assert fresh
    fd, fresh = open_or_replace(path, APPEND)
    os.write(fd, b"two\n")
    os.close(fd)
    assert not fresh
    assert Path(path).read_text() == "one\ntwo\n"
    os.close(open_own(path, os.O_WRONLY | os.O_TRUNC))
    assert Path(path).read_text() == ""
    assert not os.get_inheritable(open_own(path, os.O_RDONLY))


def test_a_hard_link_is_ours_where_nobody_else_can_make_names(tmp_path):
    """An administrator's `cp -al` of a log directory stops no output."""
    (tmp_path / "file").write_text("x")
    (tmp_path / "copy").hardlink_to(tmp_path / "file")
    assert is_own(str(tmp_path / "file"))


def test_a_directory_is_left_where_it_is(tmp_path):
    (tmp_path / "file").mkdir()
    with pytest.raises(IsADirectoryError):
        open_or_replace(str(tmp_path / "file"), APPEND)
    assert (tmp_path / "file").is_dir()


def test_a_file_that_somebody_swaps_meanwhile_is_the_one_that_was_judged_or_none(
    shared, monkeypatch
):
    """Between the look and the open: what is opened is what was looked at."""
    (shared.parent / "secret").write_text("secret\n")
    path = shared / "file"
    path.write_text("ours\n")
    opening = os.open

    def swapped(name, flags, *mode):
        fd = opening(name, flags, *mode)
        if flags & os.O_PATH:
            path.unlink()
            path.symlink_to(shared.parent / "secret")
        return fd

    monkeypatch.setattr(os, "open", swapped)
    fd = open_own(str(path), os.O_RDONLY)
    assert os.read(fd, 100) == b"ours\n"
    os.close(fd)


@needs_root
def test_a_swapped_name_that_was_made_meanwhile_is_judged_as_well(shared, monkeypatch):
    path = shared / "file"
    opening = os.open

    def planted(name, flags, *mode):
        if flags & os.O_CREAT and not os.path.lexists(path):
            path.write_text("theirs\n")
            os.chown(path, STRANGER, STRANGER)
        return opening(name, flags, *mode)

    monkeypatch.setattr(os, "open", planted)
    with pytest.raises(ForeignFileError, match="another user"):
        open_own(str(path), APPEND | os.O_CREAT)
    assert path.read_text() == "theirs\n"


def test_a_fifo_is_a_fifo(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    os.close(open_fifo(str(tmp_path / "fifo"), os.O_RDONLY))
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="not a FIFO"):
        open_fifo(str(tmp_path / "file"), os.O_RDONLY)
    (tmp_path / "link").symlink_to("fifo")
    with pytest.raises(OSError, match="symbolic links"):
        open_fifo(str(tmp_path / "link"), os.O_RDONLY)


def test_a_file_is_replaced_as_a_whole_also_after_a_death_in_the_middle(tmp_path):
    path = tmp_path / "file"
    (tmp_path / "file.new").write_text("half of it")
    replace_file(str(path), b"one", 0o644)
    replace_file(str(path), b"two", 0o644)
    assert path.read_bytes() == b"two"
    assert [file.name for file in tmp_path.iterdir()] == ["file"]
    assert path.stat().st_mode & 0o777 == 0o644


def test_a_file_that_cannot_be_replaced_stays(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    (tmp_path / "file.new").mkdir()
    with pytest.raises(OSError, match="directory"):
        replace_file(str(path), b"new")
    assert path.read_text() == "old"


def test_a_private_directory_is_ours_alone_and_so_is_what_was_missing_above_it(tmp_path):
    tmp_path.chmod(0o755)
    for _ in range(2):
        make_private_directory(tmp_path / "a" / "b" / "c")
    modes = [stat.S_IMODE((tmp_path / path).stat().st_mode) for path in (".", "a", "a/b", "a/b/c")]
    assert modes == [0o755, 0o700, 0o700, 0o700]


def test_a_private_directory_that_another_thread_makes_at_the_same_time_is_no_error(tmp_path):
    threads = 4
    barrier = threading.Barrier(threads)

    def make(number):
        barrier.wait()
        make_private_directory(tmp_path / str(number) / "locks")

    with ThreadPoolExecutor(threads) as pool:
        for number in range(50):
            list(pool.map(make, [number] * threads))
            assert (tmp_path / str(number) / "locks").is_dir()


def test_a_private_directory_in_the_place_of_a_file_is_an_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError):
        make_private_directory(tmp_path / "file")
    with pytest.raises(NotADirectoryError):
        make_private_directory(tmp_path / "file" / "a")


def test_where_no_directory_can_be_made_is_an_error():
    with pytest.raises(FileNotFoundError):
        make_private_directory("/proc/a/b")
