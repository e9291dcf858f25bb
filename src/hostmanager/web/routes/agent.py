"""The page of an agent: its state, what it uses, its newest output, what happened to it."""

import asyncio
import time
from functools import partial
from typing import Any

from aiohttp import web

from hostmanager.client.alarm_client import AlarmClient
from hostmanager.client.errors import ClientError
from hostmanager.client.history.crash_loops import fold_cycles
from hostmanager.client.history.journal_reader import JournalEntries, JournalQuery, read_journal
from hostmanager.client.history.resource_history import read_resources
from hostmanager.client.logs.log_runs import runs
from hostmanager.client.managers.manager_client import ManagerClient
from hostmanager.client.status.model import last_exit_sentence
from hostmanager.web.agent_reader import AgentReader
from hostmanager.web.context import args_of, shared_of, site_of
from hostmanager.web.pages import render
from hostmanager.web.routes.output import live_output
from hostmanager.web.svg.curves import curves
from hostmanager.web.views import agent as agent_view

RESOURCES_SECONDS = 15.0
"""For how long samples serve; there is a new one every 30 s."""

JOURNAL_SECONDS = 15.0
INCIDENTS_SECONDS = 5.0

READ_ENTRIES = 100
"""Entries of its history that are read, for the runs among them."""

SHOWN_ENTRIES = 12
SHOWN_RUNS = 10


async def show_agent(request: web.Request) -> web.Response:
    """The page of an agent."""
    reader = AgentReader.of(request)
    live, agent = site_of(request), reader.status
    name, age = agent.instance_id, live.age(agent.host)
    read_samples = partial(read_resources, instance_id=name, limit=reader.limit)
    resources, journal, output, incidents = await asyncio.gather(
        reader.ask("resources", RESOURCES_SECONDS, read_samples),
        reader.ask("journal", JOURNAL_SECONDS, partial(_journal, reader), version=live.version),
        live_output(reader),
        _incidents(reader),
    )
    now = time.time() if agent.now is None else agent.now + age
    entries = journal.data.entries if journal.data else []
    return render(
        request,
        "agent.html",
        agent=agent,
        host=reader.host,
        is_kept=reader.is_kept,
        age=age,
        now=now,
        facts=agent_view.facts(agent, now),
        next_attempt=agent_view.seconds_to_next_attempt(agent, age),
        operations=agent_view.operations(agent),
        setting_rows=agent_view.settings(agent),
        last_exit=last_exit_sentence(agent.child, now),
        last_lines=(agent.get("last_exit") or {}).get("output") or (),
        incidents=incidents,
        curves=curves(resources.data) if resources.data else [],
        curves_error=resources.error,
        entries=shown_entries(entries, agent.host, now),
        journal_error=journal.error or (journal.data.error if journal.data else ""),
        runs=runs(entries)[: -SHOWN_RUNS - 1 : -1],
        output=output,
    )


def _journal(reader: AgentReader, manager: ManagerClient) -> JournalEntries:
    name = reader.status.instance_id
    return read_journal(manager, JournalQuery([name], (), None, READ_ENTRIES), name, reader.limit)


def shown_entries(entries: list[dict[str, Any]], host: str, now: float) -> list[dict[str, Any]]:
    """The newest entries, the newest first; a crash loop is one line."""
    folded = fold_cycles([{"host": host, **entry} for entry in entries], {host: now})
    shown = [entry for entry in folded if entry["kind"] != "output"]
    return shown[: -SHOWN_ENTRIES - 1 : -1]


async def _incidents(reader: AgentReader) -> list[agent_view.NamedText]:
    """What the alarm service says of it; nothing if none runs, or the router is away."""
    request, agent = reader.request, reader.status
    live = site_of(request)
    if live.router_error is not None:
        return []
    options = args_of(request)
    client = AlarmClient(live.site, options)
    try:
        key = "incidents", str(options.password)
        status = await shared_of(request).answers.get(key, INCIDENTS_SECONDS, client.status)
    except ClientError:
        return []
    return agent_view.incidents_of(status, agent.host, agent.instance_id)


ROUTES = [web.get("/agent/{host}/{id:.+}", show_agent)]
