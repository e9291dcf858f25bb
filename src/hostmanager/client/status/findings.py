"""Compares the site config with what managers report, and judges the differences. Pure."""

import time
from collections.abc import Mapping
from typing import Any

from hostmanager.client.errors import FailureKind, ManagerError
from hostmanager.client.reload_diff import ReloadChange, reload_changes
from hostmanager.client.site_model import SiteEntry, SiteHost
from hostmanager.client.status import config_errors, hints, target_findings
from hostmanager.client.status.model import (
    SUFFIX,
    AgentStatus,
    HostStatus,
    StatusSeverity,
    last_exit_text,
    silence_text,
    state_text,
)
from hostmanager.core.health import Health
from hostmanager.core.model import Kind
from hostmanager.siteconfig.reported_settings import settings_from_data
from hostmanager.util.grouping import group_pairs
from hostmanager.util.text import join_names, pluralize

UNSTABLE = 0.5
"""Stability up to which an agent counts as unstable, as for `ocsbow` (contract, section 5)."""

BROKEN = ("failed", "no_heartbeat", "unregistered")
"""Health of an agent that is up and does not work."""

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
    try:
        return _host_status(host, session)
    except Exception as error:  # other managers, other data: it costs this host only
        what = f"its manager sent invalid data ({type(error).__name__}: {error})"
        return _host_status(host, ManagerError(FailureKind.REFUSED, what))


def _host_status(host: SiteHost, session: Mapping[str, Any] | ManagerError | None) -> HostStatus:
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
            f"{hints.start_manager_hint(host.name)}"
        )
        return HostStatus(host, None, process, {}, unknown, StatusSeverity.ERROR, (reason, *errors))
    # A manager process that is being stopped refuses a reload.
    changes = None if is_stopping or host.file is None else _changes(host, session)
    severity, reported = _host_findings(host, data)
    if changes:
        reported.append(_differences(host, changes))
    known = " ".join(reported)
    reported += config_errors.host_errors(host, known)
    if reported:
        severity = max(severity, StatusSeverity.WARNING)
    if is_stopping:
        severity = StatusSeverity.ERROR
        reported.insert(0, "its manager process was stopped, and is stopping its agents")
    agents = _agents(host, data, known, changes)
    return HostStatus(host, None, process, data, agents, severity, tuple(reported))


Changes = Mapping[str, ReloadChange]
"""What a reload would do, by instance-id."""


def _changes(host: SiteHost, session: Mapping[str, Any]) -> Changes:
    changes = reload_changes(host, session)
    return {change.instance_id: change for change in changes if change.what != "broken"}


def _differences(host: SiteHost, changes: Changes) -> str:
    """How the site config differs from what its manager has read, in one line."""
    words = {"add": "new", "stop": "gone"}
    names = group_pairs((words.get(c.what, "changed"), name) for name, c in changes.items())
    what = "; ".join(f"{word}: {join_names(ids, 3)}" for word, ids in names.items())
    return (
        f"the site config as read here differs from what its manager has read ({what}); "
        f"{hints.differences_hint(host.name)}"
    )


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
    warnings = data.get("config_warnings") or {}
    if warnings:
        severity = max(severity, StatusSeverity.WARNING)
        reasons += [config_errors.manager_warning(*each) for each in warnings.items()]
    if faults := [*filter(None, [data.get("not_kept")]), *(data.get("own_faults") or [])]:
        severity = max(severity, StatusSeverity.WARNING)
        reasons += map(str, faults)
    orphans = data.get("orphans") or {}
    if orphans:
        severity = max(severity, StatusSeverity.WARNING)
        names = [str(orphan.get("service", key)) for key, orphan in orphans.items()]
        reasons.append(
            f"{pluralize(len(orphans), 'orphaned container')} ({join_names(names, 5)}); "
            f"{hints.orphans_hint(host.name)}"
        )
    return severity, reasons


def _agents(
    host: SiteHost, data: Mapping[str, Any], known: str, changes: Changes | None
) -> tuple[AgentStatus, ...]:
    children = {str(child["instance_id"]): child for child in data.get("child_states") or []}
    new_tags = data.get("new_tags") or {}
    manager_now = data.get("now")  # other managers than ours do not report it
    now = time.time() if manager_now is None else float(manager_now)
    agents = []
    for name in dict.fromkeys((*host.entries, *children)):
        child, entry = children.get(name), host.entries.get(name)
        if child is not None:
            findings = [
                *_state_findings(child, str(child["next_action"])),
                *_config_findings(host, child, entry, known, changes),
                *_notices(host, child, entry, new_tags.get(name), now),
            ]
            agents.append(_tracked(host, child, entry, findings, manager_now))
        elif entry is not None:
            agents.append(_untracked(host, entry, known=known, changes=changes))
    return tuple(agents)


def _tracked(
    host: SiteHost,
    child: Mapping[str, Any],
    entry: SiteEntry | None,
    findings: list["StatusFinding"],
    now: float | None,
) -> AgentStatus:
    state = str(child["next_action"])
    findings.sort(key=lambda finding: -finding[0])
    severity = findings[0][0] if findings else StatusSeverity.OK
    reasons = tuple(dict.fromkeys(text for _, text in findings if text))
    name = str(child["instance_id"])
    before_silence = None
    if silence := child.get("silenced"):
        before_silence = severity
        severity = min(severity, StatusSeverity.INFO)
        reasons = (silence_text(silence, now), *reasons)
    return AgentStatus(host.name, name, child, entry, state, severity, reasons, now, before_silence)


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


def is_coming_back(child: Mapping[str, Any]) -> bool:
    """Whether it died a moment ago and has not registered since: nothing says that it works.

    If it counted as well, one that starts and dies again and again would be well every other second.
    """
    return child.get("health") == Health.STARTING and child.get("stability", 1.0) <= UNSTABLE


def _resting_findings(child: Mapping[str, Any], state: str, message: str) -> list[StatusFinding]:
    # A process that exists is not an agent that works.
    is_broken = state == "up" and child.get("health") in BROKEN
    severity = StatusSeverity.ERROR if is_broken else StatusSeverity.WARNING
    findings = [(severity, message)] if message else []
    if state == "up" and child.get("stability", 1.0) <= UNSTABLE:
        cause = last_exit_text(child)
        text = (
            f"unstable: it exited with {cause} recently" if cause else "unstable: it died recently"
        )
        severity = StatusSeverity.WARNING
        if is_coming_back(child):
            severity, text = StatusSeverity.ERROR, f"{text}, and has not registered since"
        findings.append((severity, text))
    return findings


def _config_findings(
    host: SiteHost,
    child: Mapping[str, Any],
    entry: SiteEntry | None,
    known: str,
    changes: Changes | None,
) -> list[StatusFinding]:
    """Where a child state differs from the site config as it was read here."""
    suffix = SUFFIX.search(str(child["agent_class"]))
    change = (changes or {}).get(str(child["instance_id"]))
    hint = "" if changes is None else f"; {hints.reload_hint(host.name, change)}"
    if entry is None and suffix and suffix[1] == "docker":
        return []  # an unmanaged service
    if entry is not None and entry.broken:
        return [(StatusSeverity.WARNING, config_errors.entry_error(host, entry, known=known))]
    if entry is None or entry.spec is None:
        text = "not in the site config" if entry is None else "the site config says 'ignore'"
        is_stopping = child["next_action"] == "wait_dead"
        return [(StatusSeverity.WARNING, text if is_stopping else f"{text}{hint}")]
    kind = Kind.DOCKER if suffix else Kind.HOST
    plain = SUFFIX.sub("", str(child["agent_class"]))
    if (plain, kind) != (entry.agent_class, entry.spec.kind):
        configured = f"{entry.agent_class} ({entry.spec.kind})"
        text = f"runs as {plain} ({kind}), the site config says {configured}{hint}"
        return [(StatusSeverity.WARNING, text)]
    fingerprint = child.get("fingerprint") or entry.spec.fingerprint
    known_settings = settings_from_data(child.get("settings"), entry.spec.settings)
    has_changed = kind is Kind.HOST and fingerprint != entry.spec.fingerprint
    if has_changed or known_settings not in (None, entry.spec.settings):
        text = f"its entry in the site config differs from what its manager has read{hint}"
        return [(StatusSeverity.INFO, text)]
    return []


def _notices(
    host: SiteHost,
    child: Mapping[str, Any],
    entry: SiteEntry | None,
    new_tag: str | None,
    now: float,
) -> list[StatusFinding]:
    of_target = target_findings.overdue(child, now), target_findings.by_hand(child, entry, now)
    findings = [finding for finding in of_target if finding is not None]
    if (child.get("done") or {}).get("changed_since"):
        name = child["instance_id"]
        text = f"its entry has changed since it was done; `hostmanager up {name}` runs it again"
        findings.append((StatusSeverity.INFO, text))
    if child.get("restart_required") and not child.get("message"):
        findings.append(
            (StatusSeverity.WARNING, "what has changed takes effect when it is restarted")
        )
    if new_tag:
        text = f"its image {new_tag} is not on this machine; {hints.image_hint(host.name, child)}"
        findings.append((StatusSeverity.WARNING, text))
    return findings


def _untracked(
    host: SiteHost, entry: SiteEntry, *, known: str = "", changes: Changes | None = None
) -> AgentStatus:
    """The status of an entry that its manager does not have."""
    if entry.spec is None and not entry.broken:
        return _unmanaged(host, entry)
    text = "new in the site config"
    if changes is not None:
        text += f"; {hints.reload_hint(host.name, changes.get(entry.instance_id))}"
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
