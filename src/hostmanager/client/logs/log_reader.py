"""Reads the output of agents from their managers, and merges it by time. No printing."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice

from hostmanager.client.errors import FailureKind, ManagerError
from hostmanager.client.logs.log_filter import (
    FollowedFilter,
    LogFilter,
    LogLine,
    LogRecord,
    split_records,
)
from hostmanager.client.logs.log_runs import find_run
from hostmanager.client.manager_time import RelativeTime, by_manager_clock
from hostmanager.client.managers.manager_client import ManagerClient
from hostmanager.client.managers.parallel import ask_pages, run_parallel, run_with_limit
from hostmanager.client.status.model import AgentStatus
from hostmanager.util.grouping import group_pairs

MAX_LINES_PER_REQUEST = 10_000
"""Lines of an agent that a manager gives at a time, and that are shown by default."""


@dataclass(slots=True)
class LogSource:
    """The output of one agent, read again and again.

    Attributes:
        agent: The agent.
        manager: Its manager.
        selection: Which lines are wanted.
        since: Unix time of the oldest line; None: any, or that of the request.
        until: Unix time at which what is wanted ends; None: never.
        error: Why the last request failed; empty if it did not.
        unreachable: Whether that is because its manager does not answer.
        truncated: Whether there were more lines than the last request asked for.
        held_up: Whether there is newer output that its manager cannot get into its file.
        is_readable: Whether it is read; else the error says why it is not.
        max_pages: Pages of a manager's answers that one request reads, the newest; None: all.
    """

    agent: AgentStatus
    manager: ManagerClient
    selection: LogFilter = field(default_factory=LogFilter)
    since: float | None = None
    until: float | None = None
    error: str = ""
    unreachable: bool = False
    truncated: bool = False
    held_up: bool = False
    is_readable: bool = True
    max_pages: int | None = None
    _latest: float | None = None
    _lines_at_latest: list[str] = field(default_factory=list)
    _followed: FollowedFilter | None = None

    def read(self, lines: int, limit: float) -> list[LogLine]:
        """Request the newest lines that are selected; those that were returned before are left out.

        Args:
            lines: How many; 0: none of those that are there now. Records are whole.
            limit: Seconds for each answer.

        Raises:
            ManagerError: No answer.
        """
        self.use_manager_clock(limit)
        if self._latest is not None and self._followed is not None:
            return self._followed.select(self._read_new(lines, limit))
        records = self._read_records(lines, limit)
        return [line for record in records for line in record.lines]

    def use_manager_clock(self, limit: float) -> None:
        """Turn ages (``--since 10m``) into times by the manager's clock.

        Raises:
            ManagerError: No answer.
        """
        if isinstance(self.since, RelativeTime) or isinstance(self.until, RelativeTime):
            self.since, self.until = run_with_limit(
                limit,
                lambda: (
                    by_manager_clock(self.manager, self.since, limit),
                    by_manager_clock(self.manager, self.until, limit),
                ),
            )

    def _read_new(self, lines: int, limit: float) -> list[LogLine]:
        """The lines since the last request."""
        new: list[LogLine] = []
        for page in self._pages(lines, self._latest, limit):
            new = page + new
            if len(new) >= lines:
                break
        return self._without_known(new)

    def _read_records(self, lines: int, limit: float) -> list[LogRecord]:
        """The newest records with so many lines together; one line of one record more at most."""
        filtered = self.until is not None or self.selection.is_active
        size = MAX_LINES_PER_REQUEST if filtered or not lines else lines
        chosen: list[LogRecord] = []  # the newest first
        rest: list[LogLine] = []  # of a record that begins in an older page
        count = 0
        for number, page in enumerate(self._pages(size, self.since, limit)):
            records = self._records([line for line in page if self._is_wanted(line)] + rest)
            rest = []
            if not number:
                self._note_latest(page)
                self._begin_following(records, shown=not lines)
            if self.truncated and records and records[0].is_headless:
                rest = records.pop(0).lines
            for record in reversed(records):
                if count >= lines:
                    self.truncated = True
                    return chosen[::-1]
                if self.selection.matches(record):
                    chosen.append(record)
                    count += len(record.lines)
            if count >= lines:
                break
        return chosen[::-1]

    def _records(self, lines: list[LogLine]) -> list[LogRecord]:
        if self.selection.is_active:
            return split_records(lines)
        return [LogRecord([line]) for line in lines]

    def _begin_following(self, records: Sequence[LogRecord], *, shown: bool) -> None:
        self._followed = FollowedFilter(self.selection)
        if records:
            last = records[-1]
            self._followed.begin_with(last, shown=shown or self.selection.matches(last))

    def _is_wanted(self, line: LogLine) -> bool:
        return self.until is None or (line.time is not None and line.time < self.until)

    def _pages(self, lines: int, since: float | None, limit: float) -> Iterator[list[LogLine]]:
        """Pages of lines, the newest page first."""
        host, name = self.agent.host, self.agent.instance_id
        params = {"lines": min(lines, MAX_LINES_PER_REQUEST), "since": since}
        pages = ask_pages(self.manager, "output", limit, instance_id=name, **params)
        self.held_up = False
        for result in islice(pages, self.max_pages):
            page = result.data
            if "lines" not in page:
                raise ManagerError(
                    FailureKind.REFUSED, result.text or "its manager has no output of it"
                )
            self.truncated = bool(page.get("cut"))
            self.held_up |= bool(page.get("held_up"))  # only the newest page says so
            yield [LogLine(when, host, name, str(text)) for when, text in page["lines"]]
            if not page["lines"]:
                return

    def _without_known(self, lines: Sequence[LogLine]) -> list[LogLine]:
        """Leave out what was returned before: the lines of the latest moment come again."""
        at_latest = [line.text for line in lines if line.time == self._latest]
        known = _count_repeated(self._lines_at_latest, at_latest)
        new = []
        for line in lines:
            if known and line.time is not None and line.time == self._latest:
                known -= 1
                continue
            new.append(line)
        self._note_latest(lines)
        return new

    def _note_latest(self, lines: Sequence[LogLine]) -> None:
        times = [line.time for line in lines if line.time is not None]
        if times:
            self._latest = max(times)
            self._lines_at_latest = [line.text for line in lines if line.time == self._latest]

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


def read_all(sources: Iterable[LogSource], lines: int, limit: float) -> list[LogLine]:
    """Read the lines of all: hosts at the same time, the agents of a host one after the other."""
    by_host = _by_host(sources)
    jobs = {host: partial(_read_host, group, lines, limit) for host, group in by_host.items()}
    merged: list[LogLine] = []
    for host, result in run_parallel(jobs, None).items():  # each page has a limit
        if isinstance(result, ManagerError):
            for source in by_host[host]:
                source.note_error(result)
        else:
            merged += result
    return sort_by_time(merged)


def limit_to_run(sources: Iterable[LogSource], back: int, limit: float) -> None:
    """Limit each source to one run of its agent, see `find_run`; notes there what cannot be."""
    jobs = {
        host: partial(_find_runs, group, back, limit) for host, group in _by_host(sources).items()
    }
    run_parallel(jobs, None)


def _by_host(sources: Iterable[LogSource]) -> dict[str, list[LogSource]]:
    return group_pairs((source.agent.host, source) for source in sources)


def _find_runs(sources: Iterable[LogSource], back: int, limit: float) -> None:
    for source in sources:
        try:
            source.use_manager_clock(limit)
            begin, end = find_run(source.manager, source.agent.instance_id, back, limit)
        except ManagerError as error:
            source.note_error(error)
            source.is_readable = False
            continue
        ends = [at for at in (end, source.until) if at is not None]
        source.since = begin if source.since is None else max(begin, source.since)
        source.until = min(ends, default=None)


def _read_host(sources: Iterable[LogSource], lines: int, limit: float) -> list[LogLine]:
    merged: list[LogLine] = []
    for source in sources:
        if not source.is_readable:
            continue
        try:
            merged += source.read(lines, limit)
            source.note_error(None)
        except ManagerError as error:
            source.note_error(error)
            if error.unreachable:
                raise
    return merged


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
