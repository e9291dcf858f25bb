"""Reads the journals of managers, page by page, and merges them by time."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from hostmanager.client.errors import ManagerError
from hostmanager.client.manager_client import (
    ManagerClient,
    OperationResult,
    run_parallel,
    run_with_limit,
)
from hostmanager.client.status.selection import is_pattern, matches

MAX_PAGE_ENTRIES = 10_000

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
    """

    patterns: Sequence[str]
    kinds: Sequence[str]
    since: float | None
    limit: int
    is_limited_by_default: bool = True

    def selects(self, entry: Mapping[str, Any]) -> bool:
        """Whether an entry is selected."""
        if self.patterns and not matches(str(entry["instance_id"] or ""), self.patterns):
            return False
        return not self.kinds or entry["kind"] in self.kinds


@dataclass(frozen=True, slots=True)
class JournalEntries:
    """The entries of one journal.

    Attributes:
        entries: The newest last.
        error: What is wrong with the journal; empty: nothing.
        note: Where there are more, how to get them; empty: there are no more.
    """

    entries: list[dict[str, Any]]
    error: str = ""
    note: str = ""


def read_journals(
    managers: Mapping[str, ManagerClient], query: JournalQuery, answer_timeout: float
) -> dict[str, list[JournalEntries] | ManagerError]:
    """Read the journals of these managers at the same time; several results if ids are named."""
    names: Sequence[str | None] = [None]
    if query.patterns and not any(is_pattern(pattern) for pattern in query.patterns):
        names = query.patterns

    def job(manager: ManagerClient) -> Callable[[], list[JournalEntries]]:
        return lambda: [read_journal(manager, query, name, answer_timeout) for name in names]

    return run_parallel({host: job(manager) for host, manager in managers.items()}, None)


def read_journal(
    manager: ManagerClient, query: JournalQuery, name: str | None, answer_timeout: float
) -> JournalEntries:
    """Read the journal of a manager, of one agent or (None) of all.

    Raises:
        ManagerError: No answer.
    """
    entries: list[dict[str, Any]] = []
    position: dict[str, Any] = {}
    # What is selected here can be rare.
    is_filtered = bool(query.kinds or (query.patterns and name is None))
    size = MAX_PAGE_ENTRIES if is_filtered else min(query.limit, MAX_PAGE_ENTRIES)
    params = {"instance_id": name, "limit": size, "since": query.since}
    while True:
        request = partial(manager.run, "history", answer_timeout, **params, **position)
        result = run_with_limit(answer_timeout, request)
        page = result.data.get("entries", [])
        entries = [entry for entry in page if query.selects(entry)] + entries
        error = str(result.data.get("trouble") or ("" if result.ok else result.text))
        older = result.data.get("older")
        if error or older is None or not page or len(entries) >= query.limit:
            note = _truncation_note(result, query, is_more=older is not None, count=len(entries))
            return JournalEntries(entries[-query.limit :], error, note)
        position = {"before": older}


def _truncation_note(
    result: OperationResult, query: JournalQuery, *, is_more: bool, count: int
) -> str:
    if TOO_LARGE in result.text:  # a manager without pages
        return f"{result.text} Ask for less: an agent, --kind or --since."
    is_truncated = is_more or count > query.limit
    if is_truncated and query.since is not None and query.is_limited_by_default:
        return f"these are the newest {query.limit} entries; -n {10 * query.limit} shows more."
    return ""
