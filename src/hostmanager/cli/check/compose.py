"""Checking compose files, and whether they have a service for each instance that needs one.

The compose files of a manager stand in its arguments (`--docker-compose`, relative to its
`--working-dir`), or are given to the check. The compose command reads them; where there is none,
they are read as plain YAML, which finds most services, too.
"""

import asyncio
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from hostmanager.cli.check.managers import ManagerEntry, working_dir
from hostmanager.cli.check.report import Category, CheckReport
from hostmanager.cli.exit_codes import CommandError
from hostmanager.composefile import yaml_source
from hostmanager.composefile.command import Compose, ComposeError, find_compose
from hostmanager.composefile.loader import load_compose_file
from hostmanager.composefile.model import ComposeFileError, UnsetVariable
from hostmanager.composefile.variables import unset_variables
from hostmanager.core.model import Kind
from hostmanager.siteconfig.checks.full_check import CheckedEntry, CheckedSite
from hostmanager.siteconfig.checks.spelling import WARNING_SIMILARITY
from hostmanager.siteconfig.diagnostics import SourceLocation
from hostmanager.siteconfig.source import Location
from hostmanager.util.text import closest_match, join_names, pluralize, quote_value

DEFAULT_PREFIX = "ocs-"
_ERROR_LOCATION = re.compile(r"^(?:, line (\d+))?(?:, column (\d+))?: ")


@dataclass(frozen=True, slots=True)
class ComposeFileArgs:
    """The compose files of one manager.

    Attributes:
        host: Its host.
        prefix: What precedes an instance-id in the name of a service.
        files: Each file as it was written, and its path on this machine (None: it is not here).
        location: Where they are named; None: on the command line of the check.
    """

    host: str
    prefix: str
    files: tuple[tuple[str, Path | None], ...]
    location: SourceLocation | None = None


@dataclass(slots=True)
class ComposeContents:
    """The contents of the files that are on this machine.

    Attributes:
        services: The names of the services, by file; a broken file is not included.
        complete: Whether the compose command has read them.
    """

    services: dict[Path, tuple[str, ...]] = field(default_factory=dict)
    complete: bool = True


def parse_overrides(values: Sequence[str] | None, hosts: Sequence[str]) -> dict[str, list[str]]:
    """Parse `--docker-compose [HOST=]FILES`: the files by host.

    Raises:
        CommandError: It names an unknown host, or none where there are several.
    """
    overrides: dict[str, list[str]] = {}
    for value in values or ():
        host, equal_sign, files = value.partition("=")
        if not equal_sign and len(hosts) == 1:
            host, files = hosts[0], value
        elif not equal_sign:
            raise CommandError(
                f"--docker-compose {value}: name the host, as HOST={value}, or use --host."
            )
        if host not in hosts:
            raise CommandError(f"--docker-compose {value}: there is no host {host!r} to check.")
        overrides.setdefault(host, []).extend(_split(files))
    return overrides


def _split(files: str) -> list[str]:
    return [name.strip() for name in files.split(",") if name.strip()]


def check_compose(
    site: CheckedSite,
    managers: Sequence[ManagerEntry],
    overrides: Mapping[str, Sequence[str]],
    report: CheckReport,
    *,
    here: str | None = None,
    binary: str | None = None,
) -> None:
    """Check compose files and services.

    Args:
        site: The site config.
        managers: The managers with valid arguments.
        overrides: Files given to the check, by host; they replace those of the manager.
        report: Gets what is wrong.
        here: The host that this machine is, if it is one of them.
        binary: The compose command; None: the one that is found.
    """
    all_args = list(_compose_files(site, managers, overrides))
    paths = {path for args in all_args for _, path in args.files if path is not None}
    contents = ComposeContents()
    if paths:
        command = Path(binary).absolute() if binary else None
        contents = asyncio.run(_load_files(sorted(paths), command, report))
    for host in site.hosts:
        of_host = [args for args in all_args if args.host == host]
        for args in of_host:
            for name in (name for name, path in args.files if path is None):
                _report_missing(args, name, here, report)
        _check_duplicate_services(of_host, contents, report)
        agents = [i for i in site.instances if i.host == host and not i.is_manager]
        _check_services(host, agents, of_host, contents, report)


def _compose_files(
    site: CheckedSite, managers: Sequence[ManagerEntry], overrides: Mapping[str, Sequence[str]]
) -> Iterator[ComposeFileArgs]:
    for host in site.hosts:
        of_host = [manager for manager in managers if manager.instance.host == host]
        if host in overrides:
            prefix = of_host[0].args.docker_service_prefix if of_host else DEFAULT_PREFIX
            files = tuple((name, _existing(name, [Path.cwd()])) for name in overrides[host])
            yield ComposeFileArgs(host, prefix, files)
            continue
        for manager in of_host:
            bases = [working_dir(manager.args)]
            if manager.args.working_dir is None:  # it is unknown where the manager is started
                bases.append(site.path.absolute().parent)
            names = _split(manager.args.docker_compose or "")
            if names:
                files = tuple(dict.fromkeys((name, _existing(name, bases)) for name in names))
                location = manager.option_location("--docker-compose")
                yield ComposeFileArgs(host, manager.args.docker_service_prefix, files, location)


def _existing(name: str, bases: Sequence[Path]) -> Path | None:
    return next((base / name for base in bases if (base / name).exists()), None)


def _report_missing(
    args: ComposeFileArgs, name: str, here: str | None, report: CheckReport
) -> None:
    if args.location is None or args.host == here:
        text = f"the compose file {name} is not there."
        hint = "Files are named relative to the --working-dir, separated by commas."
        report.error(Category.COMPOSE, args.location, text, hint, host=args.host)
    else:
        report.skipped.append(
            f"compose file {name} of host {args.host}: it is not on this machine "
            f"(--docker-compose {args.host}=FILE names a copy)"
        )


# --- reading --------------------------------------------------------------------------------


async def _load_files(
    paths: Sequence[Path], command: Path | None, report: CheckReport
) -> ComposeContents:
    try:
        compose = await find_compose(command, os.environ, Path.cwd())
    except ComposeError as error:
        if command is not None:
            raise CommandError(str(error)) from None
        report.skipped.append(f"compose files, except for their YAML: {error}")
        services = [_yaml_services(path, report) for path in paths]
        return ComposeContents(_loaded(paths, services), complete=False)
    services = await asyncio.gather(*(_services(compose, path, report) for path in paths))
    return ComposeContents(_loaded(paths, services))


def _loaded(
    paths: Sequence[Path], services: Sequence[tuple[str, ...] | None]
) -> dict[Path, tuple[str, ...]]:
    pairs = zip(paths, services, strict=True)
    return {path: names for path, names in pairs if names is not None}


async def _services(compose: Compose, path: Path, report: CheckReport) -> tuple[str, ...] | None:
    try:
        file = await load_compose_file(compose, str(path))
        _report_unset(file.unset, report)
        return tuple(file.services)
    except ComposeFileError as error:
        _report_broken(path, error, report)
        return None


def _yaml_services(path: Path, report: CheckReport) -> tuple[str, ...] | None:
    try:
        services = yaml_source.child_node(yaml_source.parse_yaml(path), "services")
        _report_unset(unset_variables(path, os.environ), report)
    except ComposeFileError as error:
        _report_broken(path, error, report)
        return None
    pairs = services.value if isinstance(services, yaml.MappingNode) else ()
    return tuple(str(name.value) for name, _ in pairs)


def _report_unset(unset: Sequence[UnsetVariable], report: CheckReport) -> None:
    for each in unset:
        text = f"the variable {each.name} is not set, so compose puts nothing in its place."
        hint = (
            "Set it in the file .env beside the compose file or in the environment of the manager, "
            "or write a default: ${NAME:-default}."
        )
        report.warning(Category.COMPOSE, Location(each.line, 1), text, hint, file=each.file)


def _report_broken(path: Path, error: ComposeFileError, report: CheckReport) -> None:
    """Its text begins with the file and, if it is known, the line."""
    text = str(error).removeprefix(str(path))
    match = _ERROR_LOCATION.match(text)
    location = Location(int(match[1]), int(match[2] or 1)) if match and match[1] else None
    message = text[match.end() :] if match else text.strip()
    report.error(Category.COMPOSE, location, message, file=str(path))


# --- services -------------------------------------------------------------------------------


def _check_duplicate_services(
    all_args: Sequence[ComposeFileArgs], contents: ComposeContents, report: CheckReport
) -> None:
    first: dict[str, str] = {}
    for args in all_args:
        for name, path in args.files:
            for service in contents.services.get(path, ()) if path else ():
                other = first.setdefault(service, name)
                if other != name:
                    text = f"the service {quote_value(service)} is in {other} and in {name}."
                    hint = "A service must be in one file of a host only."
                    report.error(Category.COMPOSE, args.location, text, hint, host=args.host)


def _check_services(
    host: str,
    agents: Sequence[CheckedEntry],
    all_args: Sequence[ComposeFileArgs],
    contents: ComposeContents,
    report: CheckReport,
) -> None:
    in_containers = [agent for agent in agents if _kind(agent) is Kind.DOCKER]
    if in_containers and not all_args:
        report.skipped.append(
            f"services of {pluralize(len(in_containers), 'agent')} of host {host}: the compose "
            f"files of its manager are not known (--docker-compose {host}=FILES names them)"
        )
        return
    paths = [path for args in all_args for _, path in args.files]
    known = {service for path in paths if path for service in contents.services.get(path, ())}
    # A file that is broken, or not here, may have what is missing.
    is_certain = contents.complete and all(path in contents.services for path in paths)
    for agent in in_containers:
        expected = {args.prefix + agent.name for args in all_args}
        if is_certain and not expected & known:
            _report_no_service(agent, sorted(expected), sorted(known), report)
    for agent in agents if all_args else ():
        service = all_args[0].prefix + agent.name
        if _kind(agent) is Kind.HOST and service in known:
            text = (
                f"there is a compose service {quote_value(service)} for it, but 'manage' says host."
            )
            hint = "Write 'manage: docker', or give one of the two another name."
            report.warning(Category.COMPOSE, _manage(agent), text, hint, agent=agent)


def _kind(agent: CheckedEntry) -> Kind | None:
    return agent.entry.managed_as[0] if agent.entry.managed_as else None


def _manage(agent: CheckedEntry) -> SourceLocation:
    return agent.node.get("manage") or agent.node


def _report_no_service(
    agent: CheckedEntry, expected: Sequence[str], known: Sequence[str], report: CheckReport
) -> None:
    names = " or ".join(map(quote_value, expected))
    text = f"no compose file of its host has a service {names}."
    matches = (closest_match(name, known, WARNING_SIMILARITY) for name in expected)
    suggestion = next(filter(None, matches), agent.name if agent.name in known else None)
    hint = f"Did you mean {suggestion!r}? " if suggestion else ""
    hint += f"Services: {join_names(known, quote=True) or 'none'}."
    report.error(Category.COMPOSE, _manage(agent), text, hint, agent=agent)
