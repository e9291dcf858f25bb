"""Entries of a site config that the model tries, and those that may follow one of them."""

from dataclasses import replace

from hostmanager.core.model import InstanceSettings, InstanceSpec, Kind, ServiceRef, Target
from tests.model.node import is_passive

AGENT = InstanceSpec("a", "Agent", fingerprint="f1")
LIMITED = replace(AGENT, settings=InstanceSettings(restart_give_up_failures=3))
AGENT_SPECS = (
    AGENT,
    replace(AGENT, fingerprint="f2"),
    replace(AGENT, inoperable_reason="Its entry cannot be used."),
)
AGENT_REPLACEMENTS = (
    replace(AGENT, agent_class="Other"),
    replace(AGENT, agent_class="Other", initial_target=Target.DOWN),
)

SERVICE = InstanceSpec(
    "a", "Agent", Kind.DOCKER, fingerprint="f1", service=ServiceRef("file", "project", "a")
)
SERVICE_SPECS = (
    SERVICE,
    replace(SERVICE, service=None, inoperable_reason="No compose file has it."),
)
SERVICE_REPLACEMENTS = (
    replace(SERVICE, agent_class="Other"),
    replace(SERVICE, agent_class="Other", initial_target=Target.DOWN),
)

PASSIVE = replace(SERVICE, initial_target=Target.PASSIVE)
PASSIVE_SPECS = (PASSIVE,)
PASSIVE_REPLACEMENTS = (SERVICE, replace(SERVICE, initial_target=Target.DOWN))


def next_entries(spec: InstanceSpec) -> tuple[tuple[InstanceSpec, ...], tuple[InstanceSpec, ...]]:
    """Entries of the same kind of an instance, and those that replace it by another one."""
    if spec.kind is Kind.HOST:
        settings = spec.settings
        return (
            tuple(replace(s, agent_class=spec.agent_class, settings=settings) for s in AGENT_SPECS),
            tuple(replace(s, settings=settings) for s in AGENT_REPLACEMENTS),
        )
    if is_passive(spec):
        return PASSIVE_SPECS, PASSIVE_REPLACEMENTS
    same = tuple(replace(s, agent_class=spec.agent_class) for s in SERVICE_SPECS)
    return same, SERVICE_REPLACEMENTS


def label(spec: InstanceSpec) -> str:
    """Name an entry by what tells it from the others."""
    marks = (spec.agent_class, spec.fingerprint, spec.initial_target.value)
    return " ".join((*marks, *(["unusable"] if spec.inoperable_reason else [])))
