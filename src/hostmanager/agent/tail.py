"""Answers to `output`: the newest lines that an agent printed, with their times."""

import asyncio
from collections.abc import Mapping
from typing import Any

from hostmanager.agent.history import Query, QueryError, check_query
from hostmanager.agent.host import Host
from hostmanager.core.model import InstanceSpec, Kind
from hostmanager.scribe.names import checked, existing
from hostmanager.scribe.reading import newest_lines


def check_output_query(params: Mapping[str, Any]) -> Query:
    """Check the parameters as they came from a client.

    Raises:
        QueryError: One of them makes no sense.
    """
    query = check_query({**params, "limit": params["lines"]}, limit_name="lines")
    if query.instance_id is None:
        raise QueryError("'instance_id' must be the name of an instance.")
    try:
        checked(query.instance_id)
    except ValueError as error:
        raise QueryError(f"'instance_id': {error}") from None
    return query


async def answer_output(host: Host, session: Any, params: Mapping[str, Any]) -> tuple[bool, str]:
    """Read the lines into the data of the session: from files, or from a container's log."""
    try:
        query = check_output_query(params)
    except QueryError as error:
        return False, str(error)
    assert query.instance_id is not None
    life = host.snapshot.get(query.instance_id)
    if life is not None and life.spec.kind is Kind.DOCKER:
        return await _answer_from_log(host, session, life.spec, query)
    folder = host.settings.output_dir
    lines = await asyncio.to_thread(
        newest_lines, folder, query.instance_id, query.limit, query.since
    )
    files = await asyncio.to_thread(existing, str(folder), query.instance_id)
    session.data = {
        "instance_id": query.instance_id,
        "lines": [[when, text] for when, text in lines],
        "file": str(folder / f"{query.instance_id}.out"),
        "files": files,
    }
    if not lines and not files:
        return False, f"There is no output of '{query.instance_id}' in {folder}."
    return True, f"{len(lines)} lines."


async def _answer_from_log(
    host: Host, session: Any, spec: InstanceSpec, query: Query
) -> tuple[bool, str]:
    """What a container wrote is kept by the engine, as long as there is the container."""
    ok, text, lines = await host.dockers.output(spec, query.limit, query.since or 0.0)
    session.data = {
        "instance_id": spec.instance_id,
        "lines": [[when, line] for when, line in lines],
        "file": None,
        "files": [],
    }
    return ok, text
