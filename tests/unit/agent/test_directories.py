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
def open_directory(tmp_path: Path) -> Path:
    path = tmp_path / "there"
    path.mkdir()
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("name", sorted(CONTENTS))
def test_a_directory_of_a_manager_is_closed_to_others(open_directory, name):
    (open_directory / name).touch()
    assert state_dir(str(open_directory), "x", "s", {}) == open_directory
    assert mode(open_directory) == 0o700


def test_what_a_running_manager_makes_anew_is_a_directory_of_a_manager(open_directory):
    """It was deleted under it: the next manager must not be refused."""
    for name in ("locks", "pipes"):
        (open_directory / name).mkdir()
    for name in ("scribe.control", "scribe.log", "wanted.json.new"):
        (open_directory / name).touch()
    open_directory.chmod(0o700)  # as the log daemon makes it
    assert state_dir(str(open_directory), "x", "s", {}) == open_directory


@pytest.mark.parametrize("name", ["locks", "output"])
def test_a_directory_that_only_looks_like_a_manager_s_is_left_as_it_is(open_directory, name):
    (open_directory / name).mkdir()
    with pytest.raises(DirectoryError, match=rf"or `chmod 700 {open_directory}`"):
        state_dir(str(open_directory), "x", "s", {})
    assert mode(open_directory) == 0o755


def test_a_directory_of_somebody_else_is_left_as_it_is_and_the_error_names_the_fix(open_directory):
    (open_directory / "thesis.tex").touch()
    with pytest.raises(DirectoryError) as error:
        state_dir(str(open_directory), "x", "s", {})
    assert str(error.value) == (
        f"--state-dir: {open_directory} is not empty, and nothing in it is a host manager's. "
        f"Name one that does not exist yet, such as {open_directory}/hostmanager."
    )
    assert mode(open_directory) == 0o755
    assert [path.name for path in open_directory.iterdir()] == ["thesis.tex"]
    state_dir(str(open_directory / "hostmanager"), "x", "s", {})
    assert mode(open_directory) == 0o755
    assert mode(open_directory / "hostmanager") == 0o700


def test_an_empty_directory_is_used_only_if_it_is_closed_to_others(open_directory):
    with pytest.raises(DirectoryError) as error:
        state_dir(str(open_directory), "x", "s", {})
    assert f"users other than its owner can look into {open_directory} (mode 0755)" in str(
        error.value
    )
    assert f"`chmod 700 {open_directory}`" in str(error.value)
    assert mode(open_directory) == 0o755
    open_directory.chmod(0o700)
    assert state_dir(str(open_directory), "x", "s", {}) == open_directory


def test_the_error_names_what_is_there_instead_of_a_directory(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe")
    for name, what in {
        "file": "is a file",
        "link": "is a symbolic link that leads nowhere",
        "pipe": "is no directory",
    }.items():
        with pytest.raises(DirectoryError) as error:
            state_dir(str(tmp_path / name), "x", "s", {})
        assert str(error.value) == (
            f"--state-dir: {tmp_path / name} {what}. Name a directory, or what does not exist yet."
        )


@needs_root
def test_root_refuses_a_path_that_another_user_can_change(tmp_path):
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


def test_a_read_only_directory_is_used_as_it_is(open_directory, monkeypatch):
    def read_only(*_args, **_options):
        raise OSError(30, "Read-only file system")

    (open_directory / "manager.lock").touch()
    monkeypatch.setattr(Path, "chmod", read_only)
    assert state_dir(str(open_directory), "x", "s", {}) == open_directory


def test_a_file_in_its_place_is_an_error(tmp_path):
    (tmp_path / "state@ssssssss").touch()
    with pytest.raises(DirectoryError, match=r"state@ssssssss cannot be made: File exists"):
        state_dir(None, "state", "s" * 8, {"STATE_DIRECTORY": str(tmp_path)})


@needs_root
def test_root_does_not_use_a_log_dir_that_another_may_write_to(tmp_path):
    logs, state = tmp_path / "logs", tmp_path / "state"
    logs.mkdir()
    assert output_dir("logs", tmp_path, state) == (logs, None)
    logs.chmod(0o1777)
    directory, notice = output_dir("logs", tmp_path, state)
    assert directory == state / "output"
    assert notice is not None
    assert f"the log-dir {logs} is not used by a manager that runs as root" in notice
    assert f"agents' output goes to {directory}" in notice


def test_a_log_dir_that_gives_files_to_another_user_is_not_used(tmp_path, monkeypatch):
    """Some network file systems do that; our own files would be another's then."""
    logs = tmp_path / "logs"
    logs.mkdir()
    before = os.fstat
    monkeypatch.setattr(os, "fstat", lambda fd: with_other_owner(before(fd)))
    directory, notice = output_dir("logs", tmp_path, tmp_path / "state")
    assert directory == tmp_path / "state" / "output"
    assert notice is not None
    assert "gives files that are made in it to another user (uid 65534)" in notice
    assert list(logs.iterdir()) == []


def with_other_owner(status):
    fields = list(status)
    fields[4] = 65534
    return os.stat_result(fields)


# --- the default -----------------------------------------------------------------------------

ADDRESS, SITE, OTHER = "observatory.hm-x", "0123456789abcdef", "fedcba9876543210"


def default_state_dir(parent: Path, site: str = SITE) -> Path:
    """The default state directory under a directory that systemd made."""
    return state_dir(None, ADDRESS, site, {"STATE_DIRECTORY": str(parent)})


def make_version_0_1_directory(parent: Path) -> Path:
    """A state directory of the version before."""
    old = parent / ADDRESS
    (old / "locks").mkdir(parents=True)
    (old / "wanted.json").write_text("{}")
    return old


def test_two_sites_of_one_address_have_a_directory_each(tmp_path):
    one, other = default_state_dir(tmp_path), default_state_dir(tmp_path, OTHER)
    assert one != other
    assert default_state_dir(tmp_path) == one
    assert {stat.S_IMODE(path.stat().st_mode) for path in (one, other)} == {0o700}


def test_the_directory_of_version_0_1_is_renamed_and_open_files_stay_open(tmp_path):
    old = make_version_0_1_directory(tmp_path)
    with (old / "locks" / "a.lock").open("w") as file:
        new = default_state_dir(tmp_path)
        there = (new / "locks" / "a.lock").stat()
        assert os.fstat(file.fileno()).st_ino == there.st_ino
    assert (new / "wanted.json").read_text() == "{}"
    assert old.is_symlink()
    assert old.resolve() == new
    assert default_state_dir(tmp_path) == new
    # The version before makes its directory, and finds what is there.
    old.mkdir(mode=0o700, parents=True, exist_ok=True)


def test_another_site_gets_a_directory_of_its_own(tmp_path):
    make_version_0_1_directory(tmp_path)
    mine, other = default_state_dir(tmp_path), default_state_dir(tmp_path, OTHER)
    assert (mine / "wanted.json").exists()
    assert not (other / "wanted.json").exists()
    assert (tmp_path / ADDRESS).resolve() == mine


def test_it_is_not_renamed_while_a_manager_runs_in_it(tmp_path, monkeypatch):
    monkeypatch.setattr(directories, "RENAME_TIMEOUT", 0.1)
    old = make_version_0_1_directory(tmp_path)
    with (old / "manager.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(DirectoryError, match="runs with the state directory"):
            default_state_dir(tmp_path)
        assert not old.is_symlink()
    assert default_state_dir(tmp_path) == old.resolve()


def test_a_directory_that_was_moved_and_linked_stays_where_it_is(tmp_path):
    elsewhere = make_version_0_1_directory(tmp_path / "elsewhere")
    (tmp_path / ADDRESS).symlink_to(elsewhere)
    assert default_state_dir(tmp_path).resolve() == elsewhere
    assert default_state_dir(tmp_path).resolve() == elsewhere
    assert (tmp_path / ADDRESS).resolve() == elsewhere


def test_a_dangling_link_is_replaced(tmp_path):
    default_state_dir(tmp_path).rmdir()
    assert (tmp_path / ADDRESS).is_symlink()
    other = default_state_dir(tmp_path, OTHER)
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
def test_another_user_who_takes_the_directory_in_tmp_prevents_nothing(
    tmp_path, monkeypatch, caplog
):
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
def test_there_is_a_warning_when_targets_do_not_outlive_a_reboot(state, lasts):
    remarks = volatile_state_warnings(Path(state), {"XDG_RUNTIME_DIR": "/x/run"})
    assert ([] if lasts else [True]) == ["does not outlive a reboot" in text for text in remarks]


@needs_root
def test_root_is_warned_of_paths_that_another_user_may_change(tmp_path):
    file, missing = tmp_path / "site.yaml", tmp_path / "compose.yaml"
    file.touch()
    assert root_path_warnings({"the site config": file, "the compose file": missing}) == []
    os.chown(file, STRANGER, STRANGER)
    (notice,) = root_path_warnings({"the site config": file, "the working directory": tmp_path})
    assert notice == (
        f"the site config {file} decides what root runs here, and {file} belongs to another user "
        f"(uid {STRANGER}); give it and the directories above it to root, or run the manager as "
        "another user"
    )
