"""What happened, from one look at the manager to the next: sentences, and a verdict.

Remembers what was seen, so that in the end it can be said whether every agent that should
be up ever was, and how often one died and came back.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from hostmanager.demo.view import Exit, Message, Row, View, length

HINTS_HEADING = "Try in another terminal (the last one kills fake1)"

SETTLED = 2.0
"""Seconds after which a run counts: an agent that fails while it starts was never up."""

LAST_LINES = 5
"""Lines of output that are shown of an agent that never got up."""


@dataclass(frozen=True, slots=True)
class Event:
    """One line for people: when, about what, and the sentence."""

    at: float
    about: str
    text: str


@dataclass(slots=True)
class EventLog:
    """All that was seen so far.

    Attributes:
        view: The latest look.
        was_up: Instances that were up at least once, for `SETTLED` seconds.
        deaths: How often each died without having been told to.
    """

    now: Callable[[], float] = time.time
    view: View = field(default_factory=View)
    was_up: set[str] = field(default_factory=set)
    deaths: dict[str, int] = field(default_factory=dict)

    def take(self, view: View) -> list[Event]:
        """Take in a look; return what is new in it, the oldest first."""
        before = {row.name: row for row in self.view.rows}
        lines = [Event(at, "manager", text) for at, text in self._new_messages(view.messages)]
        for row in view.rows:
            lines += self._changes(before.get(row.name), row)
        gone = before.keys() - {row.name for row in view.rows}
        lines += [Event(self.now(), name, "is no longer managed") for name in sorted(gone)]
        if view.problem and view.problem != self.view.problem:
            lines.append(Event(self.now(), "demo", view.problem))
        self.view = view
        return sorted(lines, key=lambda line: line.at)

    def _new_messages(self, messages: tuple[Message, ...]) -> tuple[Message, ...]:
        known = self.view.messages
        if not known or known[-1] not in messages:
            return messages
        newest = len(messages) - messages[::-1].index(known[-1])
        return messages[newest:]

    def _changes(self, before: Row | None, row: Row) -> Iterator[Event]:
        if row.state == "up" and (row.uptime is None or row.uptime >= SETTLED):
            self.was_up.add(row.name)
        ended = row.last_exit
        if ended is not None and (before is None or before.last_exit != ended):
            if not ended.expected and not (before and _is_same(before.last_exit, ended)):
                self.deaths[row.name] = self.deaths.get(row.name, 0) + 1
            yield Event(ended.at, row.name, ending(ended))
        if before is None or (before.state, before.target, before.pid) != (
            *(row.state, row.target, row.pid),
        ):
            yield Event(self.now(), row.name, present(row))

    def never_up(self) -> list[Row]:
        """The instances that should be up and never were."""
        return [r for r in self.view.rows if r.target == "up" and r.name not in self.was_up]

    def all_up(self) -> bool:
        """Whether every instance that should be up has been up."""
        return bool(self.view.rows) and not self.never_up()

    def summary(self) -> str:
        """All of it in one line."""
        if not self.view.rows:
            return "Summary: it ended before any agent was seen."
        wanted = [row for row in self.view.rows if row.target == "up"]
        up = sum(row.name in self.was_up for row in wanted)
        back = {row.name for row in self.view.rows if row.state == "up"}
        died = [
            f"{name} died {times(count)}" + (" and came back" if name in back else "")
            for name, count in sorted(self.deaths.items())
        ]
        got_up = f"{up} of {len(wanted)} agents that should be up got up"
        return f"Summary: {'; '.join([got_up, *died])}."


def present(row: Row) -> str:
    """Say how an instance is now."""
    pid = "" if row.pid is None else f", pid {row.pid}"
    text = f"state {row.state} (target {row.target}){pid}"
    return f"{text}. {row.message}" if row.message else text


def _is_same(before: Exit | None, ended: Exit) -> bool:
    """Whether it is the same end: what was said before it is read a moment later."""
    return before is not None and replace(before, output=()) == replace(ended, output=())


def ending(ended: Exit) -> str:
    """Say how a run ended."""
    ran = f"after {length(ended.ran_for)}"
    if ended.expected:
        return f"ended as told ({ended.text}) {ran}"
    words = f', saying "{ended.output[-1]}"' if ended.output else ""
    return f"died ({ended.text}) {ran}{words}"


def times(count: int) -> str:
    """Say how often."""
    return {1: "once", 2: "twice"}.get(count, f"{count} times")


def last_words(row: Row) -> list[str]:
    """The last lines that an instance wrote, from what the manager knows or from its file."""
    if row.last_exit is not None and row.last_exit.output:
        return list(row.last_exit.output[-LAST_LINES:])
    try:
        text = Path(row.output or "").read_text(errors="replace")
    except OSError:
        return []
    return text.splitlines()[-LAST_LINES:]
