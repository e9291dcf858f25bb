"""The state directory: its owner's alone, and no reason to leave agents alone."""

import fcntl
import os
import stat
import tempfile
from pathlib import Path

import pytest
from tests.support.users import STRANGER, needs_root

from hostmanager.agent import directories
from hostmanager.agent.directories import (
    CONTENTS,
    DirectoryError,
    output_dir,
    root_path_warnings,
    state_dir,
    volatile_state_warnings,
)


def test_it_is_made_for_its_owner_alone(tmp_path):
    path = state_dir(str(tmp_path / "a" / "state"), "x", "s", {})
    assert stat.S_IMODE(path.stat().st_mode) == 0o700


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def open_one(tmp_path: Path) -> Path:
    path = tmp_path / "there"
    path.mkdir()
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("name", sorted(CONTENTS))
def test_one_of_a_manager_that_others_may_read_is_closed_to_them(open_one, name):
    (open_one / name).touch()
    assert state_dir(str(open_one), "x", "s", {}) == open_one
    assert mode(open_one) == 0o700


def test_one_that_is_not_a_managers_is_left_as_it_is_and_what_would_be_right_is_said(open_one):
    (open_one / "thesis.tex").touch()
    with pytest.raises(DirectoryError) as told:
        state_dir(str(open_one), "x", "s", {})
    assert str(told.value) == (
        f"--state-dir: {open_one} is not empty, and nothing in it is a host manager's. "
        f"Name one that does not exist yet, such as {open_one}/hostmanager."
    )
    assert mode(open_one) == 0o755
    assert [path.name for path in open_one.iterdir()] == ["thesis.tex"]
    state_dir(str(open_one / "hostmanager"), "x", "s", {})
    assert mode(open_one) == 0o755
    assert mode(open_one / "hostmanager") == 0o700


def test_an_empty_one_is_used_if_it_is_closed_and_its_mode_is_its_owners_to_change(open_one):
    with pytest.raises(DirectoryError) as told:
        state_dir(str(open_one), "x", "s", {})
    assert f"others than its owner may look into {open_one} (mode 0755)" in str(told.value)
    assert f"`chmod 700 {open_one}`" in str(told.value)
    assert mode(open_one) == 0o755
    open_one.chmod(0o700)
    assert state_dir(str(open_one), "x", "s", {}) == open_one


def test_what_is_no_directory_is_named_as_what_it_is(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe")
    for name, what in {
        "file": "is a file",
        "link": "is a symbolic link that leads nowhere",
        "pipe": "is no directory",
    }.items():
        with pytest.raises(DirectoryError) as told:
            state_dir(str(tmp_path / name), "x", "s", {})
        assert str(told.value) == (
            f"--state-dir: {tmp_path / name} {what}. Name a directory, or what does not exist yet."
        )


@needs_root
def test_root_keeps_nothing_where_another_user_could_put_another_directory(tmp_path):
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    os.chown(theirs, STRANGER, STRANGER)
    with pytest.raises(
        DirectoryError, match=rf"{theirs} belongs to another user \(uid {STRANGER}\)"
    ):
        state_dir(str(theirs / "state"), "x", "s", {})


@needs_root
def test_the_runtime_directory_of_another_user_is_not_used(tmp_path, monkeypatch):
    """`sudo` may leave it in the environment."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    runtime = tmp_path / "user"
    runtime.mkdir()
    os.chown(runtime, STRANGER, STRANGER)
    path = state_dir(None, "x", "s", {"XDG_RUNTIME_DIR": str(runtime)})
    assert not path.is_relative_to(runtime)
    assert list(runtime.iterdir()) == []


def test_one_that_is_read_only_is_used_as_it_is(open_one, monkeypatch):
    def read_only(*_args, **_options):
        raise OSError(30, "Read-only file system")

    (open_one / "manager.lock").touch()
    monkeypatch.setattr(Path, "chmod", read_only)
    assert state_dir(str(open_one), "x", "s", {}) == open_one


def test_where_a_file_is_it_cannot_be_made_and_that_is_said(tmp_path):
    (tmp_path / "state@ssssssss").touch()
    with pytest.raises(DirectoryError, match=r"state@ssssssss cannot be made: File exists"):
        state_dir(None, "state", "s" * 8, {"STATE_DIRECTORY": str(tmp_path)})


@needs_root
def test_root_does_not_use_a_log_dir_that_another_may_write_to(tmp_path):
    logs, state = tmp_path / "logs", tmp_path / "state"
    logs.mkdir()
    assert output_dir("logs", tmp_path, state) == (logs, None)
    logs.chmod(0o1777)
    directory, remark = output_dir("logs", tmp_path, state)
    assert directory == state / "output"
    assert remark is not None
    assert f"the log-dir {logs} is not used by a manager that runs as root" in remark
    assert f"agents' output goes to {directory}" in remark


def test_one_that_gives_what_is_made_in_it_to_another_user_is_not_used(tmp_path, monkeypatch):
    """Some network file systems do that; our own files would be another's then."""
    logs = tmp_path / "logs"
    logs.mkdir()
    before = os.fstat
    monkeypatch.setattr(os, "fstat", lambda fd: given_away(before(fd)))
    directory, remark = output_dir("logs", tmp_path, tmp_path / "state")
    assert directory == tmp_path / "state" / "output"
    assert remark is not None
    assert "gives files that are made in it to another user (uid 65534)" in remark
    assert list(logs.iterdir()) == []


def given_away(found):
    fields = list(found)
    fields[4] = 65534
    return os.stat_result(fields)


# --- the default -----------------------------------------------------------------------------

ADDRESS, SITE, OTHER = "observatory.hm-x", "0123456789abcdef", "fedcba9876543210"


def default(parent: Path, site: str = SITE) -> Path:
    """The default state directory under a directory that systemd made."""
    return state_dir(None, ADDRESS, site, {"STATE_DIRECTORY": str(parent)})


def old_directory(parent: Path) -> Path:
    """A state directory of the version before."""
    old = parent / ADDRESS
    (old / "locks").mkdir(parents=True)
    (old / "wanted.json").write_text("{}")
    return old


def test_two_sites_of_one_address_have_a_directory_each(tmp_path):
    one, other = default(tmp_path), default(tmp_path, OTHER)
    assert one != other
    assert default(tmp_path) == one
    assert {stat.S_IMODE(path.stat().st_mode) for path in (one, other)} == {0o700}


def test_the_directory_of_the_version_before_is_taken_over_with_all_that_is_open_in_it(tmp_path):
    old = old_directory(tmp_path)
    with (old / "locks" / "a.lock").open("w") as file:
        new = default(tmp_path)
        there = (new / "locks" / "a.lock").stat()
        assert os.fstat(file.fileno()).st_ino == there.st_ino
    assert (new / "wanted.json").read_text() == "{}"
    assert old.is_symlink()
    assert old.resolve() == new
    assert default(tmp_path) == new
    # The version before makes its directory, and finds what is there.
    old.mkdir(mode=0o700, parents=True, exist_ok=True)


def test_the_other_site_takes_nothing_of_it(tmp_path):
    old_directory(tmp_path)
    mine, other = default(tmp_path), default(tmp_path, OTHER)
    assert (mine / "wanted.json").exists()
    assert not (other / "wanted.json").exists()
    assert (tmp_path / ADDRESS).resolve() == mine


def test_it_is_not_taken_from_under_a_manager(tmp_path, monkeypatch):
    monkeypatch.setattr(directories, "RENAME_TIMEOUT", 0.1)
    old = old_directory(tmp_path)
    with (old / "manager.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(DirectoryError, match="runs with the state directory"):
            default(tmp_path)
        assert not old.is_symlink()
    assert default(tmp_path) == old.resolve()


def test_one_that_somebody_has_put_elsewhere_stays_there(tmp_path):
    elsewhere = old_directory(tmp_path / "elsewhere")
    (tmp_path / ADDRESS).symlink_to(elsewhere)
    assert default(tmp_path).resolve() == elsewhere
    assert default(tmp_path).resolve() == elsewhere
    assert (tmp_path / ADDRESS).resolve() == elsewhere


def test_a_link_to_what_is_gone_is_made_anew(tmp_path):
    default(tmp_path).rmdir()
    assert (tmp_path / ADDRESS).is_symlink()
    other = default(tmp_path, OTHER)
    assert (tmp_path / ADDRESS).resolve() == other


def test_a_site_config_that_is_a_link_has_one_directory_wherever_it_leads(tmp_path):
    """Releases: /etc/ocs/site.yaml leads to another path with each, and back."""

    def of(site: str, path: str) -> Path:
        return state_dir(None, ADDRESS, site, {"STATE_DIRECTORY": str(tmp_path)}, path)

    first = of(SITE, "/etc/ocs/site.yaml")
    (first / "wanted.json").write_text("{}")
    second = of(OTHER, "/etc/ocs/site.yaml")
    assert second != first
    assert (second / "wanted.json").exists()
    assert not first.exists()
    assert (tmp_path / ADDRESS).resolve() == second
    assert (of(SITE, "/etc/ocs/site.yaml") / "wanted.json").exists()
    assert not (of(OTHER, "/another/site.yaml") / "wanted.json").exists()


@needs_root
def test_another_user_who_takes_the_place_in_tmp_stops_nobody(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    taken = tmp_path / f"hostmanager-{os.getuid()}"
    taken.mkdir()
    os.chown(taken, STRANGER, STRANGER)
    home = tmp_path / "home"
    home.mkdir()
    state = state_dir(None, ADDRESS, SITE, {"HOME": str(home)})
    assert state.parent == home / ".local" / "state" / "hostmanager"
    assert f"belongs to another user (uid {STRANGER})" in caplog.text
    with pytest.raises(DirectoryError):
        state_dir(None, ADDRESS, SITE, {})


@pytest.mark.parametrize(
    ("state", "lasts"),
    [("/run/hm", False), ("/dev/shm/hm", False), ("/x/run/hm", False), ("/var/lib/hm", True)],
)
def test_it_is_said_when_targets_do_not_outlive_a_reboot(state, lasts):
    remarks = volatile_state_warnings(Path(state), {"XDG_RUNTIME_DIR": "/x/run"})
    assert ([] if lasts else [True]) == ["does not outlive a reboot" in text for text in remarks]


@needs_root
def test_root_is_warned_of_what_another_user_may_change_and_it_would_run(tmp_path):
    file, missing = tmp_path / "site.yaml", tmp_path / "compose.yaml"
    file.touch()
    assert root_path_warnings({"the site config": file, "the compose file": missing}) == []
    os.chown(file, STRANGER, STRANGER)
    (remark,) = root_path_warnings({"the site config": file, "the working directory": tmp_path})
    assert remark == (
        f"the site config {file} decides what root runs here, and {file} belongs to another user "
        f"(uid {STRANGER}); give it and the directories above it to root, or run the manager as "
        "another user"
    )
