"""Checking compose files, and whether they have a service for each instance that needs one.

Which files a manager is given stands in its arguments (`--docker-compose`, relative to its
`--working-dir`), or is said to the check. What a file means is asked of the compose command; where
there is none, it is read as the YAML that it is, which finds most services, too.
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
from hostmanager.composefile import yaml_source as raw
from hostmanager.composefile.command import Compose, ComposeError, find_compose
from hostmanager.composefile.loader import load_compose_file
from hostmanager.composefile.model import ComposeFileError
from hostmanager.core.model import Kind
from hostmanager.siteconfig.diagnostics import Severity, SourceLocation
from hostmanager.siteconfig.full_check import CheckedEntry, CheckedSite
from hostmanager.siteconfig.source import Location
from hostmanager.siteconfig.spelling import WARNING_SIMILARITY
from hostmanager.util.text import closest_match, join_names, pluralize, quote_value

DEFAULT_PREFIX = "ocs-"
_ERROR_LOCATION = re.compile(r"^(?:, line (\d+))?(?:, column (\d+))?: ")


@dataclass(frozen=True, slots=True)
class ComposeFileArgs:
    """The compose files of one manager.

    Attributes:
        host: Its host.
        prefix: What goes before an instance-id.
        files: The files: as it was written, and where it is here (None: it is not).
        location: Where that was said; None: to the check.
    """

    host: str
    prefix: str
    files: tuple[tuple[str, Path | None], ...]
    location: SourceLocation | None = None


@dataclass(slots=True)
class ComposeContents:
    """What the files that are here say.

    Attributes:
        services: The names of the services, by file; a file that is broken is not there.
        complete: Whether they were read by the compose command.
    """

    services: dict[Path, tuple[str, ...]] = field(default_factory=dict)
    complete: bool = True


def parse_overrides(words: Sequence[str] | None, hosts: Sequence[str]) -> dict[str, list[str]]:
    """Read `--docker-compose [HOST=]FILES`, by host.

    Raises:
        CommandError: It names a host that is not there, or none where there are several.
    """
    found: dict[str, list[str]] = {}
    for word in words or ():
        host, equals, files = word.partition("=")
        if not equals and len(hosts) == 1:
            host, files = hosts[0], word
        elif not equals:
            raise CommandError(
                f"--docker-compose {word}: say for which host, as HOST={word}, or use --host."
            )
        if host not in hosts:
            raise CommandError(f"--docker-compose {word}: there is no host {host!r} to be checked.")
        found.setdefault(host, []).extend(n.strip() for n in files.split(",") if n.strip())
    return found


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
        site: The site file.
        managers: The managers whose arguments make sense.
        overrides: The files that were said to the check, by host; they count instead.
        report: Gets what is wrong.
        here: The host that this machine is, if it is one of them.
        binary: The compose command; None: the one that is found.
    """
    file_args = list(_compose_files(site, managers, overrides))
    paths = {path for given in file_args for _, path in given.files if path is not None}
    named = Path(binary).absolute() if binary else None
    contents = ComposeContents()
    if paths:
        contents = asyncio.run(_load_files(sorted(paths), named, Path.cwd(), report))
    for host in site.hosts:
        ours = [given for given in file_args if given.host == host]
        absent = [(g, name) for g in ours for name, path in g.files if path is None]
        for given, name in absent:
            _report_missing(given, name, here, report)
        _check_duplicate_services(ours, contents, report)
        instances = [i for i in site.instances if i.host == host and not i.is_manager]
        _check_services(host, instances, ours, contents, report)


def _compose_files(
    site: CheckedSite, managers: Sequence[ManagerEntry], overrides: Mapping[str, Sequence[str]]
) -> Iterator[ComposeFileArgs]:
    beside = site.path.absolute().parent
    for host in site.hosts:
        ours = [manager for manager in managers if manager.instance.host == host]
        if host in overrides:
            prefix = ours[0].args.docker_service_prefix if ours else DEFAULT_PREFIX
            yield ComposeFileArgs(
                host,
                prefix,
                tuple((name, _existing(name, [Path.cwd()])) for name in overrides[host]),
            )
            continue
        for manager in ours:
            names = (manager.args.docker_compose or "").split(",")
            bases = [working_dir(manager.args)]
            if manager.args.working_dir is None:
                bases.append(beside)  # nobody knows where it is started
            files = [(n.strip(), _existing(n.strip(), bases)) for n in names if n.strip()]
            if files:
                place = manager.option_location("--docker-compose")
                prefix = manager.args.docker_service_prefix
                yield ComposeFileArgs(host, prefix, tuple(dict.fromkeys(files)), place)


def _existing(name: str, bases: Sequence[Path]) -> Path | None:
    return next((base / name for base in bases if (base / name).exists()), None)


def _report_missing(
    given: ComposeFileArgs, name: str, here: str | None, report: CheckReport
) -> None:
    if given.location is None or given.host == here:
        text = f"the compose file {name} is not there."
        hint = "Files are named relative to the --working-dir, separated by commas."
        report.add(Category.COMPOSE, Severity.ERROR, given.location, text, hint, host=given.host)
    else:
        report.skipped.append(
            f"compose file {name} of host {given.host}: it is not on this machine "
            f"(--docker-compose {given.host}=FILE names a copy)"
        )


# --- reading --------------------------------------------------------------------------------


async def _load_files(
    paths: Sequence[Path], named: Path | None, cwd: Path, report: CheckReport
) -> ComposeContents:
    try:
        compose = await find_compose(named, os.environ, cwd)
    except ComposeError as error:
        if named is not None:
            raise CommandError(str(error)) from None
        report.skipped.append(f"compose files but for their YAML: {error}")
        return _parse_files(paths, report)
    contents = ComposeContents()
    found = await asyncio.gather(*(_service_names(compose, path, report) for path in paths))
    contents.services = {
        p: names for p, names in zip(paths, found, strict=True) if names is not None
    }
    return contents


async def _service_names(
    compose: Compose, path: Path, report: CheckReport
) -> tuple[str, ...] | None:
    try:
        return tuple((await load_compose_file(compose, str(path))).services)
    except ComposeFileError as error:
        _report_broken(path, error, report)
        return None


def _parse_files(paths: Sequence[Path], report: CheckReport) -> ComposeContents:
    contents = ComposeContents(complete=False)
    for path in paths:
        try:
            root = raw.parse_yaml(path)
        except ComposeFileError as error:
            _report_broken(path, error, report)
            continue
        services = raw.child_node(root, "services")
        pairs = services.value if isinstance(services, yaml.MappingNode) else ()
        contents.services[path] = tuple(str(name.value) for name, _ in pairs)
    return contents


def _report_broken(path: Path, error: ComposeFileError, report: CheckReport) -> None:
    """Its text begins with the file and the line, if that is known."""
    text = str(error).removeprefix(str(path))
    where = _ERROR_LOCATION.match(text)
    place = Location(int(where[1]), int(where[2] or 1)) if where and where[1] else None
    message = text[where.end() :] if where else text.strip()
    report.add(Category.COMPOSE, Severity.ERROR, place, message, file=str(path))


# --- services -------------------------------------------------------------------------------


def _check_duplicate_services(
    file_args: Sequence[ComposeFileArgs], contents: ComposeContents, report: CheckReport
) -> None:
    first: dict[str, str] = {}
    for given in file_args:
        for name, path in given.files:
            for service in contents.services.get(path, ()) if path else ():
                other = first.setdefault(service, name)
                if other != name:
                    text = f"the service {quote_value(service)} is in {other} and in {name}."
                    hint = "A service must be in one file of a host only."
                    report.add(
                        Category.COMPOSE,
                        Severity.ERROR,
                        given.location,
                        text,
                        hint,
                        host=given.host,
                    )


def _check_services(
    host: str,
    instances: Sequence[CheckedEntry],
    file_args: Sequence[ComposeFileArgs],
    contents: ComposeContents,
    report: CheckReport,
) -> None:
    docker = [i for i in instances if i.entry.managed_as and i.entry.managed_as[0] is Kind.DOCKER]
    if docker and not file_args:
        report.skipped.append(
            f"services of {pluralize(len(docker), 'agent')} of host {host}: nothing says which "
            f"compose files its manager is given (--docker-compose {host}=FILES says it)"
        )
        return
    paths = [path for given in file_args for _, path in given.files]
    known = {s for path in paths if path for s in contents.services.get(path, ())}
    # A file that is broken, or not here, may have what is missing.
    sure = contents.complete and all(path in contents.services for path in paths)
    for instance in docker:
        wanted = {given.prefix + instance.name for given in file_args}
        if sure and not wanted & known:
            _report_no_service(instance, sorted(wanted), sorted(known), report)
    for instance in instances:
        management = instance.entry.managed_as
        service = next((g.prefix + instance.name for g in file_args), None)
        if management and management[0] is Kind.HOST and service in known:
            text = (
                f"there is a compose service {quote_value(service)} for it, but 'manage' says host."
            )
            hint = "Write 'manage: docker', or give one of the two another name."
            _report_instance(report, Severity.WARNING, instance, text, hint)


def _report_no_service(
    instance: CheckedEntry, wanted: Sequence[str], known: Sequence[str], report: CheckReport
) -> None:
    text = f"no compose file of its host has a service {' or '.join(map(quote_value, wanted))}."
    suggestion = next(
        (found for name in wanted if (found := closest_match(name, known, WARNING_SIMILARITY))),
        None,
    )
    if suggestion is None and instance.name in known:
        suggestion = instance.name
    hint = f"Did you mean {suggestion!r}? " if suggestion else ""
    _report_instance(
        report,
        Severity.ERROR,
        instance,
        text,
        f"{hint}Services: {join_names(known, quote=True) or 'none'}.",
    )


def _report_instance(
    report: CheckReport, severity: Severity, instance: CheckedEntry, text: str, hint: str
) -> None:
    report.add(
        Category.COMPOSE,
        severity,
        instance.node.get("manage") or instance.node,
        text,
        hint,
        host=instance.host,
        instance_id=instance.name,
    )
