"""The lock that lives as long as anybody who inherited it."""

import errno
import os
import subprocess

import pytest

from hostmanager.drivers.process.ownership import instance_lock as locks


@pytest.fixture
def path(tmp_path):
    return tmp_path / "locks" / "a.lock"


def test_a_lock_is_had_once(path):
    first = locks.acquire(path)
    assert first is not None
    assert locks.acquire(path) is None
    os.close(first)
    second = locks.acquire(path)
    assert second is not None
    os.close(second)


def test_on_a_disk_that_has_become_read_only_who_holds_it_still_does(path, monkeypatch):
    lock = locks.acquire(path)
    opened = os.open

    def read_only(name, flags, *mode):
        if flags & (os.O_RDWR | os.O_WRONLY):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return opened(name, flags, *mode)

    monkeypatch.setattr(os, "open", read_only)
    assert locks.acquire(path) is None
    assert locks.is_held(path)
    os.close(lock)
    os.close(locks.acquire(path))
    with pytest.raises(OSError, match="No such file"):
        locks.acquire(path.with_name("b.lock"))


def test_the_directory_is_made_for_us_alone(path):
    os.close(locks.acquire(path))
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_who_inherited_it_holds_it_and_is_found(path):
    lock = locks.acquire(path)
    child = subprocess.Popen(["/bin/sleep", "1000"], pass_fds=[lock])
    bystander = subprocess.Popen(["/bin/sleep", "1000"])
    os.close(lock)
    try:
        assert locks.acquire(path) is None
        assert locks.holders(path) == [child.pid]
    finally:
        for process in (child, bystander):
            process.kill()
            process.wait()
    assert locks.holders(path) == []
    os.close(locks.acquire(path))


def test_a_holder_is_not_reported_to_itself(path):
    lock = locks.acquire(path)
    assert locks.holders(path) == []
    os.close(lock)


def test_a_lock_is_not_inherited_unless_requested(path):
    lock = locks.acquire(path)
    child = subprocess.Popen(["/bin/sleep", "1000"], close_fds=False)
    try:
        assert locks.holders(path) == []
    finally:
        child.kill()
        child.wait()
        os.close(lock)


@pytest.mark.parametrize("what", ["directory", "loop", "link elsewhere", "file as directory"])
def test_what_is_no_file_of_ours_is_an_error_and_is_left_as_it_is(path, what, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    if what == "file as directory":
        path.parent.write_text("a file")
    else:
        path.parent.mkdir()
    match what:
        case "directory":
            path.mkdir()
        case "loop":
            path.symlink_to(path)
        case "link elsewhere":
            path.symlink_to(elsewhere)
    with pytest.raises(OSError):
        locks.acquire(path)
    assert not elsewhere.exists()
    assert locks.holders(path) == []


def test_a_deleted_file_locks_nobody_out(path):
    old = locks.acquire(path)
    path.unlink()
    new = locks.acquire(path)
    assert new is not None
    os.close(old)
    os.close(new)
