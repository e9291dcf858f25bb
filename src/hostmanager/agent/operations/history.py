"""Answers to `history`: what was asked for is checked, and the answer kept in bounds.

OCS keeps the data of a session until the next one and sends it to whoever asks for the
status, as ocs-web does each second. So a long answer is cut into pages, of which each says how to
get the one before it, and forgotten after a while.
"""

import asyncio
import math
from collections.abc import Mapping
from typing import Any

from hostmanager.journal import Journal, JournalError, Query

MAX_HISTORY_ENTRIES = 10_000

MAX_PAGE_CHARS = 512 * 1024
"""Characters of text and data in one answer: a page."""

LARGE_RESULT = 1000
RESULT_TTL = 60.0
"""An answer of more than so many entries is forgotten after so many seconds."""


class QueryError(ValueError):
    """A parameter of `history` makes no sense; the text is for people."""


def check_query(params: Mapping[str, Any], limit_name: str = "limit") -> Query:
    """Check the parameters as they came from a client; `limit_name` is how he knows it.

    Raises:
        QueryError: One of them makes no sense.
    """
    instance_id, limit, since = params["instance_id"], params["limit"], params["since"]
    if instance_id is not None and not isinstance(instance_id, str):
        raise QueryError("'instance_id' must be the name of an instance, or None for all.")
    if (
        isinstance(limit, bool)
        or not isinstance(limit, int)
        or not 1 <= limit <= MAX_HISTORY_ENTRIES
    ):
        raise QueryError(f"'{limit_name}' must be a whole number from 1 to {MAX_HISTORY_ENTRIES}.")
    before = params.get("before")
    if before is not None and (isinstance(before, bool) or not isinstance(before, int)):
        raise QueryError("'before' must be the id of an entry, or None.")
    if before is not None and not 0 <= before < 2**63:
        raise QueryError("'before' must be the id of an entry, from 0 to 2**63 - 1.")
    if since is None:
        return Query(instance_id, limit, None, before, MAX_PAGE_CHARS)
    try:
        finite = not isinstance(since, bool) and math.isfinite(since)
    except (TypeError, OverflowError):
        finite = False
    if not finite:
        raise QueryError("'since' must be a Unix time in seconds, or None.")
    return Query(instance_id, limit, float(since), before, MAX_PAGE_CHARS)


async def run_history(
    journal: Journal, session: Any, params: Mapping[str, Any]
) -> tuple[bool, str]:
    """Read the journal in a worker thread and put what was found into the session's data."""
    try:
        query = check_query(params)
        entries, older = await asyncio.to_thread(_read, journal, query)
    except QueryError as error:
        return False, str(error)
    except JournalError as error:
        session.data = {"entries": [], "older": None, "trouble": str(error)}
        return False, str(error)
    session.data = {"entries": entries, "older": older, "trouble": journal.trouble}
    if len(entries) > LARGE_RESULT:
        asyncio.get_running_loop().call_later(RESULT_TTL, _forget, session)
    text = f"{len(entries)} entries."
    if older is not None:
        text += f" There are older ones: ask for those with before={older}."
    return True, text


def _read(journal: Journal, query: Query) -> tuple[list[dict[str, Any]], int | None]:
    """Read; returns the newest that fit into an answer, and before which entry there are more."""
    entries, more = journal.page(query)
    return entries, entries[0]["id"] if more else None


def _forget(session: Any) -> None:
    session.data = {"entries": [], "older": None, "trouble": None}
