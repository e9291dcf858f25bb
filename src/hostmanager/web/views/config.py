"""The site config as pages show it: the file with what is wrong at its lines, and what managers have read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hostmanager.client.reload_diff import ReloadChange, reload_changes
from hostmanager.client.status.config_errors import (
    SITE_CONFIG_SOURCE,
    manager_error,
    manager_warning,
)
from hostmanager.client.status.model import AgentStatus, HostStatus
from hostmanager.siteconfig.checks.full_check import check_site
from hostmanager.siteconfig.diagnostics import Diagnostic, SiteFileError
from hostmanager.siteconfig.masked_text import MAX_SHOWN_CHARS, MaskedText, mask_secrets
from hostmanager.siteconfig.source import read_text


@dataclass(frozen=True, slots=True)
class FileProblem:
    """Something that is wrong in the file.

    Attributes:
        line: Where; None: in no single line.
        severity: The class of hm.css.
        text: A sentence, with a hint.
    """

    line: int | None
    severity: str
    text: str


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """The file, as this machine reads it now.

    Attributes:
        path: As it was named.
        lines: Without secrets; empty if it cannot be read.
        problems: In the order of the file.
        entries: The line of each entry, by host and id.
        hosts: The line of each host.
        note: Why its lines are not shown; empty: they are.
        masked: Hides what is secret in it.
    """

    path: str
    lines: Sequence[str] = ()
    problems: Sequence[FileProblem] = ()
    entries: Mapping[tuple[str, str], int] = field(default_factory=dict)
    hosts: Mapping[str, int] = field(default_factory=dict)
    note: str = ""
    masked: MaskedText = field(default_factory=MaskedText, repr=False)

    def mask(self, text: object) -> str:
        """Hide its secrets in a text about it."""
        return self.masked.mask(str(text))

    def problems_at(self) -> dict[int, list[FileProblem]]:
        """What is wrong, by line."""
        by_line: dict[int, list[FileProblem]] = {}
        for problem in self.problems:
            if problem.line is not None:
                by_line.setdefault(problem.line, []).append(problem)
        return by_line


def read_config_file(path: str) -> ConfigFile:
    """Read and check the file. Blocks for the file system; never fails."""
    masked, note = MaskedText(), ""
    try:
        text = read_text(Path(path))
        masked = mask_secrets(text)
        if len(text) > MAX_SHOWN_CHARS:
            note = f"It has {len(text)} characters: too many to be shown here."
            masked = replace(masked, lines=[])
    except SiteFileError:
        note = "It cannot be read here."  # why, the check says
    try:
        site = check_site(Path(path))
    except SiteFileError as error:
        problems = [_problem(diagnostic, masked) for diagnostic in error.diagnostics]
        return ConfigFile(path, masked.lines, problems, note=note, masked=masked)
    problems = [_problem(diagnostic, masked) for _, diagnostic in site.diagnostics]
    entries = {(each.host, each.name): each.node.line for each in site.instances}
    hosts = {host: where.line for host in site.hosts if (where := site.host_location(host))}
    return ConfigFile(path, masked.lines, problems, entries, hosts, note, masked)


def _problem(diagnostic: Diagnostic, masked: MaskedText) -> FileProblem:
    text = " ".join(filter(None, (diagnostic.message, diagnostic.hint)))
    if (
        diagnostic.line,
        diagnostic.column,
    ) in masked.locations:  # it quotes what YAML has made of it
        text = "what stands here is not what was probably meant; `hostmanager check` says why."
    name = f"{diagnostic.instance_id}: " if diagnostic.instance_id else ""
    return FileProblem(
        diagnostic.line, "wrong" if diagnostic.is_error else "warning", masked.mask(name + text)
    )


CHANGE_WORDS = {
    "add": "add",
    "stop": "remove",
    "replace": "replace",
    "change": "change",
    "broken": "keep as it is",
}
"""What a reload does, by `ReloadChange.what`."""


@dataclass(frozen=True, slots=True)
class HostConfig:
    """What the manager of a host has read, and how that differs from the file here.

    Attributes:
        status: The host.
        read_at: Unix time when it read the file last, by its clock; None: it does not report it.
        is_ok: Whether it could use all of it.
        text: What it reported of it.
        warnings: What it warns of.
        changes: What a reload would do; None: nobody knows.
        unknown: Why nobody knows.
        other_files: The compose files that it has read: path, whether they are fine, what it reported.
    """

    status: HostStatus
    read_at: float | None = None
    is_ok: bool = True
    text: str = ""
    warnings: Sequence[str] = ()
    changes: Sequence[ReloadChange] | None = None
    unknown: str = ""
    other_files: Sequence[tuple[str, bool, str]] = ()

    @property
    def differs(self) -> bool:
        """Whether a reload would change something."""
        return any(change.what != "broken" for change in self.changes or ())

    @property
    def agents(self) -> list[AgentStatus]:
        """The agents that its manager has read of."""
        return [agent for agent in self.status.agents if agent.child is not None]


def host_config(status: HostStatus) -> HostConfig:
    """What is known of the site config on one host."""
    if status.host.manager is None:
        return HostConfig(status, unknown="It has no manager, so nothing of it is read.")
    if status.error is not None:
        return HostConfig(status, unknown=f"Its manager does not answer: {status.error}.")
    if status.process != "running":
        why = (
            "Its manager process does not run; when it is started, it reads the file as it is then."
        )
        return HostConfig(status, unknown=why)
    data = status.data
    read: Mapping[str, Sequence[Any]] = data.get("config_parse_status") or {}
    ok, when, text = read.get(SITE_CONFIG_SOURCE) or (True, None, "")
    try:
        changes = reload_changes(status.host, {"status": status.process, "data": data})
    except Exception as error:  # other managers, other data: it costs this host only
        return HostConfig(status, unknown=f"Its manager sent invalid data: {error}.")
    return HostConfig(
        status,
        when,
        bool(ok),
        str(text) if ok else manager_error(SITE_CONFIG_SOURCE, str(text)),
        [manager_warning(*each) for each in (data.get("config_warnings") or {}).items()],
        changes,
        other_files=[
            (name, bool(fine), str(text))
            for name, (fine, _, text) in read.items()
            if name != SITE_CONFIG_SOURCE
        ],
    )
