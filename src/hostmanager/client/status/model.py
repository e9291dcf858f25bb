"""What is known of a site at one moment: what its config says beside what its managers say.

Plain functions on plain data. Each row knows how bad it is and why, in sentences, so that
every view can put first what is wrong.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from hostmanager.client.manager_client import FailureKind, ManagerError
from hostmanager.client.site_model import SiteEntry, SiteHost
from hostmanager.client.status import config_errors
from hostmanager.core.model import Kind
from hostmanager.util.text import format_duration, join_names, pluralize

UNSTABLE = 0.5
"""Stability up to which an agent counts as unstable, as for `ocsbow` (contract, section 5)."""

_SUFFIX = re.compile(r"\[(d|d\?|docker)\]$")
_CHANGING = ("start", "wait_start", "wait_dead")


class Severity(IntEnum):
    """How bad it is."""

    OK = 0
    INFO = 1  # worth a word, nothing is wrong
    WARNING = 2  # not as it should be, but as it is wanted
    UNKNOWN = 3  # its manager cannot be asked
    ERROR = 4  # not as it is wanted

    @property
    def word(self) -> str:
        """As programs get it."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class AgentStatus:
    """One instance.

    Attributes:
        host: Its host.
        instance_id: Its id.
        child: What its manager says of it (contract, section 5); None if nothing.
        entry: What the site config says of it; None if nothing.
        state: As clients show it; ``-`` if nobody manages it, ``?`` if it is not known.
        severity: How bad it is.
        reasons: What is wrong with it or worth knowing, the worst first.
    """

    host: str
    instance_id: str
    child: Mapping[str, Any] | None = None
    entry: SiteEntry | None = None
    state: str = "?"
    severity: Severity = Severity.OK
    reasons: tuple[str, ...] = ()

    @property
    def agent_class(self) -> str:
        """Its class, as its manager says, else as the site config says."""
        if self.child is not None:
            return str(self.child["agent_class"])
        return self.entry.agent_class if self.entry else ""

    @property
    def short_class(self) -> str:
        """Its class without the suffix for docker."""
        return _SUFFIX.sub("", self.agent_class)

    @property
    def target(self) -> str:
        """What its manager wants of it; empty if unknown."""
        return str(self.child["target_state"]) if self.child else ""

    @property
    def is_managed(self) -> bool:
        """Whether a manager is to look after it."""
        return self.child is not None or (
            self.entry is not None and (self.entry.spec is not None or self.entry.broken)
        )

    @property
    def reached(self) -> bool:
        """Whether it is what its manager wants it to be."""
        return self.child is not None and self.target in ("passive", self.state)

    def get(self, name: str) -> Any:
        """What its manager says; None if nothing. Other managers say less than ours."""
        return self.child.get(name) if self.child else None


@dataclass(frozen=True, slots=True)
class HostStatus:
    """One host.

    Attributes:
        host: What the site config says of it.
        error: Why its manager cannot be asked; None if it answered.
        process: Status of the `manager` process: `running`, or what else it does.
        data: The session's data; empty unless its agents are looked after, or being ended.
        agents: Its instances.
        severity: How bad it is with the host itself, its agents aside.
        reasons: Why.
    """

    host: SiteHost
    error: ManagerError | None = None
    process: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)
    agents: tuple[AgentStatus, ...] = ()
    severity: Severity = Severity.OK
    reasons: tuple[str, ...] = ()

    @property
    def worst(self) -> Severity:
        """The worst of the host and its agents."""
        return max((self.severity, *(row.severity for row in self.agents)))


def build_host_status(
    host: SiteHost, answer: Mapping[str, Any] | ManagerError | None
) -> HostStatus:
    """Put together what is known of a host.

    Args:
        host: What the site config says.
        answer: The session of its `manager` process, or why there is none; None: it has
            no manager.
    """
    config = config_errors.host_errors(host)
    if answer is None:
        rows = tuple(
            _untracked(host, entry) if entry.broken else _unmanaged(host, entry)
            for entry in host.entries.values()
        )
        broken = any(entry.broken for entry in host.entries.values())
        usable = " that can be used" if broken else ""
        reason = f"it has no entry of class HostManager{usable}, so nobody looks after its agents"
        severity = Severity.WARNING if config or broken else Severity.INFO
        return HostStatus(host, None, "", {}, rows, severity, (*config, reason))
    if isinstance(answer, ManagerError):
        rows = tuple(_unknown(host, entry) for entry in host.entries.values())
        return HostStatus(host, answer, "", {}, rows, Severity.ERROR, (str(answer), *config))
    process = str(answer.get("status", "stopped"))
    data = answer.get("data") or {}
    is_ending = process == "stopping" and bool(data.get("child_states"))
    if process != "running" and not is_ending:
        rows = tuple(_unknown(host, entry) for entry in host.entries.values())
        reason = (
            "its manager is there, but was told to stop looking after agents; "
            f"`hostmanager up --host {host.name} --all` makes it start them"
        )
        return HostStatus(host, None, process, {}, rows, Severity.ERROR, (reason, *config))
    severity, reasons = _of_host(host, data)
    said = " ".join(reasons)
    reasons += config_errors.host_errors(host, said)
    if reasons:
        severity = max(severity, Severity.WARNING)
    if is_ending:
        severity = Severity.ERROR
        reasons.insert(0, "its manager was told to stop looking after agents, and is ending them")
    return HostStatus(host, None, process, data, _rows(host, data, said), severity, tuple(reasons))


def _of_host(host: SiteHost, data: Mapping[str, Any]) -> tuple[Severity, list[str]]:
    severity, reasons = Severity.OK, []
    for source, (ok, _, text) in (data.get("config_parse_status") or {}).items():
        if not ok:
            severity = Severity.ERROR
            reasons.append(config_errors.manager_error(source, str(text)))
    if data.get("not_kept"):
        severity = max(severity, Severity.WARNING)
        reasons.append(str(data["not_kept"]))
    orphans = data.get("orphans") or {}
    if orphans:
        severity = max(severity, Severity.WARNING)
        names = [str(orphan.get("service", key)) for key, orphan in orphans.items()]
        reasons.append(
            f"{pluralize(len(orphans), 'orphaned container')} ({join_names(names)}); `hostmanager orphans "
            f"--host {host.name}` shows them"
        )
    return severity, reasons


def _rows(host: SiteHost, data: Mapping[str, Any], said: str) -> tuple[AgentStatus, ...]:
    children = {str(child["instance_id"]): child for child in data.get("child_states") or []}
    new_tags = data.get("new_tags") or {}
    names = [*host.entries, *(name for name in children if name not in host.entries)]
    return tuple(
        _row(
            *(host, name, children.get(name), host.entries.get(name), new_tags.get(name)),
            said=said,
        )
        for name in names
    )


def _row(
    host: SiteHost,
    name: str,
    child: Any,
    entry: SiteEntry | None,
    new_tag: str | None,
    *,
    said: str,
) -> AgentStatus:
    if child is None:
        assert entry is not None
        return _untracked(host, entry, said=said)
    state = str(child["next_action"])
    found = [
        *_state_findings(child, state),
        *_disagreements(host, child, entry, said=said),
        *_remarks(child, entry, new_tag),
    ]
    found.sort(key=lambda pair: -pair[0])
    severity = found[0][0] if found else Severity.OK
    reasons = tuple(dict.fromkeys(text for _, text in found if text))
    return AgentStatus(host.name, name, child, entry, state, severity, reasons)


StatusFinding = tuple[Severity, str]


def _state_findings(child: Mapping[str, Any], state: str) -> list[StatusFinding]:
    """What is wrong with the state, and why."""
    target = child["target_state"]
    message = str(child.get("message") or "")
    if state in (target, "up", "down") and target in ("passive", state):
        return _settled_findings(child, state, message)
    if state == "?":
        severity = Severity.ERROR if target == "up" else Severity.WARNING
        return [(severity, message or "its manager cannot operate it")]
    if state in _CHANGING:
        # One that died and is being started again is wrong; one that is told for the first
        # time to go up or down is only on its way.
        failing = state != "wait_dead" and message and child.get("last_exit")
        return [
            (Severity.ERROR if failing else Severity.WARNING, message or f"on its way {target}")
        ]
    if state == "start_at":
        return [(Severity.ERROR, message or _ended(child))]
    return [(Severity.ERROR, message or f"is wanted {target}, but it is {state}")]


def _settled_findings(child: Mapping[str, Any], state: str, message: str) -> list[StatusFinding]:
    found = [(Severity.WARNING, message)] if message else []
    if state == "up" and child.get("stability", 1.0) <= UNSTABLE:
        how = last_exit_text(child)
        text = "unstable: it died lately" + (f" ({how})" if how else "")
        found.append((Severity.WARNING, text))
    return found


def _disagreements(
    host: SiteHost, child: Mapping[str, Any], entry: SiteEntry | None, *, said: str
) -> list[StatusFinding]:
    """Where the manager says something else than the site config that was read here."""
    suffix = _SUFFIX.search(str(child["agent_class"]))
    reload = f"`hostmanager reload --host {host.name}`"
    if entry is None and suffix and suffix[1] == "docker":
        return []  # a service that nobody put under management
    if entry is not None and entry.broken:
        return [(Severity.WARNING, config_errors.entry_error(host, entry, said=said))]
    if entry is None or entry.spec is None:
        why = "not in the site config" if entry is None else "the site config says 'ignore'"
        ends = child["next_action"] == "wait_dead"  # so that has been seen to
        return [(Severity.WARNING, why if ends else f"{why}; {reload} would end it")]
    kind = Kind.DOCKER if suffix else Kind.HOST
    plain = _SUFFIX.sub("", str(child["agent_class"]))
    if (plain, kind) != (entry.agent_class, entry.spec.kind):
        says = f"{entry.agent_class} ({entry.spec.kind})"
        text = f"runs as {plain} ({kind}), the site config says {says}; {reload} would change it"
        return [(Severity.WARNING, text)]
    if (
        kind is Kind.HOST
        and (child.get("fingerprint") or entry.spec.fingerprint) != entry.spec.fingerprint
    ):
        text = f"its entry in the site config differs from what its manager has read; {reload}"
        return [(Severity.INFO, text)]
    return []


def _remarks(
    child: Mapping[str, Any], entry: SiteEntry | None, new_tag: str | None
) -> list[StatusFinding]:
    found = []
    target = str(child["target_state"])
    if entry is not None and entry.spec is not None and target in ("up", "down"):
        usual = str(entry.spec.initial_target)
        if target != usual:
            found.append((Severity.INFO, f"told {target}; the site config says {usual}"))
    if child.get("restart_required") and not child.get("message"):
        found.append((Severity.WARNING, "a restart would make it run with what has changed"))
    if new_tag:
        text = f"its image {new_tag} is not on this machine; `hostmanager pull`"
        found.append((Severity.WARNING, text))
    return found


def _untracked(host: SiteHost, entry: SiteEntry, *, said: str = "") -> AgentStatus:
    """Make the row of an entry that the manager does not have."""
    if entry.broken:
        text = config_errors.entry_error(host, entry, said=said)
        return AgentStatus(
            host.name, entry.instance_id, None, entry, "-", Severity.WARNING, (text,)
        )
    if entry.spec is None:
        return _unmanaged(host, entry)
    text = f"new in the site config; `hostmanager reload --host {host.name}` makes it known"
    return AgentStatus(host.name, entry.instance_id, None, entry, "-", Severity.WARNING, (text,))


def _unmanaged(host: SiteHost, entry: SiteEntry) -> AgentStatus:
    reason = "not managed (manage: ignore)" if entry.manage == "ignore" else "not managed"
    return AgentStatus(host.name, entry.instance_id, None, entry, "-", Severity.OK, (reason,))


def _unknown(host: SiteHost, entry: SiteEntry) -> AgentStatus:
    if entry.spec is None:
        return _untracked(host, entry)
    return AgentStatus(host.name, entry.instance_id, None, entry, "?", Severity.UNKNOWN)


def last_exit_text(child: Mapping[str, Any]) -> str:
    """How it ended last: ``code 3``, ``SIGKILL``; empty if it never did."""
    ended = child.get("last_exit")
    if not ended:
        return ""
    if ended.get("signal"):
        return str(ended["signal"])
    return "code unknown" if ended.get("code") is None else f"code {ended['code']}"


def next_attempt(child: Mapping[str, Any] | None, now: float) -> str:
    """When it is started again; empty if it does not wait for that."""
    at = child.get("next_attempt_at") if child else None
    return "" if at is None else f"next attempt in {format_duration(max(0.0, at - now))}"


def _ended(child: Mapping[str, Any]) -> str:
    how = last_exit_text(child)
    return f"it ended with {how}" if how else "it ended"


_WORDS = (
    (Severity.ERROR, "wrong"),
    (Severity.UNKNOWN, "unknown"),
    (Severity.WARNING, "to look at"),
)


def severity_counts(rows: Iterable[AgentStatus]) -> Iterator[tuple[Severity, str]]:
    """How many of the managed are not as they should be: ``2 wrong``, the worst first."""
    severities = [row.severity for row in rows if row.is_managed]
    for severity, word in _WORDS:
        if number := severities.count(severity):
            yield severity, f"{number} {word}"


def unreachable(hosts: Iterable[HostStatus]) -> list[HostStatus]:
    """The hosts whose manager did not answer."""
    return [host for host in hosts if host.error is not None]


def no_router(hosts: Iterable[HostStatus]) -> ManagerError | None:
    """The trouble with the router, if no host could be asked because of it."""
    asked = [host for host in hosts if host.host.manager is not None]
    troubles = [host.error for host in asked if host.error is not None]
    if (
        troubles
        and len(troubles) == len(asked)
        and all(t.kind is FailureKind.ROUTER for t in troubles)
    ):
        return troubles[0]
    return None
