"""What `up`, `down` and `restart` will do, in lines for people. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from hostmanager.client.change.plan import AgentChange, Plan, Selection
from hostmanager.client.change.stops import list_hosts
from hostmanager.client.status.model import state_text
from hostmanager.util.grouping import group_pairs
from hostmanager.util.text import join_names, pluralize

VERBS = {"up": "start", "down": "stop", "restart": "restart"}

REFUSED = "refused"
"""Kind of a line about what is not done, and why."""


@dataclass(frozen=True, slots=True)
class PlanLine:
    """A line about what will happen.

    Attributes:
        text: The line, without end.
        kind: What it is about, for its colour: empty, `REFUSED`, ``heading``, ``warning``, or what
            a reload does to an agent (`ReloadChange.what`).
    """

    text: str
    kind: str = ""


def plan_lines(plan: Plan) -> list[PlanLine]:
    """Say what will happen, by host and agent, and what will not."""
    lines = [*_step_lines(plan), *_order_lines(plan)]
    if not plan.steps:
        lines.append("nothing was changed" if plan.refused else f"nothing to {_verb(plan)}")
    lines += [
        f"  the manager process of {host} was stopped; it starts with only these up"
        for host in sorted(plan.managers_to_start)
    ]
    lines += [
        f"  the manager of {host} has no operation 'restart' (an older one, or that of OCS): "
        "this command stops each agent, and starts it once it has ended; do not interrupt it"
        for host in plan.hosts_without_restart
    ]
    lines += [
        f"{state}: {join_names([agent.instance_id for agent in agents], 10)}"
        for state, agents in plan.unchanged_by_state.items()
    ]
    refused = [f"! {r.agent.host} {r.agent.instance_id}: {r.reason}" for r in plan.refused]
    return [*map(PlanLine, lines), *(PlanLine(text, REFUSED) for text in refused)]


def plan_title(plan: Plan) -> str:
    """Say in one clause what will happen: ``stop fake1 on daq1``, ``start 3 agents on daq2``."""
    clauses = []
    for action, steps in group_pairs((step.action, step) for step in plan.steps).items():
        ids = [step.agent.instance_id for step in steps]
        what = ids[0] if len(ids) == 1 else pluralize(len(ids), "agent")
        hosts = list(dict.fromkeys(step.agent.host for step in steps))
        clauses.append(f"{action} {what} on {list_hosts(hosts)}")
    return " and ".join(clauses) or f"nothing to {_verb(plan)}"


def _step_lines(plan: Plan) -> list[str]:
    groups = group_pairs(((step.agent.host, step.action), step) for step in plan.steps)
    lines = []
    for (host, action), steps in groups.items():
        if any(step.cause for step in steps):
            lines.append(f"{action} on {host}:")
            lines += [f"  {_name(step)}: {step.cause}" for step in steps]
        else:
            lines.append(f"{action} on {host}: {', '.join(map(_name, steps))}")
    return lines


def _order_lines(plan: Plan) -> list[str]:
    """Say who waits for whom, of those that start, and of those that stop: all with the same in a line."""
    steps = {(step.agent.host, step.agent.instance_id): step for step in plan.steps}
    starting: list[tuple[tuple[str, ...], str]] = []
    stopping: list[tuple[tuple[str, ...], str]] = []
    for (host, name), step in steps.items():
        others = [steps[host, other] for other in _after(step) if (host, other) in steps]
        awaited = tuple(o.agent.instance_id for o in others if o.action != "stop")
        if step.action != "stop" and awaited:
            starting.append((awaited, name))
        later = tuple(o.agent.instance_id for o in others if o.action != "start")
        if step.action != "start" and later:
            stopping.append((later, name))
    return [
        f"  {join_names(names)} {'starts' if len(names) == 1 else 'start'} once "
        f"{join_names(awaited)} {'is' if len(awaited) == 1 else 'are'} ready"
        for awaited, names in group_pairs(starting).items()
    ] + [
        f"  {join_names(later)} {'keeps' if len(later) == 1 else 'keep'} running until "
        f"{join_names(names)} {'has' if len(names) == 1 else 'have'} ended"
        for later, names in group_pairs(stopping).items()
    ]


def _after(step: AgentChange) -> Sequence[str]:
    spec = step.agent.entry.spec if step.agent.entry is not None else None
    return spec.settings.after if spec is not None else ()


def _verb(plan: Plan) -> str:
    return "change" if plan.selection is Selection.NOT_AS_CONFIGURED else VERBS[plan.command]


def _name(step: AgentChange) -> str:
    expected = "down" if step.action == "start" else "up"
    state = step.agent.state
    return step.agent.instance_id + ("" if state == expected else f" (now {state_text(state)})")
