"""What the manager writes into the journal: requests, their results, starts, ends, outages.

A request is two entries, not one: the first is written before anything follows from it, and also
if the manager is killed in between. OCS reports the credential level of a client; who it says it
is, and why it requests something, stands beside that as its word.
"""

import math
import os
import time
from collections.abc import Mapping, Sequence
from reprlib import Repr
from typing import Any

from hostmanager import __version__
from hostmanager.agent.monitoring.health_monitor import HealthChange
from hostmanager.core.request_origin import REQUEST_PARAMS, RequestOrigin
from hostmanager.core.requests import ALL
from hostmanager.journal import EntryKind, Journal
from hostmanager.util.text import format_duration

MAX_ENTRIES_PER_CALL = 100
"""Requests in one call that get an entry each; of more, only the beginning is written down."""

MAX_PROBLEMS = 20

_REPR = Repr()  # bounds any depth and any length
_REPR.maxstring = _REPR.maxother = 100
_REPR.maxlist = _REPR.maxtuple = 20


def session_origin(session: Any, params: Mapping[str, Any]) -> RequestOrigin:
    """Who started an operation, and why; the parameters have been checked."""
    level = getattr(session, "cred_level", None)
    return RequestOrigin(
        params.get("requested_by") or "",
        params.get("reason") or "",
        int(level) if isinstance(level, int) else None,
        time.time(),
    )


def request_message(text: str, origin: RequestOrigin) -> str:
    """What operators read of a request: by whom, what, and why."""
    author = f" by {origin.requested_by}" if origin.requested_by else ""
    return f"Request{author}: {text}" + (f" Reason: {origin.reason}" if origin.reason else "")


def record_request(
    journal: Journal, operation: str, session: Any, params: Mapping[str, Any]
) -> None:
    """Record a request for an operation.

    Args:
        journal: Where to.
        operation: Its name; that of a signal, if it was one.
        session: OCS's session of it; None for signals.
        params: Its parameters, as they came from the client.
    """
    context, client = _operation_context(operation, session, params)
    pairs = _request_pairs(operation, params)
    listed = (*REQUEST_PARAMS, *(("requests", "instances") if pairs else ()))
    length = ""
    if operation == "silence" and pairs:
        length, context["seconds"] = _silence_length(params)
        listed = (*listed, "seconds", "end")
    others = {name: value for name, value in params.items() if name not in listed}
    shown = {name: _REPR.repr(value) for name, value in others.items()}
    options = ", ".join(f"{name}={shown[name]}" for name, value in others.items() if value)
    if options or not pairs:
        text = f"{operation}: {options}" if options else operation
        journal.record(EntryKind.REQUEST, f"{text}{client}", None, {**context, "params": shown})
    for instance_id, target in pairs:
        text = instance_id if target == operation else f"{instance_id} {target}"
        journal.record(
            EntryKind.REQUEST,
            f"{operation}: {text}{length}{client}",
            None if instance_id == ALL else instance_id,
            {**context, "request": [instance_id, target]},
        )


def record_result(
    journal: Journal,
    operation: str,
    session: Any,
    params: Mapping[str, Any],
    result: tuple[bool, str],
) -> None:
    """Record the result of an operation: whether all went well, and a sentence."""
    context, _ = _operation_context(operation, session, params)
    ids = {instance_id for instance_id, _ in _request_pairs(operation, params)}
    instance_id = ids.pop() if len(ids) == 1 and ALL not in ids else None
    ok, text = result
    failed = "" if ok else "failed: "
    journal.record(
        EntryKind.RESULT, f"{operation}: {failed}{text}", instance_id, {**context, "ok": ok}
    )


def record_site_config(journal: Journal, ok: bool, text: str, problems: Sequence[str]) -> None:
    """Record how the site config was read."""
    data = {"ok": ok, "problems": list(problems[:MAX_PROBLEMS])}
    journal.record(EntryKind.RELOAD, f"site config: {text}", None, data)


def record_manager_start(journal: Journal) -> None:
    """Record the start of this manager."""
    _record_manager(journal, f"host manager {__version__} started", event="started")


def record_manager_end(journal: Journal, exit_code: int) -> None:
    """Record that this manager ends by itself."""
    how = "ended" if exit_code == 0 else f"ended with exit status {exit_code}"
    _record_manager(journal, f"host manager {how}", event="ended", clean=exit_code == 0)


def _record_manager(journal: Journal, text: str, **data: Any) -> None:
    pid = os.getpid()
    data |= {"pid": pid, "version": __version__}
    journal.record(EntryKind.MANAGER, f"{text} (pid {pid})", None, data)


def record_router_lost(journal: Journal, reason: str) -> None:
    """Record that the connection to the router was lost."""
    text = "the router went; agents that have a crossbar_timeout end by themselves"
    journal.record(EntryKind.ROUTER, text, None, {"event": "went", "reason": reason})


def record_router_back(journal: Journal, away: float) -> None:
    """Record that the router is back, and how long it was away."""
    text = f"the router came back after {away:.0f} s"
    journal.record(EntryKind.ROUTER, text, None, {"event": "came", "away": away})


def record_health(journal: Journal, change: HealthChange) -> None:
    """Record that the health of an instance has changed."""
    before = change.before.value if change.before else None
    text = f"{change.after}: {change.text}" if change.text else change.after.value
    data = {"from": before, "to": change.after.value}
    journal.record(EntryKind.HEALTH, text, change.instance_id, data)


def _operation_context(
    operation: str, session: Any, params: Mapping[str, Any]
) -> tuple[dict[str, Any], str]:
    if session is None:
        return {"operation": operation}, ""
    origin = session_origin(session, params)
    session_id = getattr(session, "session_id", None)
    context = {"operation": operation, "level": origin.level, "session": session_id}
    given = {"requested_by": origin.requested_by, "reason": origin.reason}
    context |= {name: text for name, text in given.items() if text}
    reason = f": {origin.reason}" if origin.reason else ""
    return context, f" ({origin.author}){reason}"


def _silence_length(params: Mapping[str, Any]) -> tuple[str, float | None]:
    """How long a silence is to last, in words and in seconds; None: it ends, or makes no sense."""
    seconds = params.get("seconds")
    if params.get("end"):
        return " ends", None
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds < math.inf:
        return "", None
    return f" for {format_duration(seconds)}", seconds


def _request_pairs(operation: str, params: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What is requested, by instance, if it has that form; not checked yet."""
    requests, instances = params.get("requests"), params.get("instances")
    if not requests and isinstance(instances, list | tuple):
        requests = [(instance_id, operation) for instance_id in instances]
    if not isinstance(requests, list | tuple) or len(requests) > MAX_ENTRIES_PER_CALL:
        return []
    pairs = [tuple(r) for r in requests if isinstance(r, list | tuple) and len(r) == 2]
    if len(pairs) < len(requests) or not all(isinstance(w, str) for pair in pairs for w in pair):
        return []
    return pairs
