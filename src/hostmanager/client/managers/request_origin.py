"""Who makes a request, and why: what a client says of itself to managers that keep it."""

import argparse
import getpass
import socket
from collections.abc import Iterable, Mapping
from typing import Any

from hostmanager.core.request_origin import (
    MAX_REASON_CHARS,
    MAX_REQUESTER_CHARS,
    RequestOrigin,
    text_problem,
)

CHANGING_OPERATIONS = frozenset(
    {"manager", "update", "restart", "die", "docker_pull", "remove_orphans", "silence"}
)
"""The operations that change something."""

PARAMETERS_KEY = "request_params"
"""Key in the session data of `manager`: which of the parameters here its operations take."""


def command_origin(args: argparse.Namespace) -> RequestOrigin:
    """The origin of the requests of this command line, or of a user whom `requested_by` names."""
    requester = getattr(args, "requested_by", None)
    return RequestOrigin(
        _requester() if requester is None else requester, getattr(args, "reason", None) or ""
    )


def origin_params(origin: RequestOrigin, taken: Iterable[str]) -> dict[str, str]:
    """The parameters of a request to a manager that takes these."""
    values = {"reason": origin.reason, "requested_by": origin.requested_by}
    return {name: value for name, value in values.items() if value and name in taken}


def taken_parameters(session: Mapping[str, Any]) -> frozenset[str]:
    """Which parameters a manager takes, by its `manager` session; none for other managers."""
    names = (session.get("data") or {}).get(PARAMETERS_KEY)
    return frozenset(map(str, names)) if isinstance(names, list) else frozenset()


def reason_problem(text: str) -> str:
    """What is wrong with a reason; empty if it can be kept."""
    if not text.strip():
        return "it is empty; write why, in a few words"
    problem = text_problem(text.strip(), MAX_REASON_CHARS)
    return f"it {problem}" if problem else ""


def _requester() -> str:
    """``user@host``, as this program finds it: nobody has proved it."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, in a container
        user = "?"
    name = f"{user}@{socket.gethostname()}"
    return "" if text_problem(name, MAX_REQUESTER_CHARS) else name
