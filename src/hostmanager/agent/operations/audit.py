"""What the agent's face writes into the journal: who asked for what, and what came of it.

Two entries, not one: the first is there before anything follows from the request, and also
if the manager is killed in between. OCS tells of a client the level of its credentials, and
nothing more; so that is what is written down.
"""

import os
from collections.abc import Mapping, Sequence
from reprlib import Repr
from typing import Any

from hostmanager import __version__
from hostmanager.core.requests import ALL
from hostmanager.journal import Journal, Kind

LONGEST_LIST = 100
"""Requests in one call that get an entry each; of more, only the beginning is written down."""

PROBLEMS = 20

_REPR = Repr()  # stands any depth and any length
_REPR.maxstring = _REPR.maxother = 100
_REPR.maxlist = _REPR.maxtuple = 20


def record_request(
    journal: Journal, operation: str, session: Any, params: Mapping[str, Any]
) -> None:
    """Write down that an operation was asked for.

    Args:
        journal: Where to.
        operation: Its name; that of a signal, if it was one.
        session: OCS's session of it; None for signals.
        params: Its parameters, as they came from the client.
    """
    about, who = _operation_context(operation, session)
    pairs = _pairs(params.get("requests")) or _pairs(_restarts(params.get("instances")))
    listed = ("requests", "instances") if pairs else ()
    more = {name: value for name, value in params.items() if name not in listed}
    said = ", ".join(f"{name}={_REPR.repr(value)}" for name, value in more.items() if value)
    if said or not pairs:
        text = f"{operation}: {said}" if said else operation
        shown = {name: _REPR.repr(value) for name, value in more.items()}
        journal.record(Kind.REQUEST, f"{text}{who}", None, {**about, "params": shown})
    for instance_id, target in pairs:
        whom = None if instance_id == ALL else instance_id
        data = {**about, "request": [instance_id, target]}
        text = instance_id if target == operation else f"{instance_id} {target}"
        journal.record(Kind.REQUEST, f"{operation}: {text}{who}", whom, data)


def record_result(
    journal: Journal,
    operation: str,
    session: Any,
    params: Mapping[str, Any],
    result: tuple[bool, str],
) -> None:
    """Write down what came of it: whether all went well, and a sentence."""
    about, _ = _operation_context(operation, session)
    pairs = _pairs(params.get("requests")) or _pairs(_restarts(params.get("instances")))
    ids = {instance_id for instance_id, _ in pairs}
    whom = ids.pop() if len(ids) == 1 and ALL not in ids else None
    ok, text = result
    how = "" if ok else "failed: "
    journal.record(Kind.RESULT, f"{operation}: {how}{text}", whom, {**about, "ok": ok})


def site_read(journal: Journal, ok: bool, text: str, problems: Sequence[str]) -> None:
    """Write down how the site config was read."""
    data = {"ok": ok, "problems": list(problems[:PROBLEMS])}
    journal.record(Kind.RELOAD, f"site config: {text}", None, data)


def manager_started(journal: Journal) -> None:
    """Write down that this manager begins."""
    pid = os.getpid()
    data = {"event": "started", "pid": pid, "version": __version__}
    journal.record(Kind.MANAGER, f"host manager {__version__} started (pid {pid})", None, data)


def manager_ended(journal: Journal, exit_code: int) -> None:
    """Write down that this manager comes to its end by itself."""
    pid, clean = os.getpid(), exit_code == 0
    how = "ended" if clean else f"ended with exit status {exit_code}"
    data = {"event": "ended", "pid": pid, "version": __version__, "clean": clean}
    journal.record(Kind.MANAGER, f"host manager {how} (pid {pid})", None, data)


def router_went(journal: Journal, reason: str) -> None:
    """Write down that the router is gone."""
    text = "the router went; agents that have a crossbar_timeout end by themselves"
    journal.record(Kind.ROUTER, text, None, {"event": "went", "reason": reason})


def router_came(journal: Journal, away: float) -> None:
    """Write down that the router is there again."""
    text = f"the router came back after {away:.0f} s"
    journal.record(Kind.ROUTER, text, None, {"event": "came", "away": away})


def _operation_context(operation: str, session: Any) -> tuple[dict[str, Any], str]:
    if session is None:
        return {"operation": operation}, ""
    level = getattr(session, "cred_level", None)
    number = getattr(session, "session_id", None)
    return {"operation": operation, "level": level, "session": number}, f" (client, level {level})"


def _restarts(instances: Any) -> Any:
    """A list of instances that are to be restarted, in the form of requests."""
    return [(i, "restart") for i in instances] if isinstance(instances, list | tuple) else None


def _pairs(requests: Any) -> list[tuple[str, str]]:
    """The requests, if they have the form of some; whether they make sense, is seen later."""
    if not isinstance(requests, list | tuple) or len(requests) > LONGEST_LIST:
        return []
    pairs = [tuple(r) for r in requests if isinstance(r, list | tuple) and len(r) == 2]
    if len(pairs) < len(requests) or not all(isinstance(w, str) for pair in pairs for w in pair):
        return []
    return pairs
