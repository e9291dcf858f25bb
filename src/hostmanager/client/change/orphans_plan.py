"""The orphans of each host: containers whose service is gone from its compose file."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hostmanager.client.change.plan_text import REFUSED, PlanLine
from hostmanager.client.change.prepared import PreparedChange
from hostmanager.client.change.stops import Stops, list_hosts
from hostmanager.client.change.tasks import tasks_at_managers
from hostmanager.client.errors import ManagerError, split_results
from hostmanager.client.managers.multi_host import select_managers
from hostmanager.client.site_model import Site


@dataclass(frozen=True, slots=True)
class SiteOrphans:
    """The orphans of some hosts.

    Attributes:
        by_host: By host and container id; only hosts whose manager knows.
        errors: Why there is no answer, by host.
        order: All hosts, as in the site config.
    """

    by_host: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    errors: Mapping[str, ManagerError] = field(default_factory=dict)
    order: Sequence[str] = ()

    @property
    def stopped(self) -> list[str]:
        """The hosts whose `manager` process is stopped."""
        return [host for host in self.order if host not in (*self.by_host, *self.errors)]

    @property
    def stops(self) -> Stops:
        """What their removal stops."""
        names = {host: list(map(_service, by_id.values())) for host, by_id in self.by_host.items()}
        return Stops("stop and remove", names, noun="orphaned container")

    def lines(self) -> list[PlanLine]:
        """The same for people."""
        return [line for host in self.order for line in self._host_lines(host)]

    def _host_lines(self, host: str) -> list[PlanLine]:
        if host in self.errors:
            return [PlanLine(f"! {host}: {self.errors[host]}", REFUSED)]
        if host not in self.by_host:
            text = f"! {host}: its manager process is stopped, so this is unknown"
            return [PlanLine(text, REFUSED)]
        by_id = self.by_host[host]
        if not by_id:
            return [PlanLine(f"{host}: no orphans")]
        return [PlanLine(_orphan_text(host, name, orphan)) for name, orphan in by_id.items()]


def site_orphans(
    order: Sequence[str], sessions: Mapping[str, Mapping[str, Any] | ManagerError]
) -> SiteOrphans:
    """Read the orphans out of the `manager` sessions of these hosts."""
    answers, errors = split_results(sessions)
    return SiteOrphans(
        {
            host: (session.get("data") or {}).get("orphans") or {}
            for host, session in answers.items()
            if session.get("status") == "running"
        },
        errors,
        order,
    )


def _service(orphan: Mapping[str, Any]) -> str:
    return str(orphan.get("service"))


def _orphan_text(host: str, container_id: str, orphan: Mapping[str, Any]) -> str:
    image = f", image {orphan['running_image']}" if orphan.get("running_image") else ""
    return (
        f"{host}: {_service(orphan)} (container {container_id[:12]}{image}), not in "
        f"{orphan.get('compose_file')} any more"
    )


def prepare_orphans(site: Site, args: argparse.Namespace) -> PreparedChange:
    """Ask the managers for their orphans, which are to be removed."""
    targets = select_managers(site, args)
    orphans = site_orphans(targets.hosts, targets.fetch_sessions(args.answer_time))
    hosts = [host for host, by_id in orphans.by_host.items() if by_id]
    stops = orphans.stops
    return PreparedChange(
        "orphans",
        stops.action if stops.count else "nothing to remove: no orphans",
        orphans.lines(),
        stops,
        hosts,
        tasks_at_managers(
            targets,
            hosts,
            lambda manager, _show: manager.run("remove_orphans", args.timeout),
            args,
            errors=orphans.errors,
            going_on=f"Orphans are still being removed on {list_hosts(hosts)}.",
        ),
        watched=sorted(name for by_id in orphans.by_host.values() for name in by_id),
        errors=orphans.errors,
        is_incomplete=bool(orphans.stopped),
        content={
            "orphans": {host: list(by_id.values()) for host, by_id in orphans.by_host.items()},
            "stops": stops.as_json(),
        },
    )
