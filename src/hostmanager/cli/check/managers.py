"""Checking managers: their own arguments, the site's access policy, folders of this host."""

import argparse
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from ocs.site_config import ArgContainer, add_arguments

from hostmanager.agent.directories import state_dir_problem
from hostmanager.agent.options import access_warnings, make_manager_parser
from hostmanager.cli.check.agents import locate_argument
from hostmanager.cli.check.report import Category, CheckReport
from hostmanager.siteconfig.diagnostics import Severity, SourceLocation
from hostmanager.siteconfig.full_check import CheckedEntry, CheckedSite
from hostmanager.util.text import did_you_mean, quote_value
from hostmanager.util.trust import log_dir_problem, log_dir_warning

LAUNCH_OPTIONS = ("--instance-id", "--site-file", "--site-host")
"""What whoever launches a manager says; in its entry it means nothing."""


@dataclass(frozen=True, slots=True)
class ManagerEntry:
    """A manager whose arguments make sense.

    Attributes:
        instance: Its entry.
        args: What they amount to.
    """

    instance: CheckedEntry
    args: argparse.Namespace

    def option_location(self, option: str) -> SourceLocation:
        """Where the value of an option stands."""
        words = self.instance.argv
        for i, (word, location) in enumerate(words):
            if word.startswith(f"{option}="):
                return location
            if word == option:
                return words[min(i + 1, len(words) - 1)][1]
        return self.instance.arguments_location


class _RefusedError(Exception):
    pass


def check_managers(site: CheckedSite, report: CheckReport) -> list[ManagerEntry]:
    """Check the arguments of all managers, and whether hosts have one; give those that do."""
    managers = []
    for instance in site.instances:
        if instance.is_manager:
            args = _parse_arguments(instance, report)
            if args is not None:
                managers.append(ManagerEntry(instance, args))
    _check_manager_present(site, report)
    _check_access(site, report)
    return managers


def _parse_arguments(instance: CheckedEntry, report: CheckReport) -> argparse.Namespace | None:
    parser = make_manager_parser()
    add_arguments(parser)

    def refuse(message: str) -> NoReturn:
        raise _RefusedError(message)

    parser.error = refuse  # type: ignore[method-assign]
    words = [word for word, _ in instance.argv]
    try:
        if {"-h", "--help"} & set(words):
            refuse("they contain a request for help")
        return parser.parse_args(ArgContainer(words).to_list())
    except _RefusedError as error:
        location, hint = locate_argument(
            instance, str(error), sorted(parser._option_string_actions)
        )
        text = f"the manager refuses its arguments: {error}."
        _report_error(report, location, text, hint, instance)
        return None


def _report_error(
    report: CheckReport, location: SourceLocation, text: str, hint: str, instance: CheckedEntry
) -> None:
    report.add(
        Category.MANAGER,
        Severity.ERROR,
        location,
        text,
        hint,
        host=instance.host,
        instance_id=instance.name,
    )


def _check_manager_present(site: CheckedSite, report: CheckReport) -> None:
    """A word for `manage` asks for a manager; without one on that host, nobody listens."""
    managed = {instance.host for instance in site.instances if instance.is_manager}
    for instance in site.instances:
        said = instance.node.get("manage")
        if instance.host in managed or said is None or instance.entry.managed_as is None:
            continue
        managed.add(instance.host)  # once for each host
        report.add(
            Category.MANAGER,
            Severity.WARNING,
            said,
            f"host {quote_value(instance.host)} has no instance of class HostManager: nobody does this.",
            f"Add '- instance-id: hm-{instance.host}' with 'agent-class: HostManager'.",
            host=instance.host,
            instance_id=instance.name,
        )


def _check_access(site: CheckedSite, report: CheckReport) -> None:
    hub = site.hub
    said = hub.get("access_policy") if hub is not None and hub.is_mapping else None
    if said is None or not isinstance(said.value, str):
        return
    try:
        access_warnings(argparse.Namespace(access_policy=said.value, min_privs=1))
    except ValueError as error:
        report.add(Category.MANAGER, Severity.ERROR, said, str(error))
        return
    kind, _, director = said.value.partition(":")
    names = {
        str(entry.get("instance-id"))
        for block in site.data["hosts"].values()
        for entry in block["agent-instances"]
    }
    if kind == "director" and director not in names:
        report.add(
            Category.MANAGER,
            Severity.ERROR,
            said,
            f"the access director {quote_value(director)} is no instance of this site.",
            did_you_mean(director, names) or "Name an instance of class AccessDirector.",
        )


# --- this host ------------------------------------------------------------------------------


def check_directories(
    site: CheckedSite, managers: list[ManagerEntry], here: str, report: CheckReport
) -> None:
    """Check what has to be on this host: folders, and binaries."""
    ours = [manager for manager in managers if manager.instance.host == here]
    for manager in ours:
        for option, text, hint in _directory_problems(manager.args):
            location = manager.option_location(option)
            _report_error(report, location, text, hint, manager.instance)
    block = site.nodes[here]
    _check_log_dir(site, ours, here, report)
    crossbar = block.get("crossbar") if block.is_mapping else None
    if crossbar is None or not crossbar.is_mapping:
        return
    for key, good, what in (
        ("bin", _is_program, "an executable file"),
        ("config-dir", _has_config, "a folder with config.json in it"),
    ):
        value = crossbar.get(key)
        if value is not None and isinstance(value.value, str) and not good(value.value):
            text = f"{key!r} is {quote_value(value.value)}, which is not {what} here."
            report.add(Category.DIRECTORY, Severity.ERROR, value, text, host=here)


def _is_program(path: str) -> bool:
    return shutil.which(path) is not None


def _has_config(path: str) -> bool:
    return (Path(path) / "config.json").is_file()


def working_dir(args: argparse.Namespace) -> Path:
    """Where a manager with these arguments runs, as far as they tell."""
    return Path(args.working_dir or ".").absolute()


def _directory_problems(args: argparse.Namespace) -> Iterator[tuple[str, str, str]]:
    directory = working_dir(args)
    if args.working_dir is not None and not directory.is_dir():
        yield "--working-dir", f"--working-dir: {directory} is no folder here.", "Make it."
        return
    if args.docker_compose_bin is not None:
        path = directory / args.docker_compose_bin
        if not path.is_file() or not os.access(path, os.X_OK):
            text = f"--docker-compose-bin: {path} is not an executable file."
            yield "--docker-compose-bin", text, ""
    if args.state_dir is not None:
        if problem := state_dir_problem(directory / args.state_dir):
            text, _, hint = problem.partition(". ")
            yield "--state-dir", f"{text}.", hint
        parent = _nearest_directory(directory / args.state_dir)
        if not os.access(parent, os.W_OK | os.X_OK):
            text = f"--state-dir: nothing can be made in {parent}."
            yield "--state-dir", text, f"User id {os.geteuid()} must be able to write there."


def _nearest_directory(path: Path) -> Path:
    return next(directory for directory in (path, *path.parents) if directory.is_dir())


def _check_log_dir(
    site: CheckedSite, ours: list[ManagerEntry], here: str, report: CheckReport
) -> None:
    """Without it a manager puts output elsewhere: worth a warning, no more."""
    part = site.nodes[here]
    value = part.get("log-dir") if part.is_mapping else None
    if value is None or not isinstance(value.value, str):
        return
    base = working_dir(ours[0].args) if ours else Path.cwd()
    directory = base / value.value
    if problem := log_dir_problem(directory, os.geteuid()):
        text = f"the log-dir {directory} {problem}."
        hint = "Agents' output goes to the manager's state folder then."
        report.add(Category.DIRECTORY, Severity.WARNING, value, text, hint, host=here)
    elif remark := log_dir_warning(directory):
        text = f"the log-dir {directory} {remark}."
        report.add(Category.DIRECTORY, Severity.WARNING, value, text, host=here)
