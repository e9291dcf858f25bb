"""Looks at calls from clients before OCS's agent does, which takes their form for granted.

Anybody at the router can call with anything. What does not have the form of a request gets
an answer that says so, instead of a traceback in the log of the manager.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

FORM = "A request has the form: action, operation, parameters, timeout, password."

_NAMES = ("action", "op_name", "params", "timeout", "password")


def misfit(args: Sequence[Any], kwargs: Mapping[str, Any]) -> str | None:
    """Tell what is wrong with the form of a call of an operation; None: nothing.

    Args:
        args: What was given by place: ``[action, operation, parameters, ...]``.
        kwargs: What was given by name.
    """
    given = dict(zip(_NAMES, args, strict=False))
    strangers = [repr(name)[:50] for name in kwargs if name not in _NAMES or name in given]
    if len(args) > len(_NAMES) or strangers:
        return f"{FORM} There is more than that: {', '.join(strangers) or len(args)}."
    given |= kwargs
    for name in ("action", "op_name"):
        if not isinstance(given.get(name), str):
            return f"{FORM} The {name} must be a word."
    if not isinstance(given.get("params"), dict | None):
        return f"{FORM} The parameters must be named ones: a dictionary."
    return None if _is_time(given.get("timeout")) else f"{FORM} The timeout must be in seconds."


def _is_time(value: Any) -> bool:
    if value is None:
        return True
    return isinstance(value, int | float) and -1e9 < value < 1e9 and math.isfinite(value)
