"""What happened, from one view of the manager to the next: sentences, and a verdict.

Remembers whether every agent that should be up ever was, and how often one died and came back.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hostmanager.client.status.model import AgentStatus, last_exit_text
from hostmanager.core.health import READY
from hostmanager.demo.status import Message, View
from hostmanager.util.text import format_duration, join_names

HINTS_HEADING = "Try in another terminal (the last one kills fake1)"

MIN_UPTIME = 2.0
"""Seconds after which a run counts: an agent that fails while it starts was never up."""

MAX_OUTPUT_LINES = 5
"""Lines of output that are shown of an agent that never got up."""


@dataclass(frozen=True, slots=True)
class DemoEvent:
    """One line for people: when, about what, and the sentence."""

    at: float
    subject: str
    text: str


@dataclass(slots=True)
class EventLog:
    """Everything that was seen so far.

    Attributes:
        view: The latest view.
        was_up: Instances that were up at least once, for `MIN_UPTIME` seconds.
        was_ready: Instances that were ready at least once: they answered. What has no heartbeats
            is ready when it is up.
        deaths: How often each died without a request to stop.
    """

    now: Callable[[], float] = time.time
    view: View = field(default_factory=View)
    was_up: set[str] = field(default_factory=set)
    was_ready: set[str] = field(default_factory=set)
    deaths: dict[str, int] = field(default_factory=dict)

    def update(self, view: View) -> list[DemoEvent]:
        """Take a view; return what is new in it, the oldest first."""
        before = {agent.instance_id: agent for agent in self.view.agents}
        events = [DemoEvent(at, "manager", text) for at, text in self._new_messages(view.messages)]
        for agent in view.agents:
            events += self._changes(before.pop(agent.instance_id, None), agent)
        events += [DemoEvent(self.now(), name, "is no longer managed") for name in sorted(before)]
        if view.problem and view.problem != self.view.problem:
            events.append(DemoEvent(self.now(), "demo", view.problem))
        self.view = view
        return sorted(events, key=lambda event: event.at)

    def _new_messages(self, messages: tuple[Message, ...]) -> tuple[Message, ...]:
        known = self.view.messages
        if not known or known[-1] not in messages:
            return messages
        newest = len(messages) - messages[::-1].index(known[-1])
        return messages[newest:]

    def _changes(self, before: AgentStatus | None, agent: AgentStatus) -> Iterator[DemoEvent]:
        name, uptime = agent.instance_id, agent.get("uptime")
        if agent.state == "up" and (uptime is None or uptime >= MIN_UPTIME):
            self.was_up.add(name)
            if agent.get("health") is None:
                self.was_ready.add(name)
        if agent.get("health") in READY:
            self.was_ready.add(name)
        last_exit = agent.get("last_exit")
        known_exit = before.get("last_exit") if before is not None else None
        if last_exit and last_exit != known_exit:
            if not last_exit["expected"] and not _is_same_exit(known_exit, last_exit):
                self.deaths[name] = self.deaths.get(name, 0) + 1
            yield DemoEvent(last_exit["time"], name, describe_exit(agent))
        if before is None or _state_key(before) != _state_key(agent):
            yield DemoEvent(self.now(), name, describe_state(agent))

    def never_up(self) -> list[AgentStatus]:
        """The instances that should be up and never were."""
        return [
            a for a in self.view.agents if a.target == "up" and a.instance_id not in self.was_up
        ]

    def awaited(self) -> list[str]:
        """The instances that should be up and have not been ready yet."""
        targets = [agent.instance_id for agent in self.view.agents if agent.target == "up"]
        return [name for name in targets if name not in self.was_ready]

    def all_ready(self) -> bool:
        """Whether every instance that should be up has been ready."""
        return bool(self.view.agents) and not self.awaited()

    def readiness(self) -> str:
        """Who is waited for, as a sentence."""
        awaited = self.awaited()
        if awaited:
            return f"Waiting for {join_names(awaited)} to be ready (registered with the router)."
        return "Every agent that should be up has registered with the router."

    def summary(self) -> str:
        """All of it in one line."""
        agents = self.view.agents
        if not agents:
            return "Summary: it ended before any agent was seen."
        targets = [agent for agent in agents if agent.target == "up"]
        up = sum(agent.instance_id in self.was_up for agent in targets)
        back = {agent.instance_id for agent in agents if agent.state == "up"}
        died = [
            f"{name} died {count_text(count)}" + (" and came back" if name in back else "")
            for name, count in sorted(self.deaths.items())
        ]
        got_up = f"{up} of {len(targets)} agents that should be up got up"
        awaited = self.awaited()
        not_ready = [f"{join_names(awaited)} did not register with the router"] if awaited else []
        return f"Summary: {'; '.join([got_up, *not_ready, *died])}."


def _state_key(agent: AgentStatus) -> tuple[Any, ...]:
    return agent.state, agent.target, agent.get("pid"), agent.get("health")


def _is_same_exit(before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> bool:
    """Whether both are the same exit: its last output may be read a moment later."""
    return before is not None and {**before, "output": None} == {**after, "output": None}


def describe_state(agent: AgentStatus) -> str:
    """Say the state of an instance."""
    pid = agent.get("pid")
    text = f"state {agent.state} (target {agent.target}){'' if pid is None else f', pid {pid}'}"
    health, message = agent.get("health"), agent.get("message")
    text += "" if health is None else f", health {health}"
    return f"{text}. {message}" if message else text


def describe_exit(agent: AgentStatus) -> str:
    """Say how a run ended."""
    assert agent.child is not None
    last_exit = agent.child["last_exit"]
    how = f"({last_exit_text(agent.child)}) after {format_duration(last_exit['ran_for'])}"
    if last_exit["expected"]:
        return f"stopped as requested {how}"
    output = last_exit["output"]
    return f"died {how}" + (f', its last output: "{output[-1]}"' if output else "")


def count_text(count: int) -> str:
    """Say how often."""
    return {1: "once", 2: "twice"}.get(count, f"{count} times")


def output_tail(agent: AgentStatus) -> list[str]:
    """The last lines that an instance wrote, from what the manager knows or from its file."""
    last_exit = agent.get("last_exit")
    if last_exit and last_exit["output"]:
        return [str(line) for line in last_exit["output"][-MAX_OUTPUT_LINES:]]
    try:
        text = Path(agent.get("output") or "").read_text(errors="replace")
    except OSError:
        return []
    return text.splitlines()[-MAX_OUTPUT_LINES:]
