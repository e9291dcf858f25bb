"""What a reload of the site config would do on a host. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hostmanager.client.site_model import SiteHost
from hostmanager.client.status.model import SUFFIX
from hostmanager.core.model import InstanceSpec, Kind, Target
from hostmanager.siteconfig.diff import diff_specs


@dataclass(frozen=True, slots=True)
class ReloadChange:
    """One thing that a reload would do.

    Attributes:
        what: ``add``, ``stop``, ``replace``, ``change`` or ``broken``.
        instance_id: Of the agent.
        text: The same for people.
    """

    what: str
    instance_id: str
    text: str

    def as_json(self) -> dict[str, str]:
        """As programs get it."""
        return {"what": self.what, "instance_id": self.instance_id, "text": self.text}


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
    children = _children(session) if session.get("status") == "running" else []
    known = {
        spec.instance_id: spec
        for child in children
        if (spec := _known_spec(child, configured.get(str(child["instance_id"])))) is not None
    }
    diff = diff_specs(known, host.file)
    changes = [ReloadChange("add", spec.instance_id, _added(spec)) for spec in diff.added]
    for name in diff.removed:
        text = f"{known[name].agent_class}: would be stopped and removed"
        changes.append(ReloadChange("stop", name, text))
    for spec in diff.replaced:
        old = known[spec.instance_id]
        new = f"{spec.agent_class} ({spec.kind})"
        text = f"{old.agent_class} ({old.kind}) would be stopped, then {new} started"
        changes.append(ReloadChange("replace", spec.instance_id, text))
    changes += [
        ReloadChange(
            "change", spec.instance_id, "other settings: would keep running, needs a restart"
        )
        for spec in diff.changed
    ]
    return changes + broken


def stopping_changes(host: SiteHost, session: Mapping[str, Any]) -> list[ReloadChange]:
    """The changes that would stop an agent which runs, or is to."""
    alive = {str(c["instance_id"]) for c in _children(session) if c["next_action"] != "down"}
    return [
        change
        for change in reload_changes(host, session)
        if change.what in ("stop", "replace") and change.instance_id in alive
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
        # What a manager does not report counts as unchanged.
        initial_target=configured.initial_target if configured is not None else Target.UP,
        fingerprint=fingerprint or "",
    )


def _added(spec: InstanceSpec) -> str:
    up = spec.initial_target is Target.UP
    effect = "would be started" if up else "would be added, and left down"
    return f"{spec.agent_class} ({spec.kind}): {effect}"
