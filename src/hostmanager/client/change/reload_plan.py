"""What a reload will do on the hosts of a site, as their managers and the site config say."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hostmanager.client.change.plan_text import REFUSED, PlanLine
from hostmanager.client.change.prepared import PreparedChange
from hostmanager.client.change.stops import Stops, list_hosts
from hostmanager.client.change.tasks import tasks_at_managers
from hostmanager.client.errors import ManagerError, split_results
from hostmanager.client.managers.multi_host import TargetManagers, select_managers
from hostmanager.client.reload_diff import ReloadChange, reload_changes
from hostmanager.client.site_model import Site
from hostmanager.client.status.config_errors import manager_warning

CHANGE_MARKS = {"add": "+", "stop": "-", "replace": "~", "change": "*", "broken": "!"}
"""Of a line, by `ReloadChange.what`."""

MARKS_HELP = """\
marks:
  +   new: it would be added, and started unless its entry says down
  -   gone, or ignored now: it would be stopped and removed
  ~   other class or kind: the old one would be stopped, then the new one started
  *   other arguments or settings: it keeps running as it is until it is restarted
  !   broken: an entry, whose agent would be left as it is; or the whole host
"""


@dataclass(frozen=True, slots=True)
class SiteChanges:
    """What a reload would do on some hosts.

    Attributes:
        changes: By host; only hosts whose manager answers.
        errors: Why there are none, by host.
        order: All hosts, as in the site config.
        warnings: What managers warned of when they last read the file, by host.
    """

    changes: Mapping[str, Sequence[ReloadChange]] = field(default_factory=dict)
    errors: Mapping[str, ManagerError] = field(default_factory=dict)
    order: Sequence[str] = ()
    warnings: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def is_broken(self) -> bool:
        """Whether something in the site config cannot be used."""
        return any(c.what == "broken" for changes in self.changes.values() for c in changes)

    @property
    def stops(self) -> Stops:
        """What would be stopped.

        Even one needs a confirmation: nobody has named it, and a slip in the file may be why.
        """
        agents = {
            host: [change.instance_id for change in of_host if change.stops]
            for host, of_host in self.changes.items()
        }
        return Stops("stop", agents, asks_from=1)

    def lines(self) -> list[PlanLine]:
        """The same for people."""
        return [line for host in self.order for line in self._host_lines(host)]

    def _host_lines(self, host: str) -> list[PlanLine]:
        if host in self.errors:
            return [PlanLine(f"! {host}: {self.errors[host]}", REFUSED)]
        changes = self.changes[host]
        head = PlanLine(f"{host}:", "heading") if changes else PlanLine(f"{host}: no change")
        return [
            head,
            *map(_change_line, changes),
            *(PlanLine(f"  ! {text}", "warning") for text in self.warnings.get(host, ())),
        ]

    def as_json(self) -> list[dict[str, Any]]:
        """As programs get it."""
        return [self._host_as_json(host) for host in self.order]

    def _host_as_json(self, host: str) -> dict[str, Any]:
        error = self.errors.get(host)
        return {
            "host": host,
            "answers": error is None,
            "text": "" if error is None else str(error),
            "changes": [change.as_json() for change in self.changes.get(host, ())],
        }


def fetch_site_changes(targets: TargetManagers, answer_timeout: float) -> SiteChanges:
    """Ask the managers what they know, and compare it with the site config as it is read here.

    Raises:
        ClientError: There is no router.
    """
    answers, errors = split_results(targets.fetch_sessions(answer_timeout))
    return SiteChanges(
        {host: reload_changes(targets.site.hosts[host], s) for host, s in answers.items()},
        errors,
        targets.hosts,
        {host: _warnings(session) for host, session in answers.items()},
    )


def _warnings(session: Mapping[str, Any]) -> list[str]:
    warnings = (session.get("data") or {}).get("config_warnings") or {}
    return [manager_warning(file, text) for file, text in warnings.items()]


def _change_line(change: ReloadChange) -> PlanLine:
    name = f"{change.instance_id} " if change.what != "broken" else ""
    return PlanLine(f"  {CHANGE_MARKS[change.what]} {name}{change.text}", change.what)


def prepare_reload(site: Site, args: argparse.Namespace) -> PreparedChange:
    """Ask the managers what they know, and decide what a reload would do."""
    targets = select_managers(site, args)
    changes = fetch_site_changes(targets, args.answer_time)
    lines, hosts = changes.lines(), list(changes.changes)
    return PreparedChange(
        "reload",
        f"reload the site config on {list_hosts(hosts or targets.hosts)}",
        lines,
        changes.stops,
        hosts,
        tasks_at_managers(
            targets,
            hosts,
            lambda manager, _show: manager.run("update", args.timeout, reload_config=True),
            args,
            errors=changes.errors,
            going_on=f"The managers of {list_hosts(hosts)} go on reading the site config.",
        ),
        watched=[line.text for line in lines],
        errors=changes.errors,
        is_incomplete=changes.is_broken,
        content={"plan": changes.as_json(), "stops": changes.stops.as_json()},
    )
