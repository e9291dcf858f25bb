"""The state folder: its owner's alone, and no reason to leave agents alone."""

import stat
from pathlib import Path

import pytest

from hostmanager.agent.folders import FolderError, state_folder


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
