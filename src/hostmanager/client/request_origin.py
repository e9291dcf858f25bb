"""Who makes a request, and why: what a client says of itself to managers that keep it."""

import argparse
import getpass
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

MAX_REASON_CHARS = 200
"""Characters of a reason."""

CHANGING_OPERATIONS = frozenset(
    {"manager", "update", "restart", "die", "docker_pull", "remove_orphans"}
)
"""The operations that change something."""

PARAMETERS_KEY = "request_params"
"""Key in the session data of `manager`: which of the parameters here its operations take."""


@dataclass(frozen=True, slots=True)
class RequestOrigin:
    """Who makes a request, and why.

    Attributes:
        reason: Why; empty if nobody said.
        requested_by: ``user@host``, as this program finds it: nobody has proved it.
    """

    reason: str = ""
    requested_by: str = ""

    def params(self, taken: Iterable[str]) -> dict[str, str]:
        """The parameters of a request to a manager that takes these."""
        values = {"reason": self.reason, "requested_by": self.requested_by}
        return {name: value for name, value in values.items() if value and name in taken}


def origin_of(args: argparse.Namespace) -> RequestOrigin:
    """The origin of the requests of this command line."""
    return RequestOrigin(getattr(args, "reason", "") or "", _requester())


def taken_parameters(session: Mapping[str, Any]) -> frozenset[str]:
    """Which parameters a manager takes, by its `manager` session; none for other managers."""
    names = (session.get("data") or {}).get(PARAMETERS_KEY)
    return frozenset(map(str, names)) if isinstance(names, list) else frozenset()


def reason_problem(text: str) -> str:
    """What is wrong with a reason; empty if it can be kept."""
    if not text.strip():
        return "it is empty; write why, in a few words"
    if len(text) > MAX_REASON_CHARS:
        return f"it has {len(text)} characters; at most {MAX_REASON_CHARS} are kept"
    if not text.isprintable():
        return "it has a line break or another control character; write it on one line"
    return ""


def _requester() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, in a container
        user = "?"
    name = f"{user}@{socket.gethostname()}"
    return name if name.isprintable() else ""
