"""What the view asks of the managers. The real one asks from threads; tests have their own."""

import argparse
import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from hostmanager.cli.commands.status import filter_hosts
from hostmanager.cli.exit_codes import CommandError
from hostmanager.cli.text import format_time
from hostmanager.cli.top.model import HostSnapshot, ListItem
from hostmanager.cli.top.requests import ChangeRequest, RequestRunner
from hostmanager.client.change.executor import PlanExecutor
from hostmanager.client.log_reader import LogLine, LogSource
from hostmanager.client.manager_client import FailureKind, ManagerClient, ManagerError, make_clients
from hostmanager.client.poller import SessionPoller
from hostmanager.client.site_model import Site
from hostmanager.client.status.model import AgentStatus, HostStatus, Severity, build_host_status

NOT_YET = ManagerError(FailureKind.TIMEOUT, "no answer yet")

ReadLines = Callable[[int], list[LogLine]]
"""Reads new lines of output, at most so many; blocks, raises `AskError`."""


class DataSource(Protocol):
    """Whom the view asks. What `reader` gives and `history` may take time, the rest is at once."""

    def fetch(self) -> tuple[list[HostSnapshot], str]:
        """What is known now, and why it is not more."""

    def change(self, command: str, what: str, rows: Sequence[AgentStatus]) -> ChangeRequest:
        """Have agents told to go ``up`` or ``down``, or to ``restart``."""

    @property
    def requests(self) -> Sequence[ChangeRequest]:
        """All that were made, the newest last."""

    def reader(self, row: AgentStatus) -> ReadLines | None:
        """Give what reads the output of an agent; None if nobody keeps it."""

    def history(self, item: ListItem, limit: int) -> list[Mapping[str, Any]]:
        """What happened to an agent or on a host, the newest last; raises `AskError`."""


class LiveDataSource:
    """Asks the managers of a site."""

    def __init__(self, site: Site, hosts: Sequence[str], args: argparse.Namespace) -> None:
        """Begin to ask.

        Raises:
            CommandError: There is no password for the privileges that are asked for.
        """
        self._site = site
        self._hosts = hosts
        self._args = args
        self._managers: dict[str, ManagerClient] = make_clients(site, args, hosts)
        self._poller = SessionPoller(self._managers, args.interval, args.answer_time)
        self._made = RequestRunner(lambda plan, found: PlanExecutor(site, plan, found, args))
        self._last_known: dict[str, tuple[float, dict[str, str]]] = {}
        self._found: list[HostStatus] = []

    @property
    def requests(self) -> Sequence[ChangeRequest]:
        """All that were made."""
        return self._made.made

    def fetch(self) -> tuple[list[HostSnapshot], str]:
        """What is known now; the rest of the time is spent in other threads."""
        self._found = [self._rows(host) for host in self._hosts]
        trouble = ""
        try:
            chosen = filter_hosts(self._found, self._args)
        except CommandError as error:  # it may come: a service that nobody has started yet
            chosen, trouble = [], str(error)
        return [HostSnapshot(host, self._poller.age(host.host.name)) for host in chosen], trouble

    def _rows(self, host: str) -> HostStatus:
        entry = self._site.hosts[host]
        if host not in self._managers:
            return build_host_status(entry, None)
        answer = self._poller.answer(host) or NOT_YET
        try:
            found = build_host_status(entry, answer)
        except Exception as error:  # other managers, other data: it costs this host only
            what = f"its manager says what nobody understands ({type(error).__name__}: {error})"
            found = build_host_status(entry, ManagerError(FailureKind.REFUSED, what))
        if found.error is None:
            states = {row.instance_id: row.state for row in found.agents}
            self._last_known[host] = time.time() - self._poller.age(host), states
            return found
        return self._with_last_known(found)

    def _with_last_known(self, found: HostStatus) -> HostStatus:
        """Of one that does not answer any more: how it was when it did."""
        if found.host.name not in self._last_known:
            return found
        when, states = self._last_known[found.host.name]
        then = format_time(when, time.time())
        rows = tuple(
            dataclasses.replace(
                row, reasons=(*row.reasons, f"was {states[row.instance_id]} {then}")
            )
            if row.severity is Severity.UNKNOWN and row.instance_id in states
            else row
            for row in found.agents
        )
        reasons = (f"{found.reasons[0]} (last heard of {then})", *found.reasons[1:])
        return dataclasses.replace(found, agents=rows, reasons=reasons)

    def change(self, command: str, what: str, rows: Sequence[AgentStatus]) -> ChangeRequest:
        """Have agents told something, by the same pursuit as of the subcommand."""
        return self._made.submit(command, what, self._found, rows)

    def reader(self, row: AgentStatus) -> ReadLines | None:
        """Give what reads the output of an agent."""
        manager = self._managers.get(row.host)
        if manager is None or not row.is_managed:
            return None
        source = LogSource(row, manager)
        return lambda lines: source.read(lines, None, self._args.answer_time)

    def history(self, item: ListItem, limit: int) -> list[Mapping[str, Any]]:
        """Ask for what happened."""
        manager = self._managers.get(item.host)
        if manager is None:
            raise ManagerError(
                FailureKind.NOT_REGISTERED, f"host {item.host} has no manager, so no journal."
            )
        name = item.key[1] or None
        reply = manager.run("history", self._args.answer_time, instance_id=name, limit=limit)
        trouble = reply.data.get("trouble")
        if not reply.ok or trouble:
            raise ManagerError(FailureKind.REFUSED, str(trouble or reply.text))
        return list(reply.data.get("entries", []))

    def finish(self) -> list[str]:
        """Ask no more; returns what is to be said about requests that were under way."""
        self._poller.stop()
        return self._made.finish(self._args.answer_time)
