"""Instances whose lock is held by who cannot be told: looked at again until that is over.

The holder may be another user's (an agent that was started with `sudo`), of another container
that shares the state folder, or just forked by a manager that is dead. Whatever it is, it
inherited the lock, so something of the instance is alive: nothing may be launched beside it.
"""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Any

from hostmanager.core.events import Gone, LostSight
from hostmanager.core.model import Found
from hostmanager.core.ports import Report
from hostmanager.drivers.process.ownership import Ownership

log = logging.getLogger(__name__)

LOOK_AGAIN = 1.0
"""Seconds between two looks, and after which one that was not possible is tried again."""

Known = Callable[[Found, int | None], None]
"""Takes who holds the lock, and a pidfd of the leader, once that can be told."""

Look = tuple[Found | None, int | None, str]


@dataclass(frozen=True, slots=True)
class _Watched:
    """One instance."""

    instance_id: str
    report: Report
    known: Known


class Unseen:
    """Watches the locks.

    Args:
        owner: Tells who holds them.
        ask: Has a thread look something up, and tells on the loop.
        loop: For the time.
    """

    def __init__(
        self,
        owner: Ownership,
        ask: Callable[[Callable[[], Any], Callable[["Future[Any]"], None]], None],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._owner = owner
        self._ask = ask
        self._loop = loop
        self.watched: set[str] = set()

    def watch(self, instance_id: str, report: Report, known: Known) -> None:
        """Report that the instance is out of sight, and `Gone` once its lock is free.

        Where the holder can be told after all, `known` is called instead.
        """
        self.watched.add(instance_id)
        self._look(_Watched(instance_id, report, known))

    def _look(self, watched: _Watched) -> None:
        question = partial(_look, self._owner, watched.instance_id)
        self._ask(question, partial(self._looked, watched))

    def _looked(self, watched: _Watched, future: "Future[Look]") -> None:
        try:
            found, pidfd, why = future.result()
        except (OSError, MemoryError) as error:  # no descriptors left, say: nothing is known
            log.warning("cannot see who holds the lock of %s: %r", watched.instance_id, error)
            found, pidfd, why = Found(None, 0.0, ""), None, "It is not known whether it runs."
        watched.report(LostSight(why))
        if found is not None and found.pid is None and not found.others:
            self._loop.call_later(LOOK_AGAIN, self._look, watched)
            return
        self.watched.discard(watched.instance_id)
        if found is None:
            watched.report(Gone())
        else:
            watched.known(found, pidfd)


def _look(owner: Ownership, instance_id: str) -> Look:
    found = owner.holding(instance_id, sure=False)
    if found is None:
        return None, None, ""
    return found, owner.open_leader(instance_id, found), owner.why_held(instance_id)
