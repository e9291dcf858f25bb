"""Who requested something, and why.

OCS knows the credential level of a client, and nothing else about it. What a client says of
itself (`requested_by`) is kept beside that as its word: nobody has proved it (docs/security.md).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hostmanager.core.requests import RequestError

REQUEST_PARAMS = ("reason", "requested_by")
"""The optional parameters of operations that change something."""

MAX_REASON_CHARS = 200
MAX_REQUESTER_CHARS = 120
"""Characters of a reason, and of ``user@host``."""


@dataclass(frozen=True, slots=True)
class RequestOrigin:
    """Who requested something, and why.

    Attributes:
        requested_by: ``user@host``, the client's word; empty if it gave none.
        reason: Why; empty if no reason was given.
        level: The client's credential level by OCS; None: no client made the request.
        at: When it came, Unix time; None if that was not kept.
    """

    requested_by: str = ""
    reason: str = ""
    level: int | None = None
    at: float | None = None

    @property
    def author(self) -> str:
        """Who, in a few words: ``ann@control, level 1``; empty if no client made the request."""
        if self.level is None:
            return self.requested_by
        return f"{self.requested_by or 'client'}, level {self.level}"


def text_problem(text: str, limit: int) -> str:
    """What is wrong with a text that others will read on one line; empty: nothing."""
    if len(text) > limit:
        return f"has {len(text):,} characters, and the limit is {limit}"
    if not text.isprintable():
        return "has a line break or another control character; write it on one line"
    return ""


def validate_origin(params: Mapping[str, Any]) -> tuple[str, str]:
    """Check who and why, as they came from a client; returns `requested_by` and the reason.

    Raises:
        RequestError: One of them is not a short text on one line; nothing was changed.
    """
    requested_by = _checked("requested_by", params.get("requested_by"), MAX_REQUESTER_CHARS)
    return requested_by, _checked("reason", params.get("reason"), MAX_REASON_CHARS)


def _checked(name: str, value: Any, limit: int) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise RequestError(f"'{name}' must be a text, or null. Nothing was changed.")
    text = value.strip()
    if problem := text_problem(text, limit):
        raise RequestError(f"'{name}' {problem}. Nothing was changed.")
    return text
