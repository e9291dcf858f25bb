"""What a reload would do, as `diff` and `reload` show it."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hostmanager.cli.exit_codes import FAILED, OK
from hostmanager.cli.host_results import error_code
from hostmanager.cli.output import Output
from hostmanager.client.change.stops import Stops
from hostmanager.client.errors import ManagerError
from hostmanager.client.multi_host import TargetManagers
from hostmanager.client.reload_diff import ReloadChange, reload_changes, reload_stops
from hostmanager.client.status.config_errors import manager_warning

MARKS_HELP = """\
marks:
  +   new: it would be added, and started unless its entry says down
  -   gone, or ignored now: it would be stopped and removed
  ~   other class or kind: the old one would be stopped, then the new one started
  *   other arguments or settings: it keeps running as it is until it is restarted
  !   broken: an entry, whose agent would be left as it is; or the whole host
"""

CHANGE_MARKS = {"add": "+", "stop": "-", "replace": "~", "change": "*", "broken": "!"}
CHANGE_STYLES = {
    "add": "green",
    "stop": "red",
    "replace": "yellow",
    "change": "cyan",
    "broken": "bold red",
}


@dataclass(frozen=True, slots=True)
class SiteChanges:
    """What a reload would do on some hosts.

    Attributes:
        changes: By host; only hosts whose manager answers.
        errors: Why there are none, by host.
        order: All hosts, as in the site config.
    """

    changes: Mapping[str, Sequence[ReloadChange]] = field(default_factory=dict)
    errors: Mapping[str, ManagerError] = field(default_factory=dict)
    order: Sequence[str] = ()

    @property
    def error_code(self) -> int:
        """The exit status for managers that do not answer, and files that cannot be used."""
        broken = any(c.what == "broken" for changes in self.changes.values() for c in changes)
        codes = [error_code(error) for error in self.errors.values()]
        return max((FAILED if broken else OK, *codes))

    @property
    def code(self) -> int:
        """The exit status of `diff`: also whether something would change."""
        return max(self.error_code, FAILED if any(self.changes.values()) else OK)

    @property
    def stops(self) -> Stops:
        """What would be stopped."""
        return reload_stops(self.changes)

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


def show_reload(targets: TargetManagers, args: argparse.Namespace, output: Output) -> SiteChanges:
    """Show what a reload would do on each host, by the site config as it is read here."""
    sessions = targets.fetch_sessions(args.answer_time)
    changes: dict[str, list[ReloadChange]] = {}
    errors: dict[str, ManagerError] = {}
    for host in targets.hosts:
        session = sessions[host]
        if isinstance(session, ManagerError):
            output.line(f"! {host}: {session}", "red")
            errors[host] = session
        else:
            changes[host] = reload_changes(targets.site.hosts[host], session)
            _show_host(host, changes[host], output)
            for file, text in ((session.get("data") or {}).get("config_warnings") or {}).items():
                output.line(f"  ! {manager_warning(file, text)}", "yellow")
    return SiteChanges(changes, errors, targets.hosts)


def _show_host(host: str, changes: Sequence[ReloadChange], output: Output) -> None:
    if not changes:
        output.line(f"{host}: no change")
        return
    output.line(f"{host}:", "bold")
    for change in changes:
        name = f"{change.instance_id} " if change.what != "broken" else ""
        mark, style = CHANGE_MARKS[change.what], CHANGE_STYLES[change.what]
        output.line(f"  {mark} {name}{change.text}", style)
