"""What `die` will do, host by host, decided before anything is done."""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hostmanager.client.change.plan_text import REFUSED, PlanLine
from hostmanager.client.change.prepared import PreparedChange
from hostmanager.client.change.stops import Stops, list_hosts
from hostmanager.client.change.tasks import tasks_at_managers
from hostmanager.client.errors import ManagerError, split_results
from hostmanager.client.managers.manager_end import end_manager
from hostmanager.client.managers.multi_host import select_managers
from hostmanager.client.site_model import Site
from hostmanager.client.status.model import SUFFIX, is_running


@dataclass(frozen=True, slots=True)
class ManagerEnd:
    """The end of one manager.

    Attributes:
        host: Its host.
        stopped: Its agents that are stopped.
        left: Its agents that are left running.
        error: Why it cannot be ended; empty if it answers.
    """

    host: str
    stopped: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    error: str = ""

    def lines(self) -> list[PlanLine]:
        """The same for people."""
        if self.error:
            return [PlanLine(f"! {self.host}: {self.error}", REFUSED)]
        lines = [f"end the manager of {self.host}"]
        lines += [f"  stop: {', '.join(self.stopped)}"] if self.stopped else []
        lines += [f"  leave running: {', '.join(self.left)}"] if self.left else []
        return [PlanLine(text) for text in lines]

    def as_json(self) -> dict[str, Any]:
        """As programs get it."""
        return {
            "host": self.host,
            "stopped": list(self.stopped),
            "left_running": list(self.left),
            "error": self.error,
        }


def plan_die(
    sessions: Mapping[str, Mapping[str, Any] | ManagerError],
    *,
    disown: bool,
    disown_services: bool,
) -> list[ManagerEnd]:
    """Decide what becomes of each agent.

    Args:
        sessions: The `manager` session of each host, or why there is none.
        disown: Whether all agents are left running.
        disown_services: Whether compose services are.
    """
    ends = []
    for host, session in sessions.items():
        if isinstance(session, ManagerError):
            ends.append(ManagerEnd(host, error=str(session)))
            continue
        stopped: list[str] = []
        left: list[str] = []
        for child in (session.get("data") or {}).get("child_states") or []:
            if is_running(child):
                is_left = disown or _is_left(child, disown_services=disown_services)
                (left if is_left else stopped).append(str(child["instance_id"]))
        ends.append(ManagerEnd(host, tuple(stopped), tuple(left)))
    return ends


def stops_of(ends: list[ManagerEnd]) -> Stops:
    """What would be stopped."""
    reached = [end for end in ends if not end.error]
    return Stops(
        "stop",
        {end.host: end.stopped for end in reached},
        managers=tuple(end.host for end in reached),
        left=sum(len(end.left) for end in reached),
    )


def _is_left(child: Mapping[str, Any], *, disown_services: bool) -> bool:
    """Whether it is a compose service that is left running: one that nobody manages always is."""
    suffix = SUFFIX.search(str(child["agent_class"]))
    return bool(suffix) and (disown_services or child["target_state"] == "passive")


def prepare_die(site: Site, args: argparse.Namespace) -> PreparedChange:
    """Ask the managers what runs, and decide what becomes of it."""
    targets = select_managers(site, args)
    sessions = targets.fetch_sessions(args.answer_time)
    _, errors = split_results(sessions)
    ends = plan_die(sessions, disown=args.disown, disown_services=args.disown_dockers)
    hosts = [end.host for end in ends if not end.error]
    params = {"disown_dockers": args.disown_dockers}
    if args.disown:
        params["disown"] = True  # other managers than ours do not know it
    stops = stops_of(ends)
    return PreparedChange(
        "die",
        stops.action if hosts else "nothing to end",
        [line for end in ends for line in end.lines()],
        stops,
        hosts,
        tasks_at_managers(
            targets,
            hosts,
            lambda manager, _show: end_manager(manager, args.timeout, args.answer_time, params),
            args,
            errors=errors,
            going_on=f"The managers of {list_hosts(hosts)} are ending.",
        ),
        errors=errors,
        content={"plan": [end.as_json() for end in ends], "stops": stops.as_json()},
    )
