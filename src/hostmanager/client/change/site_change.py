"""Any change of a site by its name: prepared for faces that show it first, a request before it is done."""

import argparse
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial

from hostmanager.client.alarm_client import AlarmClient
from hostmanager.client.change.agents_change import AgentsChange
from hostmanager.client.change.executor import PlanExecutor
from hostmanager.client.change.orphans_plan import prepare_orphans
from hostmanager.client.change.plan import Selection, make_plan
from hostmanager.client.change.plan_text import REFUSED, PlanLine, plan_lines, plan_title
from hostmanager.client.change.prepared import PreparedChange
from hostmanager.client.change.pull_plan import prepare_pull
from hostmanager.client.change.reload_plan import prepare_reload
from hostmanager.client.change.silence_plan import prepare_silence
from hostmanager.client.change.tasks import ShowMessage, Task, TasksChange
from hostmanager.client.change.timeouts import TIMEOUTS
from hostmanager.client.errors import ClientError
from hostmanager.client.managers.manager_client import OperationResult
from hostmanager.client.site_model import Site
from hostmanager.client.status.model import AgentStatus, HostStatus
from hostmanager.client.status.selection import (
    fetch_status,
    hosts_to_query,
    matches,
    select_agents,
)
from hostmanager.util.text import join_names


def prepare_change(action: str, site: Site, args: argparse.Namespace) -> PreparedChange:
    """Ask the managers, and decide what would be done. Blocks for the answer time at most.

    Args:
        action: A key of `TIMEOUTS`.
        site: The site.
        args: As of the command: `pattern`, `host`, `agent_class`, `all`, `selection`; `exact`,
            agents by host and instance-id, if words of `pattern` are to mean no others of that
            name; for silences `duration`, in seconds; for `ack` `incident`, a list of numbers.

    Raises:
        ClientError: Nothing can be done; the text says why.
    """
    args = argparse.Namespace(
        **{"no_wait": False, "no_wait_ready": False, **vars(args), "timeout": TIMEOUTS[action]}
    )
    if action in _PREPARE:
        return _PREPARE[action](site, args)
    by_status = args.selection is not Selection.ALL
    if not (args.pattern or args.host or args.agent_class or args.all or by_status):
        raise ClientError("Name at least one agent, a pattern, or a host.")
    hosts = fetch_status(site, args, hosts_to_query(site, args))
    agents = select_exactly(hosts, args)
    if action in ("silence", "unsilence"):
        return prepare_silence(site, args, hosts, agents, end=action == "unsilence")
    plan = make_plan(action, hosts, agents, args.pattern, args.selection)
    return PreparedChange(
        action,
        plan_title(plan),
        plan_lines(plan),
        plan.stops,
        list(dict.fromkeys(step.agent.host for step in plan.steps)),
        (lambda: AgentsChange(PlanExecutor(site, plan, hosts, args))) if plan.steps else None,
        watched=sorted(plan.managers_to_start),
    )


def select_exactly(hosts: Sequence[HostStatus], args: argparse.Namespace) -> list[AgentStatus]:
    """The selected agents; of `exact`, none of the same name on another host."""
    agents = select_agents(hosts, args)
    exact: Collection[tuple[str, str]] = getattr(args, "exact", ())
    names = {name for _, name in exact}
    others = [word for word in args.pattern if word not in names]
    return [
        agent
        for agent in agents
        if not exact
        or (agent.host, agent.instance_id) in exact
        or (others and agent.instance_id not in names and matches(agent.instance_id, others))
    ]


def _prepare_ack(site: Site, args: argparse.Namespace) -> PreparedChange:
    alarms = AlarmClient(site, args)
    status = alarms.status()
    texts = {incident["number"]: _incident_text(incident) for incident in status["incidents"]}
    numbers = [number for number in args.incident or [] if number in texts]
    lines = [
        PlanLine(texts[number])
        if number in texts
        else PlanLine(f"! incident {number} is not open (any more)", REFUSED)
        for number in args.incident or []
    ]
    tasks: dict[tuple[str, str], Task] = {
        ("alarms", f"incident {number}"): partial(_acknowledge, alarms, number)
        for number in numbers
    }
    title = "nothing to acknowledge"
    if numbers:
        plural = "s" if len(numbers) > 1 else ""
        title = f"acknowledge incident{plural} {join_names([*map(str, numbers)])}"
    start = partial(TasksChange, tasks, args.timeout) if tasks else None
    choices = [(number, text) for number, text in texts.items() if number not in numbers]
    return PreparedChange("ack", title, lines, start=start, choices=choices)


def _acknowledge(alarms: AlarmClient, number: int, _show: ShowMessage) -> OperationResult:
    return alarms.acknowledge(number)


def _incident_text(incident: Mapping[str, object]) -> str:
    findings: Sequence[Mapping[str, object]] = incident["findings"]  # type: ignore[assignment]
    about = "; ".join(
        f"{' on '.join(str(f[k]) for k in ('instance_id', 'host') if f[k]) or 'the router'}: "
        f"{f['reason']}"
        for f in findings
    )
    by = incident["acknowledged_by"]
    acknowledged = f" (acknowledged by {by})" if by else ""
    return f"incident {incident['number']}, {incident['severity']}{acknowledged}: {about}"


_PREPARE: Mapping[str, Callable[[Site, argparse.Namespace], PreparedChange]] = {
    "reload": prepare_reload,
    "pull": prepare_pull,
    "orphans": prepare_orphans,
    "ack": _prepare_ack,
}
"""What does not select agents."""
