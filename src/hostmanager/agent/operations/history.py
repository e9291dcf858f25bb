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

from hostmanager.agent.operations.coroutine_operation import (
    ManagedHost,
    TaskResult,
    operation,
)
from hostmanager.journal import JournalError, Query

MAX_HISTORY_LIMIT = 10_000

MAX_PAGE_CHARS = 512 * 1024
"""Characters of text and data in one result: a page."""

LARGE_RESULT = 1000
RESULT_TTL = 60.0
"""A result of more than so many entries is forgotten after so many seconds."""


class QueryError(ValueError):
    """A parameter of `history` makes no sense; the text is for people."""


def is_integer(value: Any) -> bool:
    """Whether a parameter is a whole number; for JSON, True is not one."""
    return isinstance(value, int) and not isinstance(value, bool)


def check_query(params: Mapping[str, Any], limit_name: str = "limit") -> Query:
    """Check the parameters as they came from a client, who knows the limit by `limit_name`.

    Raises:
        QueryError: One of them makes no sense.
    """
    instance_id, limit, since = params["instance_id"], params["limit"], params["since"]
    before = params.get("before")
    if instance_id is not None and not isinstance(instance_id, str):
        raise QueryError("'instance_id' must be the name of an instance, or None for all.")
    if not is_integer(limit) or not 1 <= limit <= MAX_HISTORY_LIMIT:
        raise QueryError(f"'{limit_name}' must be a whole number from 1 to {MAX_HISTORY_LIMIT}.")
    if before is not None and not (is_integer(before) and 0 <= before < 2**63):
        raise QueryError("'before' must be the id of an entry, from 0 to 2**63 - 1, or None.")
    if since is not None:
        try:
            valid = not isinstance(since, bool) and math.isfinite(since)
        except (TypeError, OverflowError):
            valid = False
        if not valid:
            raise QueryError("'since' must be a Unix time in seconds, or None.")
        since = float(since)
    return Query(instance_id, limit, since, before, MAX_PAGE_CHARS)


@ocs_agent.param("instance_id", default=None)
@ocs_agent.param("limit", default=100)
@ocs_agent.param("since", default=None)
@ocs_agent.param("before", default=None)
@operation(journaled=False)
async def history(manager: ManagedHost, session: Any, params: dict[str, Any]) -> TaskResult:
    """history(instance_id=None, limit=100, since=None, before=None)

    **Task** - Show what happened: requests and their results, which agents
    were started, ended or changed their state, and when. It works, too, while
    the manager process is not running.

    Args:
      instance_id (str): only what concerns this agent, which need not
        exist any more. Default: everything.
      limit (int): the newest so many entries, from 1 to 10000.
      since (float): nothing from before this Unix time.
      before (int): only what is older than the entry of this id.

    Notes:
      The entries are in ``session.data['entries']``, the newest last::

        {'id': 7, 'time': 1700000000.5, 'kind': 'exit', 'instance_id': 'fake1',
         'text': 'exited with code 1 after 3.2 s, unexpectedly', 'data': {...}}

      The kinds are ``manager``, ``request``, ``result``, ``reload``,
      ``launch``, ``exit``, ``state``, ``output``, ``router`` and ``journal``.
      Where there are more than ``limit``, or than fit into a reply,
      ``session.data['older']`` is what to give as ``before`` for the next
      older ones; else it is null. A reply of more than 1000 entries is
      forgotten after a minute.
    """
    journal = manager.host.journal
    try:
        entries, has_older = await asyncio.to_thread(journal.page, check_query(params))
    except QueryError as error:
        return False, str(error)
    except JournalError as error:
        session.data = {"entries": [], "older": None, "trouble": str(error)}
        return False, str(error)
    older = entries[0]["id"] if has_older else None
    session.data = {
        "entries": entries,
        "older": older,
        "trouble": journal.error,
        "now": time.time(),  # so that a client need not trust its own clock
    }
    if len(entries) > LARGE_RESULT:
        asyncio.get_running_loop().call_later(RESULT_TTL, _forget, session)
    text = f"{len(entries)} entries."
    if older is not None:
        text += f" There are older ones: request those with before={older}."
    return True, text


def _forget(session: Any) -> None:
    session.data = {"entries": [], "older": None, "trouble": None}
