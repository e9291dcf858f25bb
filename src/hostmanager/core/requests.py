"""Requests of operators: validated as a whole before anything is done.

A request list comes from a client and can contain anything. Either every request in it is
valid, or none is applied, and the error names the invalid one.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from reprlib import Repr
from typing import Any

from hostmanager.core.model import Target
from hostmanager.util.text import closest_match

ALL = "all"
"""In place of an instance-id: every tracked instance (contract, section 4)."""

MAX_REQUESTS = 10_000
"""Requests in one list."""

_TARGETS = (Target.UP.value, Target.DOWN.value)
_MAX_SHOWN_CHARS = 60
_REPR = Repr()  # for any depth and any length
_REPR.maxstring = _REPR.maxother = _MAX_SHOWN_CHARS


class RequestError(ValueError):
    """An invalid request; the text is for operators."""


@dataclass(frozen=True, slots=True)
class Request:
    """A target for one instance, or for `ALL`."""

    instance_id: str
    target: Target

    def __str__(self) -> str:
        """Return ``fake1 up``."""
        return f"{self.instance_id} {self.target}"


def validate_requests(
    requests: Any, known: Iterable[str], removing: Mapping[str, str]
) -> list[Request]:
    """Check a list of requests as it came from a client.

    Args:
        requests: Anything; should be a list of ``(instance_id, target_state)``.
        known: The instances that can be requested.
        removing: Instances that are being removed, and why they cannot be requested up.

    Raises:
        RequestError: One of them is invalid; names it, and the hint.
    """
    if not isinstance(requests, (list, tuple)):
        raise RequestError(
            f"'requests' is {_quote(requests)}, but must be a list of pairs such as "
            "[['fake1', 'up'], ['all', 'down']]. Nothing was changed."
        )
    _check_length("requests", requests)
    ids = dict.fromkeys(known)
    return _drop_overridden(
        [_check_one(n, r, ids, removing) for n, r in enumerate(requests, start=1)]
    )


def _check_length(name: str, entries: Sequence[Any]) -> None:
    if len(entries) > MAX_REQUESTS:
        raise RequestError(
            f"'{name}' has {len(entries):,} entries, and the limit is {MAX_REQUESTS:,}; "
            "'all' stands for every instance. Nothing was changed."
        )


def _drop_overridden(requests: list[Request]) -> list[Request]:
    """Leave out requests that a later one overrides: the last one for an instance counts."""
    overridden: set[str] = set()
    kept: list[Request] = []
    for request in reversed(requests):
        if request.instance_id not in overridden and ALL not in overridden:
            kept.append(request)
        overridden.add(request.instance_id)
    return kept[::-1]


def validate_instances(
    instances: Any, known: Iterable[str], removing: Mapping[str, str]
) -> list[str]:
    """Check a list of instance-ids as it came from a client.

    Args:
        instances: Anything; should be a list of ids, or one id, or `ALL`.
        known: The instances that can be requested.
        removing: Instances that are being removed, and why nothing can be requested of them.

    Returns:
        Each once, in the order of the first mention.

    Raises:
        RequestError: One of them is invalid; names it, and the hint.
    """
    if isinstance(instances, str):
        instances = [instances]
    if not isinstance(instances, (list, tuple)) or not instances:
        raise RequestError(
            f"'instances' is {_quote(instances)}, but must be a list of instance-ids such as "
            "['fake1', 'fake2'], or ['all']. Nothing was changed."
        )
    _check_length("instances", instances)
    ids = dict.fromkeys(known)
    for number, instance_id in enumerate(instances, start=1):
        _check_id(f"Instance {number}, {_quote(instance_id)}", instance_id, ids, removing)
    chosen = ids if ALL in instances else instances
    return list(dict.fromkeys(chosen))


def _check_id(
    subject: str, instance_id: Any, known: Mapping[str, None], removing: Mapping[str, str]
) -> None:
    # Strings first: lists and dictionaries cannot even be looked up.
    if isinstance(instance_id, str) and instance_id in removing:
        raise RequestError(f"{subject}: {removing[instance_id]} Nothing was changed.")
    is_known = isinstance(instance_id, str) and (instance_id == ALL or instance_id in known)
    if not is_known:
        raise RequestError(
            f"{subject}: no instance {_quote(instance_id)} is managed here"
            f"{_suggestion(instance_id, (*known, ALL))}. Nothing was changed."
        )


def _check_one(
    number: int, request: Any, known: Mapping[str, None], removing: Mapping[str, str]
) -> Request:
    subject = f"Request {number}, {_quote(request)}"
    if not isinstance(request, (list, tuple)) or len(request) != 2:
        raise RequestError(
            f"{subject}, is not a pair (instance_id, target_state) such as ['fake1', 'up']. "
            "Nothing was changed."
        )
    instance_id, target = request
    if not isinstance(target, str) or target not in _TARGETS:
        hint = _suggestion(target, _TARGETS)
        raise RequestError(
            f"{subject}: the target state {_quote(target)} is not known; it must be 'up' or "
            f"'down'{hint}. Nothing was changed."
        )
    is_being_removed = isinstance(instance_id, str) and instance_id in removing
    if not is_being_removed or target == Target.UP:
        _check_id(subject, instance_id, known, removing)
    return Request(instance_id, Target(target))


def _suggestion(word: Any, words: Iterable[str]) -> str:
    match = closest_match(word, words)
    return f" (did you mean '{match}'?)" if match else ""


def _quote(value: Any) -> str:
    text = _REPR.repr(value)
    return text if len(text) <= _MAX_SHOWN_CHARS else text[: _MAX_SHOWN_CHARS - 1] + "…"
