"""Who else may change a path: each directory on the way, and where links lead."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from hostmanager.util.trust import log_dir_problem, log_dir_warning, untrusted_writers
from tests.support.users import STRANGER, needs_root

ROOT = 0


@pytest.fixture
def safe() -> Iterator[Path]:
    """A directory of root's, below directories of root's; /tmp above them is sticky."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name).resolve()
        directory.chmod(0o755)
        yield directory


def made(path: Path, mode: int = 0o755, uid: int = ROOT) -> Path:
    path.mkdir()
    path.chmod(mode)
    os.chown(path, uid, 0)
    return path


@needs_root
def test_roots_own_directories_are_trusted(safe):
    logs = made(safe / "logs")
    assert untrusted_writers(logs, ROOT) is None
    assert log_dir_problem(logs, ROOT) is None
    assert log_dir_warning(logs) is None


@needs_root
@pytest.mark.parametrize(
    ("mode", "uid", "message"),
    [
        (0o777, ROOT, "can be written by everybody (mode 0777)"),
        (0o1777, ROOT, "can be written by everybody (mode 1777)"),
        (0o2775, ROOT, "can be written by its group (gid 0) (mode 2775)"),
        (0o755, STRANGER, f"belongs to another user (uid {STRANGER})"),
    ],
)
def test_one_that_another_may_write_to_is_not_used_by_root_and_why_is_reported(
    safe, mode, uid, message
):
    logs = made(safe / "logs", mode, uid)
    assert untrusted_writers(logs, ROOT) == f"{logs} {message}"
    problem = log_dir_problem(logs, ROOT)
    assert problem is not None
    assert message in problem
    assert "it has to be root's, with mode 0755 or less" in problem


@needs_root
@pytest.mark.parametrize(("mode", "uid"), [(0o777, ROOT), (0o755, STRANGER), (0o775, ROOT)])
def test_so_is_one_below_a_directory_that_another_may_write_to(safe, mode, uid):
    above = made(safe / "above", mode, uid)
    logs = made(above / "logs")
    reason = untrusted_writers(logs, ROOT)
    assert reason is not None
    assert reason.startswith(f"{above} ")


@needs_root
def test_below_a_sticky_directory_what_is_roots_is_roots(safe):
    assert untrusted_writers(made(made(safe / "above", 0o1777) / "logs"), ROOT) is None


@needs_root
def test_links_are_followed_and_all_that_they_lead_through_is_looked_at(safe):
    logs = made(safe / "logs")
    (safe / "good").symlink_to("logs")
    assert untrusted_writers(safe / "good", ROOT) is None
    theirs = made(safe / "theirs", 0o755, STRANGER)
    (theirs / "hop").symlink_to(logs)
    (safe / "over").symlink_to("theirs/hop")
    reason = untrusted_writers(safe / "over", ROOT)
    assert reason == f"{theirs} belongs to another user (uid {STRANGER})"
    (safe / "of-another").symlink_to(logs)
    os.chown(safe / "of-another", STRANGER, 0, follow_symlinks=False)
    reason = untrusted_writers(safe / "of-another", ROOT)
    assert reason == f"{safe / 'of-another'} belongs to another user (uid {STRANGER})"
    (safe / "loop").symlink_to("loop")
    with pytest.raises(OSError, match="symbolic links"):
        untrusted_writers(safe / "loop", ROOT)


@needs_root
def test_a_directory_of_the_managers_own_user_is_trusted_by_it(safe):
    assert untrusted_writers(made(safe / "logs", 0o755, STRANGER), STRANGER) is None


def test_others_than_root_use_what_is_set_up_for_a_group_and_hear_of_what_is_for_all(safe):
    logs = made(safe / "logs", 0o2775, os.getuid())
    me = os.getuid() or STRANGER  # what a manager of another user than root is told
    assert log_dir_problem(logs, me) is None
    assert log_dir_warning(logs) is None
    logs.chmod(0o777)
    assert log_dir_problem(logs, me) is None
    notice = log_dir_warning(logs)
    assert notice is not None
    assert "everybody (mode 0777)" in notice
