"""Getting the output of agents from their managers, and putting it in order. No printing."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from hostmanager.client.manager_client import (
    FailureKind,
    ManagerClient,
    ManagerError,
    run_parallel,
    within,
)
from hostmanager.client.status.model import AgentStatus

MOST = 10_000
"""Lines of an agent that a manager gives at most at a time, and that are shown unless told."""


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of output.

    Attributes:
        time: When it was written (Unix); None: nobody knows.
        host: Of the agent.
        instance_id: Whose.
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
        row: Whose.
        manager: Whom to ask.
        trouble: Why there was no answer the last time.
        cut: Whether there were more lines than were asked for the last time.
    """

    row: AgentStatus
    manager: ManagerClient
    trouble: str = ""
    silent: bool = False
    cut: bool = False
    _latest: float | None = None
    _seen: list[str] = field(default_factory=list)

    def read(self, lines: int, since: float | None, limit: float) -> list[LogLine]:
        """Ask for lines; those that were given before are left out.

        Raises:
            AskError: No answer.
        """
        start = self._latest if self._latest is not None else since
        pairs: list[tuple[float | None, str]] = []
        place: dict[str, Any] = {}
        while True:
            page = self._page(min(lines - len(pairs), MOST), start, limit, place)
            pairs = [(when, str(text)) for when, text in page["lines"]] + pairs
            older = page.get("older")
            self.cut = bool(page.get("cut"))
            if older is None or not page["lines"] or len(pairs) >= lines:
                return self._new(pairs)
            place = {"before": older}

    def _page(
        self, lines: int, since: float | None, limit: float, place: dict[str, Any]
    ) -> Mapping[str, Any]:
        name = self.row.instance_id
        params = {"instance_id": name, "lines": lines, "since": since, **place}
        reply = within(limit, partial(self.manager.run, "output", limit, **params))
        if "lines" not in reply.data:
            raise ManagerError(FailureKind.REFUSED, reply.text or "it has no output of it")
        return reply.data

    def _new(self, pairs: Sequence[tuple[float | None, str]]) -> list[LogLine]:
        """Leave out what was there before: lines of the latest moment are given again."""
        known = _count_repeated(self._seen, [text for when, text in pairs if when == self._latest])
        found = []
        for when, text in pairs:
            if known and when is not None and when == self._latest:
                known -= 1
                continue
            found.append(LogLine(when, self.row.host, self.row.instance_id, text))
        times = [when for when, _ in pairs if when is not None]
        if times:
            newest = max(times)
            self._seen = [text for when, text in pairs if when == newest]
            self._latest = newest
        return found


def _count_repeated(seen: list[str], now: list[str]) -> int:
    """How many lines of one moment are old: those seen, and those before them.

    The first answer can begin in the middle of a moment, since only so many lines were asked for.
    """
    for start in range(len(now) - len(seen) + 1) if seen else ():
        if now[start : start + len(seen)] == seen:
            return start + len(seen)
    return 0


def read_all(
    sources: Iterable[LogSource], lines: int, since: float | None, limit: float
) -> list[LogLine]:
    """Ask for the lines of all, each host's agents one after the other, the hosts at once."""
    by_host: dict[str, list[LogSource]] = {}
    for source in sources:
        by_host.setdefault(source.row.host, []).append(source)
    work = {host: _of_host(group, lines, since, limit) for host, group in by_host.items()}
    found: list[LogLine] = []
    for host, answer in run_parallel(work, None).items():  # each page has its time
        if isinstance(answer, ManagerError):
            for source in by_host[host]:
                source.trouble, source.silent = str(answer), answer.kind is not FailureKind.REFUSED
        else:
            found += answer
    return sort_by_time(found)


def _of_host(
    sources: Sequence[LogSource], lines: int, since: float | None, limit: float
) -> Callable[[], list[LogLine]]:
    def work() -> list[LogLine]:
        found: list[LogLine] = []
        for source in sources:
            try:
                found += source.read(lines, since, limit)
                source.trouble, source.silent = "", False
            except ManagerError as error:
                source.trouble, source.silent = str(error), error.kind is not FailureKind.REFUSED
                if source.silent:
                    raise
        return found

    return work


def sort_by_time(lines: Sequence[LogLine]) -> list[LogLine]:
    """Sort by time; a line without one stands where it stood among those of its agent."""
    keyed = []
    latest: dict[tuple[str, str], float] = {}
    for index, line in enumerate(lines):
        who = line.host, line.instance_id
        when = line.time if line.time is not None else latest.get(who, float("-inf"))
        latest[who] = max(when, latest.get(who, when))
        keyed.append((latest[who], index, line))
    return [line for _, _, line in sorted(keyed, key=lambda item: item[:2])]
