"""Where the view gets its data: from the managers, by threads; tests have a source of their own."""

import argparse
import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from hostmanager.cli.top.model import HostSnapshot, ListItem
from hostmanager.cli.top.requests import RequestRunner, UserRequest
from hostmanager.client.change.executor import PlanExecutor
from hostmanager.client.errors import ClientError, FailureKind, ManagerError
from hostmanager.client.logs.log_filter import LogLine
from hostmanager.client.logs.log_reader import LogSource
from hostmanager.client.managers.credentials import make_clients
from hostmanager.client.managers.manager_client import ManagerClient
from hostmanager.client.site_model import Site
from hostmanager.client.status.findings import build_host_status
from hostmanager.client.status.model import (
    AgentStatus,
    HostStatus,
    StatusSeverity,
)
from hostmanager.client.status.selection import filter_hosts
from hostmanager.client.text import format_time
from hostmanager.client.watch.poller import NO_ANSWER_YET, SessionPoller

ReadLines = Callable[[int], list[LogLine]]
"""Reads new lines of output, at most a given number; blocks, raises `ManagerError`."""


class DataSource(Protocol):
    """The source of the view. What `reader` returns and `history` may block, all else returns at once."""

    def fetch(self) -> tuple[list[HostSnapshot], str]:
        """The present status, and why nothing is shown, if that is so."""

    def change(self, command: str, what: str, agents: Sequence[AgentStatus]) -> UserRequest:
        """Request `up`, `down` or `restart` of agents."""

    @property
    def requests(self) -> Sequence[UserRequest]:
        """All requests, the newest last."""

    def reader(self, agent: AgentStatus) -> ReadLines | None:
        """Return what reads the output of an agent; None if no manager keeps it."""

    def history(self, item: ListItem, limit: int) -> list[Mapping[str, Any]]:
        """What happened to an agent or on a host, the newest last; raises `ManagerError`."""


class LiveDataSource:
    """Polls the managers of a site."""

    def __init__(self, site: Site, hosts: Sequence[str], args: argparse.Namespace) -> None:
        """Start polling.

        Raises:
            ClientError: There is no password for the privileges that are asked for.
        """
        self._site = site
        self._hosts = hosts
        self._args = args
        self._managers: dict[str, ManagerClient] = make_clients(site, args, hosts)
        self._poller = SessionPoller(self._managers, args.interval, args.answer_time)
        self._runner = RequestRunner(lambda plan, status: PlanExecutor(site, plan, status, args))
        self._last_known: dict[str, tuple[float, dict[str, str]]] = {}
        self._hosts_status: list[HostStatus] = []

    @property
    def requests(self) -> Sequence[UserRequest]:
        """All requests."""
        return self._runner.made

    def fetch(self) -> tuple[list[HostSnapshot], str]:
        """The present status, from what the threads have got."""
        self._hosts_status = [self._status(host) for host in self._hosts]
        notice = ""
        try:
            chosen = filter_hosts(self._hosts_status, self._args)
        except ClientError as error:  # it may appear: a service that has not been started yet
            chosen, notice = [], str(error)
        return [HostSnapshot(host, self._poller.age(host.host.name)) for host in chosen], notice

    def _status(self, host: str) -> HostStatus:
        entry = self._site.hosts[host]
        if host not in self._managers:
            return build_host_status(entry, None)
        status = build_host_status(entry, self._poller.latest(host) or NO_ANSWER_YET)
        if status.error is None:
            states = {agent.instance_id: agent.state for agent in status.agents}
            self._last_known[host] = time.time() - self._poller.age(host), states
            return status
        return self._with_last_known(status)

    def _with_last_known(self, status: HostStatus) -> HostStatus:
        """Add the last known states to a host that does not answer any more."""
        if status.host.name not in self._last_known:
            return status
        when, states = self._last_known[status.host.name]
        answered = format_time(when, time.time())
        agents = tuple(
            dataclasses.replace(
                agent, reasons=(*agent.reasons, f"was {states[agent.instance_id]} {answered}")
            )
            if agent.severity is StatusSeverity.UNKNOWN and agent.instance_id in states
            else agent
            for agent in status.agents
        )
        reasons = (f"{status.reasons[0]} (last answer {answered})", *status.reasons[1:])
        return dataclasses.replace(status, agents=agents, reasons=reasons)

    def change(self, command: str, what: str, agents: Sequence[AgentStatus]) -> UserRequest:
        """Request a change, carried out as by the subcommand."""
        return self._runner.submit(command, what, self._hosts_status, agents)

    def reader(self, agent: AgentStatus) -> ReadLines | None:
        """Return what reads the output of an agent."""
        manager = self._managers.get(agent.host)
        if manager is None or not agent.is_managed:
            return None
        source = LogSource(agent, manager)
        return lambda lines: source.read(lines, self._args.answer_time)

    def history(self, item: ListItem, limit: int) -> list[Mapping[str, Any]]:
        """Read the journal of its manager."""
        manager = self._managers.get(item.host)
        if manager is None:
            raise ManagerError(
                FailureKind.NOT_REGISTERED, f"host {item.host} has no manager, so no journal."
            )
        name = item.key[1] or None
        result = manager.run("history", self._args.answer_time, instance_id=name, limit=limit)
        error = result.data.get("trouble")
        if not result.ok or error:
            raise ManagerError(FailureKind.REFUSED, str(error or result.text))
        return list(result.data.get("entries", []))

    def finish(self) -> list[str]:
        """Stop polling; returns a sentence for each request that was pending."""
        self._poller.stop()
        return self._runner.finish(self._args.answer_time)
