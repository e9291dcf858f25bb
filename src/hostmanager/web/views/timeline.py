"""What the pages about the past show: which hosts and agents, of which time, and what is known of it."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from hostmanager.client.errors import ClientError
from hostmanager.client.history.site_history import HostHistory
from hostmanager.client.history.time_range import TimeRange, parse_range
from hostmanager.client.history.timeline import CurrentState, HostEvents, make_lanes
from hostmanager.client.history.timeline_model import TimeSpan
from hostmanager.client.history.timeline_summary import LaneSummary, summarize_lane
from hostmanager.client.managers.manager_client import ManagerClient
from hostmanager.client.status.model import HostStatus
from hostmanager.util.text import closest_matches, format_duration
from hostmanager.web.context import args_of, known_host, reader_of, shared_of, site_of, url_of
from hostmanager.web.errors import NotFoundError, PageError, PageLink
from hostmanager.web.svg.bands import lane_svg

CLOCK_TOLERANCE = 5.0
"""Seconds by which the clock of a host may be off before a page says so."""


@dataclass(frozen=True, slots=True)
class PastQuery:
    """What of the past somebody wants to see.

    Attributes:
        request: Who asks.
        host: A host; empty: all.
        instance_id: An agent; empty: all.
        range: Of which time.
        hosts: The status of these hosts, as it is now.
    """

    request: web.Request
    host: str
    instance_id: str
    range: TimeRange
    hosts: Sequence[HostStatus]

    @classmethod
    def of(cls, request: web.Request) -> "PastQuery":
        """Read the query of an address.

        Raises:
            PageError: The range makes no sense.
            NotFoundError: There is no such host.
        """
        query = request.query
        host, instance_id = query.get("host", ""), query.get("id", "")
        try:
            time_range = parse_range(query.get("from", ""), query.get("to", ""))
        except ValueError as error:
            fresh = url_of(request, *_page(request), host=host, id=instance_id)
            raise PageError(str(error), [PageLink("the last 24 hours", fresh)]) from None
        hosts = [known_host(request, host)] if host else site_of(request).hosts()
        return cls(request, host, instance_id, time_range, hosts)

    @property
    def subject(self) -> str:
        """What it is about, for titles."""
        if self.instance_id:
            return f"{self.instance_id} on {self.host}" if self.host else self.instance_id
        return self.host or "the site"

    def address(self, *parts: str, **changed: Any) -> str:
        """The address of a page about the same, with changed parameters."""
        given = {"host": self.host, "id": self.instance_id, **self.range.parameters, **changed}
        return url_of(self.request, *(parts or _page(self.request)), **given)

    def readers(self) -> dict[str, ManagerClient]:
        """Clients of the managers in question."""
        return {
            host.host.name: reader_of(self.request, host.host.name)
            for host in self.hosts
            if host.host.manager is not None
        }

    @property
    def answer_time(self) -> float:
        """Seconds that a manager has for an answer."""
        return float(args_of(self.request).answer_time)

    def require_known(self, names: Sequence[str]) -> None:
        """Check that the agent is one of the site, or of the past.

        Raises:
            NotFoundError: It is none; the nearest are offered.
        """
        configured = [agent.instance_id for host in self.hosts for agent in host.agents]
        if not self.instance_id or self.instance_id in {*configured, *names}:
            return
        nearest = closest_matches(self.instance_id, {*configured, *names})
        links = [PageLink(name, self.address(id=name)) for name in nearest]
        where = f" on host {self.host!r:.100}" if self.host else ""
        raise NotFoundError(
            f"There is no agent {self.instance_id!r:.200}{where}, nor was there one in this time.",
            links,
        )


@dataclass(frozen=True, slots=True)
class TimelineView:
    """A timeline, as it is shown.

    Attributes:
        query: What was asked for.
        managers: The lanes of the managers.
        agents: Those of the agents, the worst first.
        pictures: The lanes as SVG, by host and id; drawn beside the loop, since many take a while.
        notes: What is missing or not certain, and why.
    """

    query: PastQuery
    managers: Sequence[LaneSummary]
    agents: Sequence[LaneSummary]
    pictures: Mapping[tuple[str, str], str]
    notes: Sequence[str]

    @property
    def span(self) -> TimeSpan:
        """The range by the clock here."""
        return self.query.range.by_clock(0.0)


async def read_timeline(query: PastQuery) -> TimelineView:
    """Read and make a timeline.

    Raises:
        NotFoundError: There is no such agent.
    """
    history = shared_of(query.request).history
    since, readers, limit = float(query.range.start), query.readers(), query.answer_time
    silent = {
        host.host.name: host.error
        for host in query.hosts
        if host.error is not None and host.host.name in readers
    }
    known = await asyncio.to_thread(history.read, readers, since, limit, silent)
    return await asyncio.to_thread(_make_view, query, known)


def _make_view(query: PastQuery, known: Mapping[str, HostHistory]) -> TimelineView:
    spans: dict[str, TimeSpan] = {}
    summaries: list[LaneSummary] = []
    notes: list[str] = []
    for status in query.hosts:
        host = status.host.name
        history = known.get(host)
        if history is None:
            notes.append(f"{host} has no manager, so nothing is known of its past.")
            continue
        notes += _notes(host, history)
        spans[host] = query.range.by_clock(history.offset)
        if history.read_at is not None:
            summaries += map(
                summarize_lane, make_lanes(host, _events(status, history), spans[host])
            )
    agents = [summary for summary in summaries if summary.lane.instance_id]
    query.require_known([summary.lane.instance_id for summary in agents])
    chosen = [s for s in agents if query.instance_id in {"", s.lane.instance_id}]
    if query.instance_id:
        hosts = {summary.lane.host for summary in chosen}
        summaries = [summary for summary in summaries if summary.lane.host in hosts]
    managers = [summary for summary in summaries if not summary.lane.instance_id]
    return TimelineView(
        query,
        sorted(managers, key=lambda summary: summary.order),
        sorted(chosen, key=lambda summary: summary.order),
        {(s.lane.host, s.lane.instance_id): _picture(s, spans) for s in (*managers, *chosen)},
        notes,
    )


def _picture(summary: LaneSummary, spans: Mapping[str, TimeSpan]) -> str:
    lane = summary.lane
    name = lane.instance_id or f"the manager of {lane.host}"
    return lane_svg(lane, spans[lane.host], f"{name}: {summary.text}")


def _events(status: HostStatus, history: HostHistory) -> HostEvents:
    events = list(history.events)
    begins = history.since
    if history.begins:
        begins = events[0].time if events else history.now
    present = time.time() + history.offset if history.error is not None else None
    return HostEvents(events, begins, history.now, _current(status), present)


def _current(status: HostStatus) -> dict[str, CurrentState]:
    current = {}
    for agent in status.agents:
        child = agent.child
        if child is not None and status.error is None:
            action = "given_up" if child.get("given_up") else str(child["next_action"])
            health = child.get("health")
            current[agent.instance_id] = CurrentState(action, str(child["target_state"]), health)
    return current


def _notes(host: str, history: HostHistory) -> list[str]:
    notes = []
    if history.error is not None:
        had = "; what it reported before is shown" if history.read_at is not None else ""
        notes.append(f"{host}: {history.error}{had}.")
    elif history.journal_error:
        notes.append(f"{host}: {history.journal_error}")
    if abs(history.offset) > CLOCK_TOLERANCE and history.read_at is not None:
        direction = "ahead of" if history.offset > 0 else "behind"
        notes.append(
            f"The clock of {host} is {format_duration(abs(history.offset))} {direction} the one "
            "here; its times are by its own."
        )
    return notes


def _page(request: web.Request) -> Sequence[str]:
    """The page of a request, below the root path."""
    return [request.path.rsplit("/", 1)[-1]]


def require_manager(query: PastQuery) -> None:
    """Check that somebody can be asked.

    Raises:
        ClientError: No host has a manager.
    """
    if not any(host.host.manager is not None for host in query.hosts):
        raise ClientError("None of these hosts has a manager, so nothing is known of their past.")
