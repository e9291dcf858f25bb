"""Silences: until when nothing is reported of an instance, who requested that, and why.

A silence mutes findings and alarms; it stops nothing, and nothing is supervised less. It ends by
itself. Times are those of the day, so that it holds over a boot. The manager of the host keeps it,
beside the targets (`target_store`), over every end of its own.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from hostmanager.core.request_origin import RequestOrigin, validate_origin
from hostmanager.core.requests import RequestError

MIN_SILENCE, MAX_SILENCE = 1.0, 90 * 86_400.0
"""Seconds that a silence may last: one of a year is a thing that nobody looks at any more."""


@dataclass(frozen=True, slots=True)
class Silence:
    """A silence: until it ends, nobody wants to hear of an instance.

    Attributes:
        since: Unix time at which it was asked for.
        until: Unix time at which it ends.
        requested_by: ``user@host``, the client's word; empty if it gave none.
        reason: Why; empty if no reason was given.
    """

    since: float
    until: float
    requested_by: str = ""
    reason: str = ""


def make_silence(seconds: Any, origin: RequestOrigin, now: float) -> Silence:
    """Make a silence from what a client asks for.

    Args:
        seconds: How long.
        origin: Who asks, and why.
        now: Unix time.

    Raises:
        RequestError: It makes no sense; the text is for people.
    """
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise RequestError("'seconds' must be a number: how long the silence lasts.")
    if not MIN_SILENCE <= seconds <= MAX_SILENCE:
        raise RequestError(
            f"'seconds' is {seconds:g}; a silence lasts from {MIN_SILENCE:g} s to "
            f"{MAX_SILENCE / 86_400:g} days."
        )
    return Silence(now, now + seconds, origin.requested_by, origin.reason)


def write_silences(silences: Mapping[str, Silence]) -> dict[str, Any]:
    """As they stand in the file."""
    return {instance_id: asdict(silence) for instance_id, silence in silences.items()}


def read_silences(data: Any) -> dict[str, Silence]:
    """The silences in a file. A malformed one is left out: at worst, somebody is warned."""
    silences = {}
    for instance_id, entry in data.items() if isinstance(data, dict) else ():
        try:
            requested_by, reason = validate_origin(entry)
            since, until = float(entry["since"]), float(entry["until"])
        except (TypeError, ValueError, KeyError, AttributeError, OverflowError, RequestError):
            continue
        if math.isfinite(since) and math.isfinite(until):
            silences[str(instance_id)] = Silence(since, until, requested_by, reason)
    return silences


def active(silences: Mapping[str, Silence], now: float) -> dict[str, Silence]:
    """The silences that have not ended."""
    return {name: silence for name, silence in silences.items() if now < silence.until}
