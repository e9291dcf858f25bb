"""What a kind of fault is, and the list of all kinds."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from tests.faults.environment import World


class NotNowError(Exception):
    """This fault makes no sense at this moment (the router is away, say); nothing was done."""


Inject = Callable[[World, Random], str]
"""Does it, and tells in a few words what was done."""


@dataclass(frozen=True)
class Kind:
    """A kind of fault.

    Attributes:
        name: For the table and ``--only``.
        weight: How often it is drawn, beside the others.
        inject: Does it.
        impossible: Why it cannot be done on this machine; empty if it can.
    """

    name: str
    weight: float
    inject: Inject
    impossible: Callable[[World], str] = lambda _world: ""


KINDS: dict[str, Kind] = {}


def kind(
    name: str, weight: float, impossible: Callable[[World], str] = lambda _world: ""
) -> Callable[[Inject], Inject]:
    """Put a function into the list of kinds."""

    def put(inject: Inject) -> Inject:
        KINDS[name] = Kind(name, weight, inject, impossible)
        return inject

    return put
