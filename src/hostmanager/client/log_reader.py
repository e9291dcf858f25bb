"""Reads the output of agents from their managers, and merges it by time. No printing."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from hostmanager.client.errors import FailureKind, ManagerError
from hostmanager.client.manager_client import ManagerClient, run_parallel, run_with_limit
from hostmanager.client.status.model import AgentStatus

MAX_LINES_PER_REQUEST = 10_000
"""Lines of an agent that a manager gives at a time, and that are shown by default."""


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of output.

    Attributes:
        time: When it was written (Unix); None: unknown.
        host: Of the agent.
        instance_id: Of the agent.
        text: Without its end.
    """

    time: float | None
    host: str
    instance_id: str
    text: str

    def as_json(self) -> dict[str, object]:
        """As programs get it."""
        return {
            "time": self.time,
            "host": self.host,
            "instance_id": self.instance_id,
            "text": self.text,
        }


@dataclass(slots=True)
class LogSource:
    """The output of one agent, read again and again.

    Attributes:
        agent: The agent.
        manager: Its manager.
        error: Why the last request failed; empty if it did not.
        unreachable: Whether that is because its manager does not answer.
        truncated: Whether there were more lines than the last request asked for.
    """

    agent: AgentStatus
    manager: ManagerClient
    error: str = ""
    unreachable: bool = False
    truncated: bool = False
    _latest: float | None = None
    _lines_at_latest: list[str] = field(default_factory=list)

    def read(self, lines: int, since: float | None, limit: float) -> list[LogLine]:
        """Request lines, page by page; those that were returned before are left out.

        Raises:
            ManagerError: No answer.
        """
        start = self._latest if self._latest is not None else since
        pairs: list[tuple[float | None, str]] = []
        position: dict[str, Any] = {}
        while True:
            page = self._page(
                min(lines - len(pairs), MAX_LINES_PER_REQUEST), start, limit, position
            )
            pairs = [(when, str(text)) for when, text in page["lines"]] + pairs
            older = page.get("older")
            self.truncated = bool(page.get("cut"))
            if older is None or not page["lines"] or len(pairs) >= lines:
                return self._without_known(pairs)
            position = {"before": older}

    def _page(
        self, lines: int, since: float | None, limit: float, position: dict[str, Any]
    ) -> Mapping[str, Any]:
        params = {
            "instance_id": self.agent.instance_id,
            "lines": lines,
            "since": since,
            **position,
        }
        result = run_with_limit(limit, partial(self.manager.run, "output", limit, **params))
        if "lines" not in result.data:
            raise ManagerError(FailureKind.REFUSED, result.text or "it has no output of it")
        return result.data

    def _without_known(self, pairs: Sequence[tuple[float | None, str]]) -> list[LogLine]:
        """Leave out what was returned before: the lines of the latest moment come again."""
        at_latest = [text for when, text in pairs if when == self._latest]
        known = _count_repeated(self._lines_at_latest, at_latest)
        lines = []
        for when, text in pairs:
            if known and when is not None and when == self._latest:
                known -= 1
                continue
            lines.append(LogLine(when, self.agent.host, self.agent.instance_id, text))
        times = [when for when, _ in pairs if when is not None]
        if times:
            self._latest = max(times)
            self._lines_at_latest = [text for when, text in pairs if when == self._latest]
        return lines

    def note_error(self, error: ManagerError | None) -> None:
        """Keep why the last request failed."""
        self.error = "" if error is None else str(error)
        self.unreachable = error is not None and error.unreachable


def _count_repeated(known: list[str], lines: list[str]) -> int:
    """How many lines of one moment are old: the known ones, and those before them.

    The first page can begin in the middle of a moment, since it has a limited number of lines.
    """
    for start in range(len(lines) - len(known) + 1) if known else ():
        if lines[start : start + len(known)] == known:
            return start + len(known)
    return 0


def read_all(
    sources: Iterable[LogSource], lines: int, since: float | None, limit: float
) -> list[LogLine]:
    """Read the lines of all: hosts at the same time, the agents of a host one after the other."""
    by_host: dict[str, list[LogSource]] = {}
    for source in sources:
        by_host.setdefault(source.agent.host, []).append(source)
    jobs = {host: _host_job(group, lines, since, limit) for host, group in by_host.items()}
    merged: list[LogLine] = []
    for host, result in run_parallel(jobs, None).items():  # each page has a limit
        if isinstance(result, ManagerError):
            for source in by_host[host]:
                source.note_error(result)
        else:
            merged += result
    return sort_by_time(merged)


def _host_job(
    sources: Sequence[LogSource], lines: int, since: float | None, limit: float
) -> Callable[[], list[LogLine]]:
    def job() -> list[LogLine]:
        merged: list[LogLine] = []
        for source in sources:
            try:
                merged += source.read(lines, since, limit)
                source.note_error(None)
            except ManagerError as error:
                source.note_error(error)
                if error.unreachable:
                    raise
        return merged

    return job


def sort_by_time(lines: Sequence[LogLine]) -> list[LogLine]:
    """Sort by time; a line without one keeps its place among those of its agent."""
    keyed = []
    latest: dict[tuple[str, str], float] = {}
    for index, line in enumerate(lines):
        agent = line.host, line.instance_id
        when = line.time if line.time is not None else latest.get(agent, float("-inf"))
        latest[agent] = max(when, latest.get(agent, when))
        keyed.append((latest[agent], index, line))
    return [line for _, _, line in sorted(keyed, key=lambda item: item[:2])]
