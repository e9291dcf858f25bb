"""What a reload of the site config would do on a host: what is new, gone, changed. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from hostmanager.client.site_model import SiteHost
from hostmanager.client.status.model import SUFFIX, is_running
from hostmanager.core.model import InstanceSettings, InstanceSpec, Kind, Target
from hostmanager.siteconfig.arguments import visible_arguments
from hostmanager.siteconfig.diff import diff_specs
from hostmanager.siteconfig.reported_settings import settings_from_data
from hostmanager.siteconfig.settings import SETTINGS
from hostmanager.util.text import quote_value, truncate

MAX_ARGUMENTS_CHARS = 300
"""Characters of arguments that a line shows, of each version."""


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One value of an entry that differs.

    Attributes:
        name: ``agent-class``, ``manage`` or ``arguments``.
        before: As the manager has read it.
        after: As the site config says now.
    """

    name: str
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.name}: {self.before} → {self.after}"


@dataclass(frozen=True, slots=True)
class ReloadChange:
    """One thing that a reload would do.

    Attributes:
        what: ``add``, ``stop``, ``replace``, ``change`` or ``broken``.
        instance_id: Of the agent.
        text: The same for people.
        fields: What of the entry has changed, as far as the manager reports it.
        stops: Whether an agent that runs would be stopped.
        effect: ``start``, ``stop``, ``restart``, ``keep``, ``needs restart`` or ``none``.
    """

    what: str
    instance_id: str
    text: str
    fields: tuple[FieldChange, ...] = ()
    stops: bool = False
    effect: str = "none"

    def as_json(self) -> dict[str, Any]:
        """As programs get it."""
        return {
            "what": self.what,
            "instance_id": self.instance_id,
            "text": self.text,
            "effect": self.effect,
            "changed": [asdict(field) for field in self.fields],
        }


def reload_changes(host: SiteHost, session: Mapping[str, Any]) -> list[ReloadChange]:
    """What a reload would do to a host whose `manager` session this is."""
    assert host.file is not None
    broken = [
        ReloadChange("broken", problem.instance_id or "", str(problem))
        for problem in host.problems
        if problem.is_error
    ]
    if not host.file.is_usable:
        return broken  # a manager refuses the whole, and leaves all as it is
    configured = {spec.instance_id: spec for spec in host.file.specs}
    # A stopped manager process has no agents; it starts with those of the file.
    is_running_process = session.get("status") == "running"
    children = {
        str(child["instance_id"]): child
        for child in (_children(session) if is_running_process else [])
    }
    known = {
        name: spec
        for name, child in children.items()
        if (spec := _known_spec(child, configured.get(name))) is not None
    }
    diff = diff_specs(known, host.file)
    return [
        *(_added(spec) for spec in diff.added),
        *(_removed(known[name], children[name]) for name in diff.removed),
        *(_replaced(spec, known[spec.instance_id], children) for spec in diff.replaced),
        *(_changed(spec, children[spec.instance_id]) for spec in diff.changed),
        *broken,
    ]


def _children(session: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return (session.get("data") or {}).get("child_states") or []


def _known_spec(child: Mapping[str, Any], configured: InstanceSpec | None) -> InstanceSpec | None:
    """What the manager knows of an agent; None if it is not from the site config."""
    agent_class = str(child["agent_class"])
    suffix = SUFFIX.search(agent_class)
    if suffix and suffix[1] == "docker":
        return None
    kind = Kind.DOCKER if suffix else Kind.HOST
    fingerprint = child.get("fingerprint") if kind is Kind.HOST else None
    if not fingerprint and configured is not None and configured.kind is kind:
        fingerprint = configured.fingerprint
    return InstanceSpec(
        instance_id=str(child["instance_id"]),
        agent_class=SUFFIX.sub("", agent_class),
        kind=kind,
        initial_target=_known_target(child, configured),
        fingerprint=fingerprint or "",
        settings=_known_settings(child, configured),
    )


def _known_settings(child: Mapping[str, Any], configured: InstanceSpec | None) -> InstanceSettings:
    default = configured.settings if configured is not None else InstanceSettings()
    return settings_from_data(child.get("settings"), default) or default


def _known_target(child: Mapping[str, Any], configured: InstanceSpec | None) -> Target:
    target = str(child.get("manage") or "").rpartition("/")[2]
    if target in (Target.UP, Target.DOWN):
        return Target(target)
    # What a manager does not report counts as unchanged.
    return configured.initial_target if configured is not None else Target.UP


def _added(spec: InstanceSpec) -> ReloadChange:
    up = spec.default_target is Target.UP
    effect = "would be started" if up else "would be added, and left down"
    text = f"new: {spec.agent_class} ({_manage(spec)}): {effect}"
    return ReloadChange("add", spec.instance_id, text, effect="start" if up else "none")


def _removed(spec: InstanceSpec, child: Mapping[str, Any]) -> ReloadChange:
    stops = is_running(child)
    effect = "would be stopped and removed" if stops else "is down; would be removed"
    text = f"gone: {spec.agent_class} ({spec.kind}): {effect}"
    return ReloadChange(
        "stop", spec.instance_id, text, stops=stops, effect="stop" if stops else "none"
    )


def _replaced(
    spec: InstanceSpec, old: InstanceSpec, children: Mapping[str, Mapping[str, Any]]
) -> ReloadChange:
    child = children[spec.instance_id]
    before, after = f"{old.agent_class} ({old.kind})", f"{spec.agent_class} ({spec.kind})"
    stops = is_running(child)
    is_down = spec.default_target is not Target.UP or _is_down_by_hand(old, child)
    parts = ["would be stopped" if stops else "is down"]
    parts.append("and left down" if is_down else f"and started as {spec.agent_class}")
    text = f"{before} → {after}: {', '.join(parts) if stops else ' '.join(parts)}"
    effect = ("stop" if stops else "none") if is_down else ("restart" if stops else "start")
    change = FieldChange("agent-class", before, after)
    return ReloadChange("replace", spec.instance_id, text, (change,), stops, effect)


def _is_down_by_hand(old: InstanceSpec, child: Mapping[str, Any]) -> bool:
    """Whether somebody put it down on purpose: another entry does not bring it up."""
    assumed = "request" if old.initial_target is Target.UP else "config"
    return bool(
        child["target_state"] == "down" and child.get("target_source", assumed) == "request"
    )


def _changed(spec: InstanceSpec, child: Mapping[str, Any]) -> ReloadChange:
    fields = tuple(_field_changes(spec, child))
    names = {field.name for field in fields}
    is_same_launch = bool(names) and child.get("fingerprint") in (None, spec.fingerprint)
    if is_same_launch and names <= SETTINGS.keys():
        effect, text = _effect_of_settings(spec, child)
    elif is_same_launch and names == {"manage"}:
        effect, text = "keep", f"its target is left as it is ({child['target_state']})"
    elif is_running(child):
        effect, text = "needs restart", "would keep running as it is; needs a restart"
    else:
        effect, text = "none", "takes effect when it is started next"
    what = "; ".join(map(str, fields)) or "other settings, of the entry, its host or the hub"
    return ReloadChange(
        "change", spec.instance_id, f"{what}: {text}", fields, effect == "stop", effect
    )


def _effect_of_settings(spec: InstanceSpec, child: Mapping[str, Any]) -> tuple[str, str]:
    """Settings alone take effect at once, and may change what is wanted."""
    before = settings_from_data(child.get("settings"), spec.settings)
    was_manual, target, runs = (
        bool(before and before.manual),
        spec.default_target,
        is_running(child),
    )
    if was_manual and target is Target.DOWN and runs:
        return "stop", "would be stopped"
    if was_manual and target is Target.UP and not runs:
        return "start", "would be started"
    return "keep", "takes effect at once"


def _field_changes(spec: InstanceSpec, child: Mapping[str, Any]) -> list[FieldChange]:
    changes = []
    manage = child.get("manage")
    if manage and manage != _manage(spec):
        changes.append(FieldChange("manage", str(manage), _manage(spec)))
    before, after = child.get("arguments"), visible_arguments(spec.arguments)
    if isinstance(before, list) and before != after:
        changes.append(FieldChange("arguments", _words(before), _words(after)))
    known = settings_from_data(child.get("settings"), spec.settings) or spec.settings
    for key, setting in SETTINGS.items():
        old, new = (getattr(each, setting.attribute) for each in (known, spec.settings))
        if old != new:
            changes.append(FieldChange(key, _setting_text(old), _setting_text(new)))
    return changes


def _setting_text(value: object) -> str:
    return "default" if value is None else quote_value(value)


def _manage(spec: InstanceSpec) -> str:
    return f"{spec.kind}/{spec.initial_target}"


def _words(arguments: Sequence[object]) -> str:
    text = " ".join(str(word) if str(word) else "''" for word in arguments) or "none"
    return truncate(text, MAX_ARGUMENTS_CHARS)
