"""How long each agent took to be ready, and who held back whom. Pure.

Managers report when they launched a run, when its first heartbeat came, and how long a launch waited
for others. What they took over from an earlier manager was launched before they could listen, so
nothing is known of it, and nothing is said.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from hostmanager.client.status.model import AgentStatus

START_GAP = 5.0
"""Seconds without a launch, with all others ready, after which a launch is no more of the start of
the host: somebody started that agent later."""


@dataclass(frozen=True, slots=True)
class StartTime:
    """The latest start of an agent.

    Attributes:
        host: Its host.
        instance_id: Its id.
        launched_at: When it was launched (Unix time, by the clock of its host); None: not known.
        took: Seconds from then until it was ready, or done; None: not known.
        waited: Seconds that its launch waited for others.
        waited_for: For whom it waited last.
        given_up: Who was not known to be ready when it was launched all the same.
        note: Why it is not known how long it took; empty if it is.
    """

    host: str
    instance_id: str
    launched_at: float | None = None
    took: float | None = None
    waited: float = 0.0
    waited_for: tuple[str, ...] = ()
    given_up: tuple[str, ...] = ()
    note: str = ""

    @property
    def ready_at(self) -> float:
        """When it was ready; 0 if that is not known."""
        return (
            0.0 if self.took is None or self.launched_at is None else self.launched_at + self.took
        )

    @property
    def due_at(self) -> float:
        """When it would have been launched without the others; 0 if that is not known."""
        return (self.launched_at or 0.0) - self.waited


def start_time(agent: AgentStatus) -> StartTime | None:
    """The latest start of an agent; None if there is nothing to say, as of one that is down."""
    try:
        return _start_time(agent)
    except Exception as error:  # other managers, other data: it costs this agent only
        note = f"its manager sent invalid data ({type(error).__name__}: {error})"
        return StartTime(agent.host, agent.instance_id, note=note)


def _start_time(agent: AgentStatus) -> StartTime | None:
    wait = agent.get("start_wait") or {}
    start = StartTime(
        agent.host,
        agent.instance_id,
        launched_at=agent.get("started_at"),
        waited=float(wait.get("seconds") or 0.0),
        waited_for=tuple(map(str, wait.get("last") or ())),
        given_up=tuple(map(str, wait.get("given_up") or ())),
    )
    done, last_exit = agent.get("done"), agent.get("last_exit")
    if done and last_exit:
        launched_at = last_exit["time"] - last_exit["ran_for"]
        return replace(start, launched_at=launched_at, took=last_exit["ran_for"])
    if agent.state in ("start", "wait_start"):
        waiting = tuple(map(str, agent.get("waiting_for") or ()))
        note = str(agent.get("message") or "") if waiting else "is being launched"
        return StartTime(agent.host, agent.instance_id, waited_for=waiting, note=note)
    if agent.state != "up":
        return None
    ready_at = agent.get("ready_at")
    if ready_at is not None and start.launched_at is not None:
        return replace(start, took=max(0.0, ready_at - start.launched_at))
    return replace(start, note=_unknown(agent))


def _unknown(agent: AgentStatus) -> str:
    """Why it is not known when an agent that runs was ready."""
    if agent.get("health") is None:
        return "it has no heartbeats that tell when it was ready"
    if agent.get("heartbeat_age") is not None:
        return "taken over: it was launched before its manager was started"
    return "nothing has been heard of it yet"


def first_starts(starts: Iterable[StartTime]) -> list[StartTime]:
    """The starts of one host that belong together, as after a boot; in the order of their ends."""
    group: list[StartTime] = []
    end = 0.0
    for start in sorted((s for s in starts if s.took is not None), key=lambda s: s.due_at):
        if group and start.due_at > end + START_GAP:
            break
        group.append(start)
        end = max(end, start.ready_at)
    return sorted(group, key=lambda each: each.ready_at)


def chain(start: StartTime, starts: Mapping[str, StartTime]) -> list[StartTime]:
    """What held back a start: it, the one it waited for last, and so on.

    Args:
        start: The start.
        starts: Those of all agents that were asked for, by instance-id.
    """
    links = [start]
    while True:
        others = [
            starts.get(name)
            or StartTime("", name, note="its manager was not asked, or does not answer")
            for name in links[-1].waited_for
            if all(name != link.instance_id for link in links)
        ]
        if not others:
            return links
        links.append(max(others, key=lambda other: other.ready_at))


def first_launches(starts: Sequence[StartTime]) -> dict[str, float]:
    """When the start of each host began (Unix time)."""
    return {
        host: min(each.due_at for each in group) for host, group in _first_starts(starts).items()
    }


def critical_chains(
    starts: Sequence[StartTime], named: Collection[str], hosts: Collection[str]
) -> list[list[StartTime]]:
    """The chains of the agents that are named; of none: of the last to be ready on these hosts."""
    by_id = {start.instance_id: start for start in starts}
    if named:
        chosen = [start for start in starts if start.instance_id in named]
    else:
        chosen = [group[-1] for host, group in _first_starts(starts).items() if host in hosts]
    return [chain(start, by_id) for start in chosen]


def _first_starts(starts: Sequence[StartTime]) -> dict[str, list[StartTime]]:
    hosts = dict.fromkeys(start.host for start in starts)
    groups = {host: first_starts(s for s in starts if s.host == host) for host in hosts}
    return {host: group for host, group in groups.items() if group}
