"""Installing and removing a unit; each step can be shown before it is done."""

import os
import pwd
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hostmanager.cli.exit_codes import FAILED, CommandError
from hostmanager.cli.systemd.unit import MARK, Unit
from hostmanager.util.files import replace_file

PACKAGED_UNIT_DIRS = ("/usr/lib/systemd/system", "/lib/systemd/system")
"""Units of the system's own packages, which one of the same name would hide."""

LEGACY_UNITS = "ocs-hostmanager*.service"
"""Units of the host manager inside `ocs`, as its own tool writes them."""

SYSTEMCTL_TIMEOUT = 180.0
"""Seconds that systemd may take for one command; a stop may wait for stubborn agents."""


class StepError(CommandError):
    """A step failed; the text says which, why, and what was done before."""

    def __init__(self, text: str) -> None:
        super().__init__(text, FAILED)


@dataclass(frozen=True, slots=True)
class UnitTarget:
    """Where a unit is installed.

    Attributes:
        directory: The directory of unit files.
        is_user_unit: Whether it is for the systemd of a user.
        manage_systemd: Whether systemd is called to load it.
    """

    directory: Path
    is_user_unit: bool = False
    manage_systemd: bool = True

    def systemctl(self, *words: str) -> list[str]:
        """Give a command for systemd."""
        return ["systemctl", *(["--user"] if self.is_user_unit else []), *words]


@dataclass(slots=True)
class StepRunner:
    """Does the steps one after the other.

    Attributes:
        dry_run: Only record them.
        done: The steps, for people.
        notes: What else they should know.
    """

    dry_run: bool
    done: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def write(self, path: Path, text: str) -> None:
        """Write a file atomically."""
        if not self.dry_run:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                replace_file(str(path), text.encode(), 0o644)
            except OSError as error:
                raise StepError(f"{path} cannot be written: {error.strerror}.") from error
        self.done.append(f"write {path}")

    def delete(self, path: Path) -> None:
        """Delete a file, if it is there."""
        if not self.dry_run:
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise StepError(f"{path} cannot be deleted: {error.strerror}.") from error
        self.done.append(f"delete {path}")

    def call(self, command: Sequence[str]) -> None:
        """Run a command."""
        if not self.dry_run:
            done = _run(command)
            if done.returncode != 0:
                why = done.stderr.strip() or f"exit status {done.returncode}"
                before = f" (Done before: {'; '.join(self.done)}.)" if self.done else ""
                raise StepError(f"`{shlex.join(command)}` failed: {why}{before}")
        self.done.append(f"run {shlex.join(command)}")

    def result(self, path: Path) -> dict[str, Any]:
        """The steps, for ``--json``."""
        about = {"unit": path.name, "path": str(path), "dry_run": self.dry_run}
        return {**about, "steps": self.done, "remarks": self.notes}


def install_unit(
    target: UnitTarget, unit: Unit, actions: Sequence[str], force: bool, dry: bool
) -> dict[str, Any]:
    """Write the unit, and load, enable and start it.

    Raises:
        StepError: A step failed.
        UnitError: The unit cannot contain one of its settings.
    """
    steps, path = StepRunner(dry), target.directory / unit.file_name
    text = unit.text()
    _refuse_foreign(path, force)
    _refuse_shadowing(unit.file_name, force)
    was_active = target.manage_systemd and not dry and is_active(target, unit.file_name)
    _warn_legacy_unit(target, steps, starting="now" in actions)
    steps.write(path, text)
    if target.manage_systemd:
        steps.call(target.systemctl("daemon-reload"))
    if "enable" in actions:
        steps.call(target.systemctl("enable", unit.file_name))
    if "now" in actions:
        steps.call(target.systemctl("start", unit.file_name))
    if was_active:
        words = ("kill", "--signal=KILL", _MAIN_PROCESS) if unit.has_agents else ("restart",)
        restart = shlex.join(target.systemctl(*words, unit.file_name))
        note = ", without stopping agents" if unit.has_agents else ""
        steps.notes.append(
            "it is already running; changes take effect at its next start. To restart it "
            f"now{note}: {restart}"
        )
    if target.is_user_unit and target.manage_systemd and not _is_lingering():
        steps.notes.append(
            "it stops, with its agents, when you log out, and does not start at boot, unless you "
            "run: loginctl enable-linger"
        )
    return steps.result(path)


_MAIN_PROCESS = "--kill-who=main"  # newer systemd calls it --kill-whom, and accepts this, too


def remove_unit(target: UnitTarget, name: str, force: bool, dry: bool) -> dict[str, Any]:
    """Stop the service, with its agents, and remove its unit.

    Raises:
        StepError: A step failed.
    """
    steps, path = StepRunner(dry), target.directory / f"{name}.service"
    if not path.exists():
        raise StepError(f"there is no {path}; nothing was changed.")
    _refuse_foreign(path, force)
    if target.manage_systemd:
        steps.call(target.systemctl("disable", "--now", path.name))
    steps.delete(path)
    if target.manage_systemd:
        steps.call(target.systemctl("daemon-reload"))
    return steps.result(path)


def _refuse_foreign(path: Path, force: bool) -> None:
    try:
        is_ours = path.read_text(encoding="utf-8", errors="replace").startswith(MARK)
    except FileNotFoundError:
        return
    except OSError as error:
        raise StepError(f"{path} cannot be read: {error.strerror}.") from error
    if not is_ours and not force:
        raise StepError(
            f"{path} was not written by this command; it is not changed. Use --unit to give this "
            "one another name, or --force."
        )


def _refuse_shadowing(file_name: str, force: bool) -> None:
    for directory in PACKAGED_UNIT_DIRS:
        if (Path(directory) / file_name).exists() and not force:
            raise StepError(
                f"the system has a {file_name} of its own. Use --unit for another name."
            )


def _warn_legacy_unit(target: UnitTarget, steps: StepRunner, starting: bool) -> None:
    """Two managers of one host would start everything twice."""
    if target.is_user_unit or not target.manage_systemd:
        return
    for old in sorted(target.directory.glob(LEGACY_UNITS)):
        stop = shlex.join(target.systemctl("disable", "--now", old.name))
        if starting and not steps.dry_run and is_active(target, old.name):
            raise StepError(
                f"{old.name}, the host manager inside ocs, is running: both would start the same "
                f"agents. Nothing was changed. First: {stop}"
            )
        steps.notes.append(f"{old} is a unit of the host manager inside ocs. Before this: {stop}")


def is_active(target: UnitTarget, name: str) -> bool:
    """Whether a unit runs."""
    return _run(target.systemctl("is-active", "--quiet", name)).returncode == 0


def _is_lingering() -> bool:
    return (Path("/var/lib/systemd/linger") / pwd.getpwuid(os.getuid()).pw_name).exists()


def _run(command: Sequence[str]) -> "subprocess.CompletedProcess[str]":
    if shutil.which(command[0]) is None:
        return subprocess.CompletedProcess(
            command, 127, "", "there is no systemctl on this machine"
        )
    try:
        return subprocess.run(
            command, check=False, capture_output=True, text=True, timeout=SYSTEMCTL_TIMEOUT
        )
    except subprocess.TimeoutExpired:
        why = f"no answer within {SYSTEMCTL_TIMEOUT:g} s"
        return subprocess.CompletedProcess(command, 124, "", why)
