"""Checking managers: their own arguments, the access policy, the directories of this host."""

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
from hostmanager.siteconfig.checks.full_check import CheckedEntry, CheckedSite
from hostmanager.siteconfig.diagnostics import SourceLocation
from hostmanager.siteconfig.yaml.nodes import YamlNode
from hostmanager.util.text import did_you_mean, quote_value
from hostmanager.util.trust import log_dir_problem, log_dir_warning


@dataclass(frozen=True, slots=True)
class ManagerEntry:
    """A manager with valid arguments.

    Attributes:
        instance: Its entry.
        args: Its parsed arguments.
    """

    instance: CheckedEntry
    args: argparse.Namespace

    def option_location(self, option: str) -> SourceLocation:
        """Where the value of an option stands."""
        argv = self.instance.argv
        for i, (word, location) in enumerate(argv):
            if word.startswith(f"{option}="):
                return location
            if word == option:
                return argv[min(i + 1, len(argv) - 1)][1]
        return self.instance.arguments_location


class _RefusedError(Exception):
    pass


def check_managers(site: CheckedSite, report: CheckReport) -> list[ManagerEntry]:
    """Check the arguments of all managers, and whether hosts have one.

    Returns:
        The managers with valid arguments.
    """
    managers = [
        ManagerEntry(instance, args)
        for instance in site.instances
        if instance.is_manager and (args := _parse_arguments(instance, report)) is not None
    ]
    _check_manager_present(site, report)
    _check_single_manager(site, report)
    _check_access(site, report)
    return managers


def _parse_arguments(instance: CheckedEntry, report: CheckReport) -> argparse.Namespace | None:
    parser = make_manager_parser()
    add_arguments(parser)

    def refuse(message: str) -> NoReturn:
        raise _RefusedError(message)

    parser.error = refuse  # type: ignore[method-assign]
    argv = [word for word, _ in instance.argv]
    try:
        if {"-h", "--help"} & set(argv):
            refuse("they contain a request for help")
        return parser.parse_args(ArgContainer(argv).to_list())
    except _RefusedError as error:
        options = sorted(parser._option_string_actions)
        location, hint = locate_argument(instance, str(error), options)
        text = f"the manager refuses its arguments: {error}."
        report.error(Category.MANAGER, location, text, hint, agent=instance)
        return None


def _check_manager_present(site: CheckedSite, report: CheckReport) -> None:
    """A value of `manage` needs a manager on that host; without one, nothing reads it."""
    managed = {instance.host for instance in site.instances if instance.is_manager}
    for instance in site.instances:
        value = instance.node.get("manage")
        if instance.host in managed or value is None or instance.entry.managed_as is None:
            continue
        managed.add(instance.host)  # once for each host
        report.warning(
            Category.MANAGER,
            site.host_location(instance.host),
            f"host {quote_value(instance.host)} has no instance of class HostManager: no manager "
            f"will start its agents, although {quote_value(instance.name)} (line {value.line}) asks "
            f"for one with 'manage: {value.text}'.",
            f"Add '- instance-id: hm-{instance.host}' with 'agent-class: HostManager'.",
            host=instance.host,
        )


def _check_single_manager(site: CheckedSite, report: CheckReport) -> None:
    """Two managers of one host would start each of its agents twice."""
    first: dict[str, CheckedEntry] = {}
    for instance in site.instances:
        if not instance.is_manager or first.setdefault(instance.host, instance) is instance:
            continue
        other = first[instance.host]
        report.error(
            Category.MANAGER,
            instance.entry.class_location,
            f"host {quote_value(instance.host)} has a second HostManager (the first is "
            f"{quote_value(other.name)}, line {other.node.line}); each would start the same agents.",
            "Keep one of the two.",
            agent=instance,
        )


def _check_access(site: CheckedSite, report: CheckReport) -> None:
    value = site.hub.get("access_policy") if site.hub is not None else None
    if value is None or not isinstance(value.value, str):
        return
    try:
        access_warnings(argparse.Namespace(access_policy=value.value, min_privs=1))
    except ValueError as error:
        report.error(Category.MANAGER, value, str(error))
        return
    kind, _, director = value.value.partition(":")
    names = {
        str(entry.get("instance-id"))
        for block in site.data["hosts"].values()
        for entry in block["agent-instances"]
    }
    if kind == "director" and director not in names:
        report.error(
            Category.MANAGER,
            value,
            f"the access director {quote_value(director)} is not an instance of this site.",
            did_you_mean(director, names) or "Name an instance of class AccessDirector.",
        )


# --- this host ------------------------------------------------------------------------------


def check_directories(
    site: CheckedSite, managers: list[ManagerEntry], here: str, report: CheckReport
) -> None:
    """Check what has to exist on this host: directories, and binaries."""
    of_host = [manager for manager in managers if manager.instance.host == here]
    for manager in of_host:
        for option, text, hint in _directory_problems(manager.args):
            location, agent = manager.option_location(option), manager.instance
            report.error(Category.MANAGER, location, text, hint, agent=agent)
    block = site.nodes[here]
    _check_log_dir(block, of_host, here, report)
    crossbar = block.get("crossbar")
    if crossbar is None:
        return
    for key, is_valid, expected in (
        ("bin", shutil.which, "an executable file"),
        ("config-dir", _has_crossbar_config, "a directory that contains config.json"),
    ):
        value = crossbar.get(key)
        if value is not None and isinstance(value.value, str) and not is_valid(value.value):
            text = f"{key!r} is {quote_value(value.value)}, which is not {expected} here."
            report.error(Category.DIRECTORY, value, text, host=here)


def _has_crossbar_config(path: str) -> bool:
    return (Path(path) / "config.json").is_file()


def working_dir(args: argparse.Namespace) -> Path:
    """The working directory of a manager with these arguments, as far as they show it."""
    return Path(args.working_dir or ".").absolute()


def _directory_problems(args: argparse.Namespace) -> Iterator[tuple[str, str, str]]:
    directory = working_dir(args)
    if args.working_dir is not None and not directory.is_dir():
        yield "--working-dir", f"--working-dir: {directory} is not a directory here.", "Make it."
        return
    if args.docker_compose_bin is not None:
        path = directory / args.docker_compose_bin
        if not path.is_file() or not os.access(path, os.X_OK):
            text = f"--docker-compose-bin: {path} is not an executable file."
            yield "--docker-compose-bin", text, ""
    if args.state_dir is not None:
        state_dir = directory / args.state_dir
        if problem := state_dir_problem(state_dir):
            text, _, hint = problem.partition(". ")
            yield "--state-dir", f"{text}.", hint
        parent = next(path for path in (state_dir, *state_dir.parents) if path.is_dir())
        if not os.access(parent, os.W_OK | os.X_OK):
            text = f"--state-dir: nothing can be created in {parent}."
            yield "--state-dir", text, f"User id {os.geteuid()} must be able to write there."


def _check_log_dir(
    block: YamlNode, managers: list[ManagerEntry], here: str, report: CheckReport
) -> None:
    """Without it a manager writes output elsewhere: a warning, no more."""
    value = block.get("log-dir")
    if value is None or not isinstance(value.value, str):
        return
    directory = (working_dir(managers[0].args) if managers else Path.cwd()) / value.value
    problem, hint = log_dir_problem(directory, os.geteuid()), ""
    if problem:
        hint = "Agents' output goes to the manager's state directory then."
    elif not (problem := log_dir_warning(directory)):
        return
    text = f"the log-dir {directory} {problem}."
    report.warning(Category.DIRECTORY, value, text, hint, host=here)
