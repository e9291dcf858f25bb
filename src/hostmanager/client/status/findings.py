"""Compares the site config with what managers report, and judges the differences. Pure."""

from collections.abc import Mapping
from typing import Any

from hostmanager.client.errors import ManagerError
from hostmanager.client.site_model import SiteEntry, SiteHost
from hostmanager.client.status import config_errors
from hostmanager.client.status.model import (
    SUFFIX,
    AgentStatus,
    HostStatus,
    StatusSeverity,
    last_exit_text,
    state_text,
)
from hostmanager.core.model import Kind
from hostmanager.util.text import join_names, pluralize

UNSTABLE = 0.5
"""Stability up to which an agent counts as unstable, as for `ocsbow` (contract, section 5)."""

_CHANGING = ("start", "wait_start", "wait_dead")


def build_host_status(
    host: SiteHost, session: Mapping[str, Any] | ManagerError | None
) -> HostStatus:
    """Compare the site config with what a manager reports.

    Args:
        host: The host in the site config.
        session: The session of its `manager` process, or why there is none; None: it has
            no manager.
    """
    errors = config_errors.host_errors(host)
    if session is None:
        return _without_manager(host, errors)
    unknown = tuple(_unknown(host, entry) for entry in host.entries.values())
    if isinstance(session, ManagerError):
        reasons = (str(session), *errors)
        return HostStatus(host, session, "", {}, unknown, StatusSeverity.ERROR, reasons)
    process = str(session.get("status", "stopped"))
    data = session.get("data") or {}
    is_stopping = process == "stopping" and bool(data.get("child_states"))
    if process != "running" and not is_stopping:
        reason = (
            "its manager process was stopped, so its agents are not supervised; "
            f"`hostmanager up --host {host.name} --all` starts it again"
        )
        return HostStatus(host, None, process, {}, unknown, StatusSeverity.ERROR, (reason, *errors))
    severity, reported = _host_findings(host, data)
    known = " ".join(reported)
    reported += config_errors.host_errors(host, known)
    if reported:
        severity = max(severity, StatusSeverity.WARNING)
    if is_stopping:
        severity = StatusSeverity.ERROR
        reported.insert(0, "its manager process was stopped, and is stopping its agents")
    agents = _agents(host, data, known)
    return HostStatus(host, None, process, data, agents, severity, tuple(reported))


def _without_manager(host: SiteHost, errors: tuple[str, ...]) -> HostStatus:
    agents = tuple(
        _untracked(host, entry) if entry.broken else _unmanaged(host, entry)
        for entry in host.entries.values()
    )
    broken = any(entry.broken for entry in host.entries.values())
    usable = " that can be used" if broken else ""
    reason = f"it has no entry of class HostManager{usable}, so no manager controls its agents"
    severity = StatusSeverity.WARNING if errors or broken else StatusSeverity.INFO
    return HostStatus(host, None, "", {}, agents, severity, (*errors, reason))


def _host_findings(host: SiteHost, data: Mapping[str, Any]) -> tuple[StatusSeverity, list[str]]:
    severity, reasons = StatusSeverity.OK, []
    for source, (ok, _, text) in (data.get("config_parse_status") or {}).items():
        if not ok:
            severity = StatusSeverity.ERROR
            reasons.append(config_errors.manager_error(source, str(text)))
    if data.get("not_kept"):
        severity = max(severity, StatusSeverity.WARNING)
        reasons.append(str(data["not_kept"]))
    orphans = data.get("orphans") or {}
    if orphans:
        severity = max(severity, StatusSeverity.WARNING)
        names = [str(orphan.get("service", key)) for key, orphan in orphans.items()]
        reasons.append(
            f"{pluralize(len(orphans), 'orphaned container')} ({join_names(names, 5)}); "
            f"`hostmanager orphans --host {host.name}` shows them"
        )
    return severity, reasons


def _agents(host: SiteHost, data: Mapping[str, Any], known: str) -> tuple[AgentStatus, ...]:
    children = {str(child["instance_id"]): child for child in data.get("child_states") or []}
    new_tags = data.get("new_tags") or {}
    agents = []
    for name in dict.fromkeys((*host.entries, *children)):
        child, entry = children.get(name), host.entries.get(name)
        if child is not None:
            agents.append(_tracked(host, child, entry, new_tags.get(name), known=known))
        elif entry is not None:
            agents.append(_untracked(host, entry, known=known))
    return tuple(agents)


def _tracked(
    host: SiteHost,
    child: Mapping[str, Any],
    entry: SiteEntry | None,
    new_tag: str | None,
    *,
    known: str,
) -> AgentStatus:
    state = str(child["next_action"])
    findings = [
        *_state_findings(child, state),
        *_config_findings(host, child, entry, known=known),
        *_notices(child, entry, new_tag),
    ]
    findings.sort(key=lambda finding: -finding[0])
    severity = findings[0][0] if findings else StatusSeverity.OK
    reasons = tuple(dict.fromkeys(text for _, text in findings if text))
    name = str(child["instance_id"])
    return AgentStatus(host.name, name, child, entry, state, severity, reasons)


StatusFinding = tuple[StatusSeverity, str]


def _state_findings(child: Mapping[str, Any], state: str) -> list[StatusFinding]:
    """What is wrong with the state, and why."""
    target = child["target_state"]
    message = str(child.get("message") or "")
    if state in (target, "up", "down") and target in ("passive", state):
        return _resting_findings(child, state, message)
    if state == "?":
        severity = StatusSeverity.ERROR if target == "up" else StatusSeverity.WARNING
        return [(severity, message or "its manager cannot operate it")]
    if state in _CHANGING:
        # One that died and is being started again is an error; another is only on its way.
        failing = state != "wait_dead" and message and child.get("last_exit")
        return [
            (
                StatusSeverity.ERROR if failing else StatusSeverity.WARNING,
                message or f"going {target}",
            )
        ]
    if state == "start_at":
        return [(StatusSeverity.ERROR, message or _exit_sentence(child))]
    return [
        (StatusSeverity.ERROR, message or f"its target is {target}, but it is {state_text(state)}")
    ]


def _resting_findings(child: Mapping[str, Any], state: str, message: str) -> list[StatusFinding]:
    findings = [(StatusSeverity.WARNING, message)] if message else []
    if state == "up" and child.get("stability", 1.0) <= UNSTABLE:
        cause = last_exit_text(child)
        text = "unstable: it died recently" + (f" ({cause})" if cause else "")
        findings.append((StatusSeverity.WARNING, text))
    return findings


def _config_findings(
    host: SiteHost, child: Mapping[str, Any], entry: SiteEntry | None, *, known: str
) -> list[StatusFinding]:
    """Where a child state differs from the site config as it was read here."""
    suffix = SUFFIX.search(str(child["agent_class"]))
    reload = f"`hostmanager reload --host {host.name}`"
    if entry is None and suffix and suffix[1] == "docker":
        return []  # an unmanaged service
    if entry is not None and entry.broken:
        return [(StatusSeverity.WARNING, config_errors.entry_error(host, entry, known=known))]
    if entry is None or entry.spec is None:
        text = "not in the site config" if entry is None else "the site config says 'ignore'"
        is_stopping = child["next_action"] == "wait_dead"
        return [
            (StatusSeverity.WARNING, text if is_stopping else f"{text}; {reload} would stop it")
        ]
    kind = Kind.DOCKER if suffix else Kind.HOST
    plain = SUFFIX.sub("", str(child["agent_class"]))
    if (plain, kind) != (entry.agent_class, entry.spec.kind):
        configured = f"{entry.agent_class} ({entry.spec.kind})"
        text = f"runs as {plain} ({kind}), the site config says {configured}; {reload} changes it"
        return [(StatusSeverity.WARNING, text)]
    fingerprint = child.get("fingerprint") or entry.spec.fingerprint
    if kind is Kind.HOST and fingerprint != entry.spec.fingerprint:
        text = f"its entry in the site config differs from what its manager has read; {reload}"
        return [(StatusSeverity.INFO, text)]
    return []


def _notices(
    child: Mapping[str, Any], entry: SiteEntry | None, new_tag: str | None
) -> list[StatusFinding]:
    findings = []
    target = str(child["target_state"])
    if entry is not None and entry.spec is not None and target in ("up", "down"):
        configured = str(entry.spec.initial_target)
        if target != configured:
            action = "started" if target == "up" else "stopped"
            text = f"{action} by hand (site config: {configured})"
            findings.append((StatusSeverity.INFO, text))
    if child.get("restart_required") and not child.get("message"):
        findings.append((StatusSeverity.WARNING, "what has changed takes effect with a restart"))
    if new_tag:
        text = f"its image {new_tag} is not on this machine; `hostmanager pull`"
        findings.append((StatusSeverity.WARNING, text))
    return findings


def _untracked(host: SiteHost, entry: SiteEntry, *, known: str = "") -> AgentStatus:
    """The status of an entry that its manager does not have."""
    if entry.spec is None and not entry.broken:
        return _unmanaged(host, entry)
    text = f"new in the site config; `hostmanager reload --host {host.name}` adds it"
    if entry.broken:
        text = config_errors.entry_error(host, entry, known=known)
    return AgentStatus(
        host.name, entry.instance_id, None, entry, "-", StatusSeverity.WARNING, (text,)
    )


def _unmanaged(host: SiteHost, entry: SiteEntry) -> AgentStatus:
    reason = "not managed (manage: ignore)" if entry.manage == "ignore" else "not managed"
    return AgentStatus(host.name, entry.instance_id, None, entry, "-", StatusSeverity.OK, (reason,))


def _unknown(host: SiteHost, entry: SiteEntry) -> AgentStatus:
    if entry.spec is None:
        return _untracked(host, entry)
    return AgentStatus(host.name, entry.instance_id, None, entry, "?", StatusSeverity.UNKNOWN)


def _exit_sentence(child: Mapping[str, Any]) -> str:
    cause = last_exit_text(child)
    return f"it exited with {cause}" if cause else "it exited"
