"""Reads the journals of managers, page by page, and merges them by time."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from hostmanager.client.errors import ManagerError, split_results
from hostmanager.client.history.crash_loops import JournalEntry, fold_cycles
from hostmanager.client.manager_time import by_manager_clock
from hostmanager.client.managers.manager_client import ManagerClient, OperationResult
from hostmanager.client.managers.parallel import ask_pages, run_parallel
from hostmanager.client.status.selection import is_pattern, matches

ENTRY_KINDS = (
    *("manager", "request", "result", "reload", "launch", "exit", "state", "output"),
    *("health", "router", "journal"),
)
"""Kinds of entries."""

MAX_PAGE_ENTRIES = 10_000

GROWTH = 10
"""So many times as many entries are read where crash loops leave few lines."""

TOO_LARGE = "would have made the answer too large"
"""What managers without pages answer when they have truncated a journal."""


@dataclass(frozen=True, slots=True)
class JournalQuery:
    """A selection of entries.

    Attributes:
        patterns: Instance-ids and patterns of them; empty: all.
        kinds: Kinds of entries; empty: all.
        since: Unix time of the oldest; None: any.
        limit: Entries, the newest.
        is_limited_by_default: Whether that is a default, so that a note mentions it.
        until: Unix time before which all are; None: any.
    """

    patterns: Sequence[str]
    kinds: Sequence[str]
    since: float | None
    limit: int
    is_limited_by_default: bool = True
    until: float | None = None

    def selects(self, entry: Mapping[str, Any]) -> bool:
        """Whether an entry is selected."""
        if self.patterns and not matches(str(entry["instance_id"] or ""), self.patterns):
            return False
        if self.until is not None and entry["time"] >= self.until:
            return False
        return not self.kinds or entry["kind"] in self.kinds

    @property
    def selecting(self) -> dict[str, Any]:
        """The parameters by which a manager selects itself; those of 0.1 know none of them."""
        given = {"kinds": list(self.kinds) or None, "until": self.until}
        return {name: value for name, value in given.items() if value is not None}


@dataclass(frozen=True, slots=True)
class JournalEntries:
    """The entries of one journal.

    Attributes:
        entries: The newest last.
        error: What is wrong with the journal; empty: nothing.
        note: Where there are more, how to get them; empty: there are no more.
        has_older: Whether there are older ones.
        now: Unix time by the manager's clock; None: it did not report it.
    """

    entries: list[dict[str, Any]]
    error: str = ""
    note: str = ""
    has_older: bool = False
    now: float | None = None


@dataclass(frozen=True, slots=True)
class SiteJournals:
    """The journals of several hosts.

    Attributes:
        results: By host: its journal (several parts if ids are named), or why there is none.
        folds: Whether a crash loop is one line.
    """

    results: Mapping[str, list[JournalEntries] | ManagerError]
    folds: bool = False

    @property
    def errors(self) -> dict[str, ManagerError]:
        """Why there is no journal, by host."""
        return split_results(self.results)[1]

    @property
    def parts(self) -> list[tuple[str, JournalEntries]]:
        """What was read, with its host."""
        read, _ = split_results(self.results)
        return [(host, part) for host, parts in read.items() for part in parts]

    @property
    def has_older(self) -> bool:
        """Whether there are older entries."""
        return any(part.has_older for _, part in self.parts)

    def lines(self) -> list[JournalEntry]:
        """All entries, each with its host, the newest last."""
        entries = [{"host": host, **entry} for host, part in self.parts for entry in part.entries]
        if not self.folds:
            return sorted(entries, key=lambda entry: entry["time"])
        known = {host: part.now for host, part in self.parts if part.now is not None}
        return fold_cycles(entries, dict.fromkeys(self.results, time.time()) | known)


def read_journals(
    managers: Mapping[str, ManagerClient],
    query: JournalQuery,
    answer_timeout: float,
    *,
    folds: bool = False,
) -> SiteJournals:
    """Read the journals of these managers at the same time.

    Args:
        managers: By host.
        query: Which entries.
        answer_timeout: Seconds for each page.
        folds: Whether a crash loop is one line. Then as many entries are read as make so many
            lines: a loop of hours fills thousands. Most journals need one request.
    """
    limit = query.limit
    while True:
        wanted = replace(query, limit=limit)
        journals = SiteJournals(_read_all(managers, wanted, answer_timeout), folds)
        if not folds or not journals.has_older or limit >= MAX_PAGE_ENTRIES:
            return journals
        if len(journals.lines()) >= query.limit:
            return journals
        limit = min(limit * GROWTH, MAX_PAGE_ENTRIES)


def _read_all(
    managers: Mapping[str, ManagerClient], query: JournalQuery, answer_timeout: float
) -> dict[str, list[JournalEntries] | ManagerError]:
    names: Sequence[str | None] = [None]
    if query.patterns and not any(is_pattern(pattern) for pattern in query.patterns):
        names = query.patterns

    def read(manager: ManagerClient) -> list[JournalEntries]:
        return [read_journal(manager, query, name, answer_timeout) for name in names]

    return run_parallel({host: partial(read, each) for host, each in managers.items()}, None)


def read_journal(
    manager: ManagerClient, query: JournalQuery, name: str | None, answer_timeout: float
) -> JournalEntries:
    """Read the journal of a manager, of one agent or (None) of all.

    Raises:
        ManagerError: No answer.
    """
    params = {"instance_id": name, "since": by_manager_clock(manager, query.since, answer_timeout)}
    try:
        return _read_pages(manager, query, params | query.selecting, answer_timeout)
    except ManagerError as error:
        if error.unreachable or not query.selecting:
            raise
    return _read_pages(manager, query, params, answer_timeout)


def _read_pages(
    manager: ManagerClient, query: JournalQuery, params: dict[str, Any], answer_timeout: float
) -> JournalEntries:
    entries: list[dict[str, Any]] = []
    # What is selected here, not by the manager, can be rare.
    is_filtered = bool(query.patterns and params["instance_id"] is None)
    is_filtered = is_filtered or not query.selecting.keys() <= params.keys()
    params["limit"] = MAX_PAGE_ENTRIES if is_filtered else min(query.limit, MAX_PAGE_ENTRIES)
    for result in ask_pages(manager, "history", answer_timeout, **params):
        page = result.data.get("entries", [])
        entries = [entry for entry in page if query.selects(entry)] + entries
        error = str(result.data.get("trouble") or ("" if result.ok else result.text))
        older = result.data.get("older")
        if error or not page or len(entries) >= query.limit:
            break
    note = _truncation_note(result, query, is_more=older is not None, count=len(entries))
    has_older = older is not None or len(entries) > query.limit
    now = result.data.get("now")
    return JournalEntries(entries[-query.limit :], error, note, has_older, now)


def _truncation_note(
    result: OperationResult, query: JournalQuery, *, is_more: bool, count: int
) -> str:
    if TOO_LARGE in result.text:  # a manager without pages
        return f"{result.text} Ask for less: an agent, --kind or --since."
    is_truncated = is_more or count > query.limit
    if is_truncated and query.since is not None and query.is_limited_by_default:
        return f"these are the newest {query.limit} entries; -n {10 * query.limit} shows more."
    return ""
