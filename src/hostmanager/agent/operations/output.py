"""The operation `output`: the newest lines that agents printed, with their times.

They are read from files, or from a container's log. A long result is cut into pages: each names
where the next older lines are.
"""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ocs import ocs_agent

from hostmanager.agent.operations.history import check_query, is_integer
from hostmanager.agent.operations.operation import ManagedHost, TaskResult, operation
from hostmanager.agent.parts import ManagerParts
from hostmanager.core.model import InstanceSpec, Kind
from hostmanager.core.requests import RequestError
from hostmanager.journal import Query
from hostmanager.logd.paths import list_log_files, log_file, validate_id
from hostmanager.logd.reader import Position, TimedLine, newest_page, tail

MAX_LINES_OF_ALL = 1000
"""Lines of all agents in one result."""

TaggedLine = tuple[float | None, str, str]
"""Time (Unix, or None), text, instance-id."""


def check_output_query(params: Mapping[str, Any]) -> tuple[Query, Position | None]:
    """Check the parameters as they came from a client.

    Raises:
        RequestError: One of them makes no sense.
    """
    renamed = {**params, "limit": params["lines"], "before": None}
    query = check_query(renamed, limit_name="lines")
    before = _position(params.get("before"))
    if query.instance_id is None:
        if query.limit > MAX_LINES_OF_ALL:
            raise RequestError(
                f"'lines' must be from 1 to {MAX_LINES_OF_ALL} for the output of all agents."
            )
        if before is not None:
            raise RequestError("'before' needs an 'instance_id': it is a position in its output.")
        return query, None
    try:
        validate_id(query.instance_id)
    except ValueError as error:
        raise RequestError(f"'instance_id': {error}") from None
    return query, before


def _position(value: Any) -> Position | None:
    if value is None:
        return None
    numbers = list(value) if isinstance(value, list | tuple) else []
    if len(numbers) != 2 or not all(is_integer(n) and 0 <= n < 2**63 for n in numbers):
        raise RequestError("'before' must be what a result has as 'older', or None.")
    return Position(*numbers)


@ocs_agent.param("instance_id", default=None)
@ocs_agent.param("lines", default=100)
@ocs_agent.param("since", default=None)
@ocs_agent.param("before", default=None)
@operation(journaled=False)
async def output(manager: ManagedHost, session: Any, params: dict[str, Any]) -> TaskResult:
    """output(instance_id=None, lines=100, since=None, before=None)

    **Task** - The newest lines that an agent printed, of earlier runs,
    too, with their times.

    Args:
      instance_id (str): whose. Default: the newest lines of all agents.
      lines (int): how many at most, 1 to 10000; of all agents: 1 to 1000.
      since (float): only those after this Unix time.
      before (list): only those before this position, which a reply has
        given as ``older``.

    Notes:
      The result is in ``session.data``: ``lines`` is a list of pairs (Unix
      time or null, text), the oldest first; of all agents it is a list of
      triples, with the instance_id as the third. ``file`` is where all of
      it is. Where there is more than was requested, or than fits into a
      reply, ``older`` is what to give as ``before`` for the next older
      lines; else it is null. Of a compose service they come from the log
      of its container, as long as there is one; ``file`` and ``older`` are
      null then. ``files`` are all that there are, older ones included.
      ``held_up``: whether newer output waits that cannot be written into ``file``.
    """
    query, before = check_output_query(params)
    data: dict[str, Any] = {
        "instance_id": query.instance_id,
        "lines": [],
        "file": None,
        "files": [],
        "cut": False,
        "older": None,
        "held_up": False,
    }
    session.data = data
    if query.instance_id is None:
        return await _read_all(manager.parts, data, query)
    record = manager.parts.snapshot.get(query.instance_id)
    if record is not None and record.spec.kind is Kind.DOCKER:
        return await _read_container(manager.parts, data, record.spec, query)
    return await _read_files(manager.parts, data, query.instance_id, query, before)


async def _read_files(
    parts: ManagerParts,
    data: dict[str, Any],
    instance_id: str,
    query: Query,
    before: Position | None,
) -> tuple[bool, str]:
    directory = parts.settings.output_dir
    page = await asyncio.to_thread(
        newest_page, directory, instance_id, query.limit, query.since, before
    )
    files = await asyncio.to_thread(list_log_files, str(directory), instance_id)
    # Not each time that somebody who follows it asks for what is new: it may take a second.
    sink = parts.log_daemon if query.since is None and before is None else None
    held_up = sink is not None and await asyncio.to_thread(sink.is_held_up, instance_id)
    older = page.older and [page.older.generation, page.older.offset]
    data |= {
        "lines": [[time, text] for time, text in page.lines],
        "file": log_file(str(directory), instance_id),
        "files": files,
        "cut": page.more,
        "older": older,
        "held_up": held_up,
    }
    if not page.lines and not files:
        return False, f"There is no output of '{instance_id}' in {directory}."
    hint = f" There are older ones: request those with before={older}." if older else ""
    return True, f"{len(page.lines)} lines.{hint}"


async def _read_container(
    parts: ManagerParts, data: dict[str, Any], spec: InstanceSpec, query: Query
) -> tuple[bool, str]:
    """The engine keeps the output of a container as long as the container exists."""
    ok, text, lines = await parts.compose.output(spec, query.limit, query.since or 0.0)
    data |= {"lines": [[time, line] for time, line in lines], "cut": len(lines) >= query.limit}
    return ok, text


async def _read_all(parts: ManagerParts, data: dict[str, Any], query: Query) -> tuple[bool, str]:
    """The newest lines of all that is tracked, in the order of their times."""
    specs = [record.spec for record in parts.snapshot.values()]
    agents = [spec.instance_id for spec in specs if spec.kind is Kind.HOST]
    services = [spec for spec in specs if spec.kind is Kind.DOCKER]
    lines = await asyncio.to_thread(_newest_of, parts.settings.output_dir, agents, query)
    logs = [parts.compose.output(spec, query.limit, query.since or 0.0) for spec in services]
    missing = []
    for spec, (ok, _, log) in zip(services, await asyncio.gather(*logs), strict=True):
        lines = _merge(lines, log, spec.instance_id, query.limit)
        missing += [] if ok else [spec.instance_id]
    data |= {"lines": [list(line) for line in lines], "cut": len(lines) == query.limit}
    note = f" Not available: that of {', '.join(missing)}." if missing else ""
    return True, f"{len(lines)} lines.{note}"


def _newest_of(directory: Path, ids: Sequence[str], query: Query) -> list[TaggedLine]:
    lines: list[TaggedLine] = []
    for instance_id in ids:
        newest = tail(directory, instance_id, query.limit, query.since)
        lines = _merge(lines, newest, instance_id, query.limit)
    return lines


def _merge(
    lines: list[TaggedLine], others: Sequence[TimedLine], instance_id: str, limit: int
) -> list[TaggedLine]:
    """The newest of both; a line of unknown time counts as older than all others."""
    tagged = [(time, text, instance_id) for time, text in others]
    return sorted(lines + tagged, key=lambda line: line[0] or 0.0)[-limit:]
