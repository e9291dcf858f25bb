"""A change of a site as one thing: what will happen, in words, and what carries it out.

Faces show it first, and carry it out once somebody has confirmed it.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from hostmanager.client.change.plan_text import PlanLine
from hostmanager.client.change.stops import Stops
from hostmanager.client.errors import ManagerError

NO_STOPS = Stops("stop")


@dataclass(frozen=True, slots=True)
class ProgressRow:
    """How far it is at one place.

    Attributes:
        host: The host.
        name: Of the agent, or of another part; empty: the host itself.
        state: ``pending``, ``done``, ``failed``, or ``left``: nobody waits for it any more.
        text: The same in words.
        output: The last output of an agent that died, or messages of a task.
        unreachable: Whether it failed because nobody answered.
    """

    host: str
    name: str
    state: str
    text: str
    output: tuple[str, ...] = ()
    unreachable: bool = False


class RunningChange(Protocol):
    """A change that is carried out."""

    @property
    def needs_password(self) -> str:
        """The refusal of a manager that another password would allow; empty: none."""

    def execute(self, refresh: Callable[[], None]) -> None:
        """Carry it out, and call `refresh` whenever something may have changed."""

    def cancel(self) -> None:
        """Wait no longer. What managers were requested is done all the same."""

    def rows(self) -> list[ProgressRow]:
        """How far it is."""

    def notices(self) -> list[str]:
        """What to know besides."""


@dataclass(frozen=True, slots=True)
class PreparedChange:
    """A change that can be carried out.

    Attributes:
        action: What is done: a key of `TIMEOUTS`, or ``die``.
        title: What will happen, in one clause: ``stop 3 agents on daq1``.
        lines: The same for each host and agent, with what is refused and why.
        stops: What would be stopped.
        hosts: The hosts that are concerned.
        start: Makes what carries it out; None: there is nothing to do.
        notice: What to know besides; may be empty.
        watched: What of the plan must still be the same when it is confirmed, in words.
        choices: What may be chosen besides: numbers of incidents, and what they are about.
        errors: Why nothing is done on some hosts.
        is_incomplete: Whether something else is left out, or not known.
        content: The plan as programs get it.
    """

    action: str
    title: str
    lines: Sequence[PlanLine]
    stops: Stops = NO_STOPS
    hosts: Sequence[str] = ()
    start: Callable[[], RunningChange] | None = field(default=None, compare=False, repr=False)
    notice: str = ""
    watched: Sequence[str] = ()
    choices: Sequence[tuple[int, str]] = ()
    errors: Mapping[str, ManagerError] = field(default_factory=dict)
    is_incomplete: bool = False
    content: Mapping[str, Any] = field(default_factory=dict)

    @property
    def shown(self) -> str:
        """Two plans have the same if they stop the same.

        Between showing a change and carrying it out the site may change, so it is prepared twice.
        """
        stopped = {host: sorted(ids) for host, ids in self.stops.agents.items() if ids}
        text = repr((self.action, self.stops.verb, sorted(stopped.items()), [*self.watched]))
        return hashlib.sha256(text.encode()).hexdigest()[:20]
