"""Answers to `output`: the newest lines that agents printed, with their times.

They are read from files, or from a container's log, and long answers are cut into pages: each says
where the next older lines are.
"""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hostmanager.agent.host import Host
from hostmanager.agent.operations.history import QueryError, check_query
from hostmanager.core.model import InstanceSpec, Kind
from hostmanager.journal import Query
from hostmanager.logd.paths import list_log_files, log_file, validate_id
from hostmanager.logd.reader import Position, TimedLine, newest_page, tail

MAX_LINES_OF_ALL = 1000
"""Lines of all agents in one answer."""

TaggedLine = tuple[float | None, str, str]
"""When (Unix time, or None), what, and whose."""


def check_output_query(params: Mapping[str, Any]) -> tuple[Query, Position | None]:
    """Check the parameters as they came from a client.

    Raises:
        QueryError: One of them makes no sense.
    """
    given = {**params, "limit": params["lines"], "before": None}
    query = check_query(given, limit_name="lines")
    before = _position(params.get("before"))
    if query.instance_id is None:
        if query.limit > MAX_LINES_OF_ALL:
            raise QueryError(
                f"'lines' must be from 1 to {MAX_LINES_OF_ALL} for the output of all agents."
            )
        if before is not None:
            raise QueryError("'before' needs an 'instance_id': it is a place in its output.")
        return query, None
    try:
        validate_id(query.instance_id)
    except ValueError as error:
        raise QueryError(f"'instance_id': {error}") from None
    return query, before


def _position(given: Any) -> Position | None:
    if given is None:
        return None
    numbers = list(given) if isinstance(given, list | tuple) else []
    whole = [n for n in numbers if isinstance(n, int) and not isinstance(n, bool)]
    if len(whole) != 2 or len(numbers) != 2 or not all(0 <= n < 2**63 for n in whole):
        raise QueryError("'before' must be what an answer has given as 'older', or None.")
    return Position(*whole)


async def run_output(host: Host, session: Any, params: Mapping[str, Any]) -> tuple[bool, str]:
    """Read the lines into the data of the session."""
    try:
        query, before = check_output_query(params)
    except QueryError as error:
        return False, str(error)
    if query.instance_id is None:
        return await _answer_of_all(host, session, query)
    life = host.snapshot.get(query.instance_id)
    if life is not None and life.spec.kind is Kind.DOCKER:
        return await _answer_from_log(host, session, life.spec, query)
    return await _answer_from_files(host, session, query.instance_id, query, before)


async def _answer_from_files(
    host: Host, session: Any, instance_id: str, query: Query, before: Position | None
) -> tuple[bool, str]:
    folder = host.settings.output_dir
    page = await asyncio.to_thread(
        newest_page, folder, instance_id, query.limit, query.since, before
    )
    files = await asyncio.to_thread(list_log_files, str(folder), instance_id)
    older = page.older and [page.older.generation, page.older.offset]
    session.data = {
        "instance_id": instance_id,
        "lines": [[when, text] for when, text in page.lines],
        "file": log_file(str(folder), instance_id),
        "files": files,
        "cut": page.more,
        "older": older,
    }
    if not page.lines and not files:
        return False, f"There is no output of '{instance_id}' in {folder}."
    more = f" There are older ones: ask for those with before={older}." if older else ""
    return True, f"{len(page.lines)} lines.{more}"


async def _answer_from_log(
    host: Host, session: Any, spec: InstanceSpec, query: Query
) -> tuple[bool, str]:
    """What a container wrote is kept by the engine, as long as there is the container."""
    ok, text, lines = await host.compose.output(spec, query.limit, query.since or 0.0)
    session.data = {
        "instance_id": spec.instance_id,
        "lines": [[when, line] for when, line in lines],
        "file": None,
        "files": [],
        "cut": len(lines) >= query.limit,
        "older": None,
    }
    return ok, text


async def _answer_of_all(host: Host, session: Any, query: Query) -> tuple[bool, str]:
    """The newest lines of all that is tracked, in the order of their times."""
    specs = [life.spec for life in host.snapshot.values()]
    on_host = [spec.instance_id for spec in specs if spec.kind is Kind.HOST]
    in_docker = [spec for spec in specs if spec.kind is Kind.DOCKER]
    lines = await asyncio.to_thread(_lines_of, host.settings.output_dir, on_host, query)
    logs = [host.compose.output(spec, query.limit, query.since or 0.0) for spec in in_docker]
    answers = await asyncio.gather(*logs)
    for spec, (_, _, found) in zip(in_docker, answers, strict=True):
        lines = _merged(lines, _tagged(found, spec.instance_id), query.limit)
    session.data = {
        "instance_id": None,
        "lines": [[when, text, instance_id] for when, text, instance_id in lines],
        "file": None,
        "files": [],
        "cut": len(lines) == query.limit,
        "older": None,
    }
    silent = [
        spec.instance_id for spec, (ok, _, _) in zip(in_docker, answers, strict=True) if not ok
    ]
    without = f" Not to be had: that of {', '.join(silent)}." if silent else ""
    return True, f"{len(lines)} lines.{without}"


def _lines_of(folder: Path, ids: Sequence[str], query: Query) -> list[TaggedLine]:
    lines: list[TaggedLine] = []
    for instance_id in ids:
        found = tail(folder, instance_id, query.limit, query.since)
        lines = _merged(lines, _tagged(found, instance_id), query.limit)
    return lines


def _tagged(lines: Sequence[TimedLine], instance_id: str) -> list[TaggedLine]:
    return [(when, text, instance_id) for when, text in lines]


def _merged(one: list[TaggedLine], other: list[TaggedLine], limit: int) -> list[TaggedLine]:
    """The newest of both; a line of unknown time counts as older than all others."""
    return sorted(one + other, key=lambda line: line[0] or 0.0)[-limit:]
