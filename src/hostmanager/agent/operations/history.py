"""The operation `history`: its parameters are checked, and its result is bounded.

OCS keeps the data of a session until the next one and sends it with each status, which ocs-web
requests each second. So a long result is cut into pages, each of which names the one before it,
and forgotten after a while.
"""

import asyncio
import math
import time
from collections.abc import Mapping
from typing import Any

from ocs import ocs_agent

from hostmanager.agent.operations.operation import ManagedHost, TaskResult, operation
from hostmanager.core.requests import RequestError
from hostmanager.journal import EntryKind, Journal, JournalError, Query

MAX_HISTORY_LIMIT = 10_000

MAX_COMPACT_LIMIT = 100_000
"""Entries in one result in the short form: a whole journal."""

MAX_PAGE_CHARS = 512 * 1024
"""Characters of text and data in one result: a page."""

LARGE_RESULT = 1000
RESULT_TTL = 60.0
"""Entries beyond which a result is forgotten, and seconds after which it is."""


KINDS = tuple(kind.value for kind in EntryKind)


def is_integer(value: Any) -> bool:
    """Whether a parameter is a whole number; for JSON, True is not one."""
    return isinstance(value, int) and not isinstance(value, bool)


def check_query(
    params: Mapping[str, Any], limit_name: str = "limit", max_limit: int = MAX_HISTORY_LIMIT
) -> Query:
    """Check the parameters as they came from a client, who knows the limit by `limit_name`.

    Raises:
        RequestError: One of them makes no sense.
    """
    instance_id, limit, since = params["instance_id"], params["limit"], params["since"]
    before, after, kinds = params.get("before"), params.get("after"), params.get("kinds")
    if instance_id is not None and not isinstance(instance_id, str):
        raise RequestError("'instance_id' must be the name of an instance, or None for all.")
    if not is_integer(limit) or not 1 <= limit <= max_limit:
        raise RequestError(f"'{limit_name}' must be a whole number from 1 to {max_limit}.")
    for name, value in (("before", before), ("after", after)):
        if value is not None and not (is_integer(value) and 0 <= value < 2**63):
            raise RequestError(
                f"'{name}' must be the id of an entry, from 0 to 2**63 - 1, or None."
            )
    since, until = _unix_time("since", since), _unix_time("until", params.get("until"))
    if kinds is not None and not (
        isinstance(kinds, list | tuple) and set(map(repr, kinds)) <= set(map(repr, KINDS))
    ):
        raise RequestError(f"'kinds' must be a list of these, or None: {', '.join(KINDS)}.")
    kinds = tuple(dict.fromkeys(kinds or ()))
    return Query(instance_id, limit, since, before, MAX_PAGE_CHARS, until, after, kinds)


def _unix_time(name: str, value: Any) -> float | None:
    if value is None:
        return None
    try:
        valid = not isinstance(value, bool) and math.isfinite(value)
    except (TypeError, OverflowError):
        valid = False
    if not valid:
        raise RequestError(f"'{name}' must be a Unix time in seconds, or None.")
    return float(value)


@ocs_agent.param("instance_id", default=None)
@ocs_agent.param("limit", default=100)
@ocs_agent.param("since", default=None)
@ocs_agent.param("before", default=None)
@ocs_agent.param("until", default=None)
@ocs_agent.param("after", default=None)
@ocs_agent.param("kinds", default=None)
@ocs_agent.param("compact", default=False)
@operation(journaled=False)
async def history(manager: ManagedHost, session: Any, params: dict[str, Any]) -> TaskResult:
    """history(instance_id, limit=100, since, before, until, after, kinds, compact=False)

    **Task** - Show what happened: requests and their results, which agents
    were started, ended or changed their state, and when. It works, too, while
    the manager process is not running.

    Args:
      instance_id (str): only what concerns this agent, which need not
        exist any more. Default: everything.
      limit (int): how many of the newest entries, 1 to 10000; with
        ``compact`` to 100000.
      since (float): nothing from before this Unix time.
      before (int): only what is older than the entry of this id.
      until (float): only what is from before this Unix time.
      after (int): only what is newer than the entry of this id.
      kinds (list): only entries of these kinds.
      compact (bool): a short form, for programs that draw a timeline.

    Notes:
      The entries are in ``session.data['entries']``, the newest last::

        {'id': 7, 'time': 1700000000.5, 'kind': 'exit', 'instance_id': 'fake1',
         'text': 'exited with code 1 after 3.2 s, unexpectedly', 'data': {...}}

      The kinds are ``manager``, ``request``, ``result``, ``reload``,
      ``launch``, ``exit``, ``state``, ``output``, ``health``, ``router`` and
      ``journal``.
      Where there are more than ``limit``, or than fit into a reply,
      ``session.data['older']`` is what to give as ``before`` for the next
      older ones; else it is null. A reply of more than 1000 entries is
      forgotten after a minute.
    """
    journal = manager.parts.journal
    try:
        data, count = await asyncio.to_thread(read_page, journal, params)
    except JournalError as error:
        session.data = {"entries": [], "older": None, "trouble": str(error)}
        return False, str(error)
    # The present, so that a client need not trust its own clock.
    session.data = {**data, "trouble": journal.error, "now": time.time()}
    if count > LARGE_RESULT:
        forgotten: dict[str, Any] = {"entries": [], "older": None, "trouble": None}
        asyncio.get_running_loop().call_later(RESULT_TTL, setattr, session, "data", forgotten)
    text = f"{count} entries."
    if data["older"] is not None:
        text += f" There are older ones: request those with before={data['older']}."
    return True, text


def read_page(journal: Journal, params: Mapping[str, Any]) -> tuple[dict[str, Any], int]:
    """Read the journal as a client wants it; waits for the disk.

    Returns:
        The data for the session, and how many entries it has.

    Raises:
        RequestError: A parameter makes no sense.
        JournalError: The journal cannot be read.
    """
    if not isinstance(params["compact"], bool):
        raise RequestError("'compact' must be True or False.")
    if params["compact"]:
        short = journal.compact_page(check_query(params, max_limit=MAX_COMPACT_LIMIT))
        return {"entries": [], "compact": short.text, "older": short.older}, short.count
    entries, has_older = journal.page(check_query(params))
    older = entries[0]["id"] if has_older else None
    return {"entries": entries, "older": older}, len(entries)
