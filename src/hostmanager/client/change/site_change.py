"""Any change of a site as one thing: what will happen, in words, and how it is carried out.

For faces that show it first and carry it out when somebody has confirmed it, a request later. In
between the site may change, so it is prepared twice: `PreparedChange.shown` tells whether what
somebody confirmed is what would happen now.
"""

import argparse
import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from hostmanager.client.alarm_client import AlarmClient
from hostmanager.client.change.executor import PlanExecutor
from hostmanager.client.change.orphans_plan import site_orphans
from hostmanager.client.change.plan import AgentChange, Plan, Selection, make_plan
from hostmanager.client.change.plan_text import REFUSED, PlanLine, plan_lines, plan_title
from hostmanager.client.change.pull_plan import plan_pull
from hostmanager.client.change.reload_plan import fetch_site_changes
from hostmanager.client.change.running import (
    AgentsChange,
    ProgressRow,
    RunningChange,
    Task,
    TasksChange,
)
from hostmanager.client.change.silence_plan import plan_silence
from hostmanager.client.change.stops import Stops, list_hosts
from hostmanager.client.change.timeouts import TIMEOUTS
from hostmanager.client.errors import ClientError, ManagerError, split_results
from hostmanager.client.managers.credentials import make_clients
from hostmanager.client.managers.manager_client import ManagerClient, OperationResult
from hostmanager.client.managers.multi_host import select_managers
from hostmanager.client.managers.task_progress import MessageReader, run_and_stream
from hostmanager.client.site_model import Site
from hostmanager.client.status.model import AgentStatus, HostStatus
from hostmanager.client.status.selection import (
    fetch_status,
    hosts_to_query,
    matches,
    select_agents,
)
from hostmanager.util.text import join_names, pluralize

NO_STOPS = Stops("stop")


@dataclass(frozen=True, slots=True)
class PreparedChange:
    """A change that can be carried out.

    Attributes:
        action: What is done: a key of `TIMEOUTS`.
        title: What will happen, in one clause: ``stop 3 agents on daq1``.
        lines: The same for each host and agent, with what is refused and why.
        stops: What would be stopped.
        hosts: The hosts that are concerned.
        start: Makes what carries it out; None: there is nothing to do.
        notice: What to know besides; may be empty.
        watched: What of the plan must still be the same when it is confirmed, in words.
        choices: What may be chosen besides: numbers of incidents, and what they are about.
    """

    action: str
    title: str
    lines: Sequence[PlanLine]
    stops: Stops = NO_STOPS
    hosts: Sequence[str] = ()
    start: Callable[[], RunningChange] | None = field(default=None, compare=False, repr=False)
    notice: str = ""
    watched: Sequence[str] = ()
    choices: Sequence[tuple[int, str]] = ()

    @property
    def shown(self) -> str:
        """Two plans have the same if they stop the same."""
        stopped = {host: sorted(ids) for host, ids in self.stops.agents.items() if ids}
        text = repr((self.action, self.stops.verb, sorted(stopped.items()), [*self.watched]))
        return hashlib.sha256(text.encode()).hexdigest()[:20]


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
    if action in ("silence", "unsilence"):
        return _prepare_silence(action, site, args)
    return _prepare_agents(action, site, args)


def _prepare_agents(action: str, site: Site, args: argparse.Namespace) -> PreparedChange:
    hosts = fetch_status(site, args, hosts_to_query(site, args))
    plan = make_plan(action, hosts, _select(hosts, args), args.pattern, args.selection)
    return PreparedChange(
        action,
        plan_title(plan),
        [*plan_lines(plan), *order_lines(plan)],
        plan.stops,
        list(dict.fromkeys(step.agent.host for step in plan.steps)),
        (lambda: AgentsChange(PlanExecutor(site, plan, hosts, args))) if plan.steps else None,
        watched=sorted(plan.managers_to_start),
    )


def _select(hosts: Sequence[HostStatus], args: argparse.Namespace) -> list[AgentStatus]:
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


def order_lines(plan: Plan) -> list[PlanLine]:
    """Say who waits for whom: of those that start, and of those that stop."""
    steps = {(step.agent.host, step.agent.instance_id): step for step in plan.steps}
    lines = []
    for (host, name), step in steps.items():
        others = [steps[host, other] for other in _after(step) if (host, other) in steps]
        awaited = [o.agent.instance_id for o in others if o.action != "stop"]
        if step.action != "stop" and awaited:
            lines.append(f"  {name} starts once {join_names(awaited)} is ready")
        later = [o.agent.instance_id for o in others if o.action != "start"]
        if step.action != "start" and later:
            verb = "runs" if len(later) == 1 else "run"
            lines.append(f"  {join_names(later)} {verb} on until {name} has ended")
    return [PlanLine(text) for text in lines]


def _after(step: AgentChange) -> Sequence[str]:
    spec = step.agent.entry.spec if step.agent.entry is not None else None
    return spec.settings.after if spec is not None else ()


def _prepare_silence(action: str, site: Site, args: argparse.Namespace) -> PreparedChange:
    end = action == "unsilence"
    statuses = fetch_status(site, args, hosts_to_query(site, args))
    alarms = AlarmClient(site, args)
    plan = plan_silence(statuses, _select(statuses, args), alarms, args, end=end)
    managers = make_clients(site, args, plan.ids)
    tasks = {
        (host, ""): _task(plan.request, managers[host], args.timeout, args.duration)
        for host in plan.ids
    }
    for host in plan.at_service:
        tasks[host, "alarms"] = _task(plan.request_of_service, alarms, host, args.duration)
    ids = [name for names in plan.ids.values() for name in names]
    hosts = list(dict.fromkeys([*plan.ids, *plan.at_service]))
    verb = "end the silence of" if end else "silence"
    what = pluralize(len(ids), "agent") if ids else "the alarms"
    what = ids[0] if len(ids) == 1 else what
    return PreparedChange(
        action,
        f"{verb} {what} on {list_hosts(hosts)}",
        plan.lines(),
        hosts=hosts,
        start=partial(TasksChange, tasks, args.timeout) if tasks else None,
        notice=plan.notice,
    )


def _prepare_reload(site: Site, args: argparse.Namespace) -> PreparedChange:
    targets = select_managers(site, args)
    changes = fetch_site_changes(targets, args.answer_time)
    lines = changes.lines()
    tasks = {
        host: _task(targets.managers[host].run, "update", args.timeout, reload_config=True)
        for host in changes.changes
    }
    return PreparedChange(
        "reload",
        f"reload the site config on {list_hosts(list(tasks) or targets.hosts)}",
        lines,
        changes.stops,
        list(tasks),
        _start_tasks(
            tasks,
            changes.errors,
            args,
            f"The managers of {list_hosts(list(tasks))} go on reading the site config.",
        ),
        watched=[line.text for line in lines],
    )


def _prepare_pull(site: Site, args: argparse.Namespace) -> PreparedChange:
    targets = select_managers(site, args)
    sessions = targets.fetch_sessions(args.answer_time)
    _, errors = split_results(sessions)
    plans = [plan for plan in plan_pull(sessions) if plan.files or len(targets.hosts) == 1]
    hosts = [plan.host for plan in plans if plan.files]
    tasks = {host: _pull_task(targets.managers[host], args) for host in hosts}
    refused = [PlanLine(f"! {host}: {error}", REFUSED) for host, error in errors.items()]
    title = f"pull images on {list_hosts(hosts)}" if hosts else "nothing to pull: no compose files"
    return PreparedChange(
        "pull",
        title,
        [*(line for plan in plans for line in plan.lines()), *refused],
        hosts=hosts,
        start=_start_tasks(
            tasks, errors, args, f"The managers of {list_hosts(hosts)} go on pulling."
        ),
    )


def _pull_task(manager: ManagerClient, args: argparse.Namespace) -> Task:
    return lambda show: run_and_stream(
        manager, "docker_pull", args.timeout, args.answer_time, MessageReader(show)
    )


def _prepare_orphans(site: Site, args: argparse.Namespace) -> PreparedChange:
    targets = select_managers(site, args)
    orphans = site_orphans(targets.hosts, targets.fetch_sessions(args.answer_time))
    hosts = [host for host, by_id in orphans.by_host.items() if by_id]
    tasks = {
        host: _task(targets.managers[host].run, "remove_orphans", args.timeout) for host in hosts
    }
    stops = orphans.stops
    return PreparedChange(
        "orphans",
        stops.action if stops.count else "nothing to remove: no orphans",
        orphans.lines(),
        stops,
        hosts,
        _start_tasks(
            tasks,
            orphans.errors,
            args,
            f"Orphans are still being removed on {list_hosts(hosts)}.",
        ),
        watched=sorted(name for by_id in orphans.by_host.values() for name in by_id),
    )


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
    tasks = {
        ("alarms", f"incident {number}"): _task(alarms.acknowledge, number) for number in numbers
    }
    title = "nothing to acknowledge"
    if numbers:
        plural = "s" if len(numbers) > 1 else ""
        title = f"acknowledge incident{plural} {join_names([*map(str, numbers)])}"
    start = partial(TasksChange, tasks, args.timeout) if tasks else None
    choices = [(number, text) for number, text in texts.items() if number not in numbers]
    return PreparedChange("ack", title, lines, start=start, choices=choices)


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


def _task(job: Callable[..., OperationResult], *args: object, **kwargs: object) -> Task:
    """A task without messages."""
    return lambda _show: job(*args, **kwargs)


def _start_tasks(
    tasks: Mapping[str, Task],
    errors: Mapping[str, ManagerError],
    args: argparse.Namespace,
    going_on: str,
) -> Callable[[], RunningChange] | None:
    """Of a task at each of some hosts; None if there is none."""
    if not tasks:
        return None
    refused = [ProgressRow(host, "", "failed", str(error)) for host, error in errors.items()]
    parts = {(host, ""): task for host, task in tasks.items()}
    limit = args.timeout + 2 * args.answer_time
    return partial(TasksChange, parts, limit, going_on=going_on, refused=refused)


_PREPARE: Mapping[str, Callable[[Site, argparse.Namespace], PreparedChange]] = {
    "reload": _prepare_reload,
    "pull": _prepare_pull,
    "orphans": _prepare_orphans,
    "ack": _prepare_ack,
}
"""What does not select agents."""
