"""What `silence` will do: which managers keep it, and what only the alarm service can keep."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from hostmanager.client.alarm_client import AlarmClient
from hostmanager.client.change.plan_text import PlanLine
from hostmanager.client.change.prepared import PreparedChange
from hostmanager.client.change.stops import list_hosts
from hostmanager.client.change.tasks import ShowMessage, Task, TasksChange
from hostmanager.client.errors import ClientError
from hostmanager.client.managers.credentials import make_clients
from hostmanager.client.managers.manager_client import ManagerClient, OperationResult
from hostmanager.client.site_model import Site
from hostmanager.client.status.model import AgentStatus, HostStatus, unreachable
from hostmanager.util.grouping import group_pairs
from hostmanager.util.text import join_names, pluralize


@dataclass(frozen=True, slots=True)
class SilencePlan:
    """What is silenced, or not any more.

    Attributes:
        ids: What the managers are asked for: instance-ids by host.
        at_service: What the alarm service is asked for, by host; none named: the whole host.
        missing: Hosts that do not answer, of which no alarm service keeps a silence.
        end: Whether silences end.
    """

    ids: Mapping[str, Sequence[str]] = field(default_factory=dict)
    at_service: Mapping[str, Sequence[str]] = field(default_factory=dict)
    missing: Sequence[str] = ()
    end: bool = False

    @property
    def notice(self) -> str:
        """What is not silenced; empty: nothing."""
        if not self.missing:
            return ""
        return f"not silenced: {_nobody_keeps(self.missing)}"

    @property
    def verb(self) -> str:
        """What is done to the agents."""
        return "end the silence of" if self.end else "silence"

    def lines(self) -> list[PlanLine]:
        """What would happen, for people."""
        lines = [f"would {self.verb} {join_names(ids)} on {host}" for host, ids in self.ids.items()]
        lines += [
            f"would {self.verb} {join_names(ids) if ids else 'all'} on {host} at the alarm service"
            for host, ids in self.at_service.items()
        ]
        return [PlanLine(text) for text in lines]

    def request(
        self, manager: ManagerClient, timeout: float, seconds: float | None, _show: ShowMessage
    ) -> OperationResult:
        """Have a manager keep its part; raises `ManagerError`."""
        ids = self.ids[manager.host]
        return manager.run("silence", timeout, instances=ids, seconds=seconds, end=self.end)

    def request_of_service(
        self, alarms: AlarmClient, host: str, seconds: float | None, _show: ShowMessage
    ) -> OperationResult:
        """Have the alarm service keep its part about a host; raises `ClientError`."""
        answer = alarms.silence(host, self.at_service[host], seconds, end=self.end)
        # A whole host is silenced at its manager, too: whether the service had it is no matter.
        return OperationResult(answer.ok or (self.end and host in self.ids), answer.text)


def plan_silence(
    statuses: Sequence[HostStatus],
    agents: Sequence[AgentStatus],
    alarms: AlarmClient,
    args: argparse.Namespace,
    *,
    end: bool,
) -> SilencePlan:
    """Decide who keeps what.

    Args:
        statuses: Of the hosts.
        agents: The selected agents.
        alarms: Is asked whether it is there, if it is needed.
        args: The selection.
        end: Whether silences end.

    Raises:
        ClientError: A manager cannot silence agents, or nobody keeps any of it.
    """
    able = [agent for agent in agents if agent.child is not None]
    keeping = [agent for agent in able if "silenced" in (agent.child or {})]
    ids = group_pairs((agent.host, agent.instance_id) for agent in keeping)
    at_service, missing = _for_alarm_service(statuses, agents, args), list[str]()
    if at_service and not alarms.is_there():
        away = [status.host.name for status in unreachable(statuses)]
        missing, at_service = [host for host in away if host in at_service], {}
    others = list(dict.fromkeys(agent.host for agent in able if agent.host not in ids))
    if others:
        raise ClientError(
            f"the manager{'s' if len(others) > 1 else ''} of {join_names(others)} cannot silence "
            "agents (an older version, or the HostManager inside ocs)."
        )
    if not able and not at_service:
        reason = _nobody_keeps(missing) if missing else ""
        raise ClientError(reason or "none of these agents has a manager that answers.")
    return SilencePlan(ids, at_service, missing, end)


def _nobody_keeps(hosts: Sequence[str]) -> str:
    return (
        f"{join_names(hosts)} {'do' if len(hosts) > 1 else 'does'} not answer, and there is no alarm "
        "service at the router that could keep a silence (`hostmanager alerts`)."
    )


def _for_alarm_service(
    statuses: Sequence[HostStatus], agents: Sequence[AgentStatus], args: argparse.Namespace
) -> dict[str, list[str]]:
    """What the alarm service is to silence: agents by host; none named: the host with all."""
    if args.all and not (args.pattern or args.agent_class):
        return {status.host.name: [] for status in statuses}
    away = {status.host.name for status in unreachable(statuses)}
    return group_pairs((agent.host, agent.instance_id) for agent in agents if agent.host in away)


def prepare_silence(
    site: Site,
    args: argparse.Namespace,
    statuses: Sequence[HostStatus],
    agents: Sequence[AgentStatus],
    *,
    end: bool,
) -> PreparedChange:
    """Decide who keeps a silence of these agents.

    Args:
        site: The site.
        args: The selection, and how long (`duration`, in seconds).
        statuses: Of the hosts.
        agents: The selected agents.
        end: Whether silences end.

    Raises:
        ClientError: A manager cannot silence agents, or nobody keeps any of it.
    """
    alarms = AlarmClient(site, args)
    plan = plan_silence(statuses, agents, alarms, args, end=end)
    managers = make_clients(site, args, plan.ids)
    tasks: dict[tuple[str, str], Task] = {
        (host, ""): partial(plan.request, managers[host], args.timeout, args.duration)
        for host in plan.ids
    }
    for host in plan.at_service:
        tasks[host, "alarms"] = partial(plan.request_of_service, alarms, host, args.duration)
    ids = [name for names in plan.ids.values() for name in names]
    what = pluralize(len(ids), "agent") if ids else "the alarms"
    what = ids[0] if len(ids) == 1 else what
    hosts = list(dict.fromkeys([*plan.ids, *plan.at_service]))
    limit = args.timeout + 2 * args.answer_time
    return PreparedChange(
        "unsilence" if end else "silence",
        f"{plan.verb} {what} on {list_hosts(hosts)}",
        plan.lines(),
        hosts=hosts,
        start=partial(TasksChange, tasks, limit, managers=list(managers.values())),
        notice=plan.notice,
        errors={s.host.name: s.error for s in statuses if s.error and s.host.name in plan.missing},
        content={"agents": plan.ids},
    )
