"""What is wrong with a call from a client, before OCS's agent acts on it.

Anybody at the router can call with anything, and what OCS's agents accept is accepted here too:
clients send whatever they like as parameters of `status`, `wait`, `stop` and `abort`, ocs-web a
list (contract, section 7). So only what is used is looked at. What cannot be used gets an answer
that says so, where OCS would fail with a traceback.
"""

from math import isnan
from typing import Any

FORM = "A request has the form: action, operation, parameters, timeout, password."

LONGEST_WAIT = 1e9
"""Seconds; a client that asks for more waits as long as that."""


def misfit(
    action: Any, op_name: Any, params: Any = None, timeout: Any = None, password: Any = None
) -> str | None:
    """Tell what is wrong with a call of an operation; None: nothing.

    The parameters are those that the router passes on, whatever their types.

    Raises:
        TypeError: It does not even have these parts.
    """
    del timeout, password  # looked at where they are used, if they are
    if not isinstance(op_name, str):
        return f"{FORM} The operation must be a string."
    if action == "start" and not isinstance(params, dict | None):
        return f"{FORM} The parameters of 'start' must be named ones: a dictionary, or null."
    return None


def wait_seconds(timeout: Any) -> float | None:
    """Take the timeout of a `wait` that really waits.

    Raises:
        ValueError: It is no time; the text is for people.
    """
    if timeout is None:
        return None
    if not isinstance(timeout, int | float) or (isinstance(timeout, float) and isnan(timeout)):
        raise ValueError("The timeout of 'wait' must be a number of seconds, or null.")
    return min(timeout, LONGEST_WAIT)
