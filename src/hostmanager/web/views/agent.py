"""What the page of an agent says beside its state and reasons. Pure: plain data to words."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hostmanager.client.status.model import AgentStatus
from hostmanager.client.text import ago, format_time
from hostmanager.core.model import InstanceSettings
from hostmanager.siteconfig.reported_settings import settings_from_data
from hostmanager.siteconfig.settings import SETTINGS, Setting, written_number
from hostmanager.util.text import format_bytes, format_duration, join_names, pluralize

NamedText = tuple[str, str]
"""A name and a text."""

MAX_COMMAND_LINE_CHARS = 2000

_SOURCES = {
    "option": "by the option --initial-state of its manager",
    "config": "by its entry in the site config",
}


@dataclass(frozen=True, slots=True)
class SettingRow:
    """A setting as it is in effect.

    Attributes:
        key: Its key.
        value: With its unit.
        is_default: Whether it is the default.
        meaning: What it does.
    """

    key: str
    value: str
    is_default: bool
    meaning: str


def facts(agent: AgentStatus, now: float) -> list[NamedText]:
    """What is known of an agent.

    Args:
        agent: The agent.
        now: Unix time by its manager's clock.
    """
    return [(name, text) for name, text in _facts(agent, now) if text]


def _facts(agent: AgentStatus, now: float) -> Iterator[NamedText]:
    yield "target", _target(agent, now)
    yield "health", _health(agent)
    yield "waits for", join_names(list(agent.get("waiting_for") or ()))
    yield "running", _running(agent)
    yield "restarts", _restarts(agent)
    yield "uses now", _usage(agent.get("resources") or {})
    yield "process", _process_state(agent)
    yield "done", _done(agent.get("done"), now)
    yield "class", agent.agent_class
    yield "site config", _manage(agent)
    arguments = [str(word) or "''" for word in agent.get("arguments") or ()]
    yield "arguments", " ".join(arguments)[:MAX_COMMAND_LINE_CHARS]
    yield "container", _mapping_text(agent.get("container"))
    yield "output file", str(agent.get("output") or "")


def _target(agent: AgentStatus, now: float) -> str:
    if agent.child is None:
        return ""
    source = str(agent.get("target_source") or "")
    text = _SOURCES.get(source, "")
    if source == "request":
        by, at, why = (agent.get(f"target_{name}") for name in ("by", "since", "reason"))
        text = "requested"
        text += f" by {by}" if by else ""
        text += f" {ago(at, now)} ({format_time(at, now)})" if at is not None else ""
        text += f": {why}" if why else ""
    return f"{agent.target_text}, {text}" if text else agent.target_text


def _health(agent: AgentStatus) -> str:
    health = str(agent.get("health") or "").replace("_", " ")
    age = agent.get("heartbeat_age")
    return f"{health}, latest heartbeat {format_duration(age)} ago" if health and age else health


def _running(agent: AgentStatus) -> str:
    pid, uptime = agent.get("pid"), agent.get("uptime")
    parts = [f"pid {pid}" if pid else ""]
    if uptime is not None:
        parts.append(f"for {format_duration(uptime)}")
    return ", ".join(filter(None, parts))


def _restarts(agent: AgentStatus) -> str:
    restarts, stability = agent.get("restarts"), agent.get("stability")
    if not restarts:
        return ""
    return f"{restarts}, stability {stability:.2f} (1 is best)" if stability else str(restarts)


def _usage(used: Mapping[str, Any]) -> str:
    sizes = {"memory": "memory", "read_bytes": "read", "written_bytes": "written"}
    counts = {"threads": "thread", "open_files": "open file"}
    parts = [] if used.get("cpu") is None else [f"{used['cpu'] * 100:.1f} % of a core"]
    parts += [f"{format_bytes(used[key])} {name}" for key, name in sizes.items() if used.get(key)]
    parts += [f"{used['processes']} processes"] if used.get("processes", 1) > 1 else []
    parts += [pluralize(used[key], name) for key, name in counts.items() if used.get(key)]
    return ", ".join(parts)


def _process_state(agent: AgentStatus) -> str:
    state = str(agent.get("process_state") or "")
    return "" if state in ("sleeping", "running") else state


def _done(done: Mapping[str, Any] | None, now: float) -> str:
    return "" if not done else f"it ended well {ago(done['time'], now)}"


def _manage(agent: AgentStatus) -> str:
    if agent.entry is None:
        return "no entry" if agent.child is not None else ""
    if agent.entry.broken:
        return "its entry cannot be used"
    return f"manage: {agent.entry.manage}"


def _mapping_text(value: Any) -> str:
    if isinstance(value, Mapping):
        pairs = ((key, each) for key, each in value.items() if each not in (None, ""))
        return ", ".join(f"{key} {each}" for key, each in pairs)
    return str(value or "")


def seconds_to_next_attempt(agent: AgentStatus, age: float) -> float | None:
    """Seconds until it is started again; None if that is not planned.

    Args:
        agent: The agent.
        age: Seconds since its manager was asked: so much less is left.
    """
    at = agent.get("next_attempt_at")
    return None if at is None or agent.now is None else max(0.0, at - agent.now - age)


def operations(agent: AgentStatus) -> list[tuple[str, str, str]]:
    """Name, state and how bad it is (as a class of hm.css) of each operation, the worst first."""
    classes = {"failed": "wrong", "degraded": "warning", "running": "ok"}
    found = [
        (str(name), str(state), classes.get(str(state), "note"))
        for name, state in (agent.get("operations") or {}).items()
    ]
    order = ["wrong", "warning", "ok", "note"]
    return sorted(found, key=lambda each: order.index(each[2]))


def settings(agent: AgentStatus) -> list[SettingRow]:
    """The settings in effect; those that are not the default first. Of other managers: none."""
    configured = agent.entry.spec.settings if agent.entry and agent.entry.spec else None
    known = configured or InstanceSettings()
    if agent.child is not None:
        reported = settings_from_data(agent.get("settings"), known)
        if reported is None:
            return []
        known = reported
    elif configured is None:
        return []
    rows = [_setting_row(setting, known) for setting in SETTINGS.values()]
    return sorted(rows, key=lambda row: row.is_default)


def _setting_row(setting: Setting, known: InstanceSettings) -> SettingRow:
    value = getattr(known, setting.attribute)
    is_default = value in (setting.default, None) or (not value and not setting.default)
    return SettingRow(setting.key, _value_text(setting, value), is_default, setting.meaning)


def _value_text(setting: Setting, value: Any) -> str:
    if value is None or value == ():
        return setting.default_text or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if setting.type is dict:  # the values of variables may be secrets
        return f"{pluralize(len(value), 'variable')}: {join_names([name for name, _ in value])}"
    if isinstance(value, tuple | list):
        return join_names([str(each) for each in value])
    if setting.key == "memory-max":
        return written_number(value)
    return f"{value:g} {setting.unit}".rstrip() if isinstance(value, int | float) else str(value)


def incidents_of(status: Mapping[str, Any], host: str, instance_id: str) -> list[NamedText]:
    """What the alarm service says of an agent: the incident, and who has acknowledged it."""
    found = []
    for incident in status.get("incidents") or ():
        findings: Sequence[Mapping[str, Any]] = incident.get("findings") or ()
        if any((f.get("host"), f.get("instance_id")) == (host, instance_id) for f in findings):
            by, why = incident.get("acknowledged_by"), incident.get("acknowledged_reason")
            text = f"acknowledged by {by}{f': {why}' if why else ''}" if by else "not acknowledged"
            found.append((str(incident.get("number")), text))
    return found
