"""The state folder: its owner's alone, and no reason to leave agents alone."""

import os
import stat
from pathlib import Path

import pytest
from tests.support.users import needs_root

from hostmanager.agent.folders import FolderError, output_folder, state_folder


def test_it_is_made_for_its_owner_alone(tmp_path):
    path = state_folder(str(tmp_path / "a" / "state"), "x", {})
    assert stat.S_IMODE(path.stat().st_mode) == 0o700


def test_one_that_others_may_read_is_closed_to_them(tmp_path):
    tmp_path.chmod(0o755)
    assert state_folder(str(tmp_path), "x", {}) == tmp_path
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700


def test_one_that_is_read_only_is_used_as_it_is(tmp_path, monkeypatch):
    def read_only(*_args, **_options):
        raise OSError(30, "Read-only file system")

    tmp_path.chmod(0o755)
    monkeypatch.setattr(Path, "chmod", read_only)
    assert state_folder(str(tmp_path), "x", {}) == tmp_path


def test_where_a_file_is_it_cannot_be_made_and_that_is_said(tmp_path):
    (tmp_path / "state").touch()
    with pytest.raises(FolderError, match=r"state cannot be made: File exists"):
        state_folder(str(tmp_path / "state"), "x", {})


@needs_root
def test_root_does_not_use_a_log_dir_that_another_may_write_to(tmp_path):
    logs, state = tmp_path / "logs", tmp_path / "state"
    logs.mkdir()
    assert output_folder("logs", tmp_path, state) == (logs, None)
    logs.chmod(0o1777)
    folder, remark = output_folder("logs", tmp_path, state)
    assert folder == state / "output"
    assert remark is not None
    assert f"the log-dir {logs} is not used by a manager that runs as root" in remark
    assert f"agents' output goes to {folder}" in remark


def test_one_that_gives_what_is_made_in_it_to_another_user_is_not_used(tmp_path, monkeypatch):
    """Some network file systems do that; our own files would be another's then."""
    logs = tmp_path / "logs"
    logs.mkdir()
    before = os.fstat
    monkeypatch.setattr(os, "fstat", lambda fd: given_away(before(fd)))
    folder, remark = output_folder("logs", tmp_path, tmp_path / "state")
    assert folder == tmp_path / "state" / "output"
    assert remark is not None
    assert "gives files that are made in it to another user (uid 65534)" in remark
    assert list(logs.iterdir()) == []


def given_away(found):
    fields = list(found)
    fields[4] = 65534
    return os.stat_result(fields)
