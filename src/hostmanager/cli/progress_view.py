"""What `up`, `down` and `restart` show while they wait, and their result."""

import time
from collections.abc import Sequence
from typing import Protocol, Self

from rich.console import Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from hostmanager.cli.output import Output
from hostmanager.client.change.plan import Plan
from hostmanager.client.change.progress import AgentProgress
from hostmanager.client.change.progress_text import (
    interrupted_text,
    not_reached_text,
    pending_text,
    reached_text,
    summary,
)
from hostmanager.client.text import sanitize, strip_timestamp

MAX_SHOWN = 12
"""Pending agents that are shown one by one."""

LIVE_INTERVAL = 0.08
"""Seconds: of fifty hosts, answers come faster than anybody looks."""


class ChangeInProgress(Protocol):
    """What this view shows: the part of `PlanExecutor` that it needs."""

    plan: Plan
    progress: list[AgentProgress]
    notices: list[str]


class ProgressView:
    """The progress: live on a terminal, a line for each agent elsewhere."""

    def __init__(self, change: ChangeInProgress, output: Output) -> None:
        self._change = change
        self._output = output
        self._live: Live | None = None
        self._printed: set[int] = set()
        self._notices = 0
        self._drawn_at = 0.0

    def __enter__(self) -> Self:
        if self._output.is_terminal and self._change.progress:
            self._live = Live(console=self._output.console, auto_refresh=False, transient=True)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def refresh(self) -> None:
        """Show the progress."""
        for notice in self._change.notices[self._notices :]:
            self._notices += 1
            self._output.warn(notice)
        for index, agent in enumerate(self._change.progress):
            if agent.step.outcome == "reached" and index not in self._printed:
                self._printed.add(index)
                self._output.line(_reached_line(agent))
                if not self._output.json:
                    self._output.console.file.flush()
        if self._live is not None and time.monotonic() - self._drawn_at >= LIVE_INTERVAL:
            self._drawn_at = time.monotonic()
            self._live.update(self._render(), refresh=True)

    def _render(self) -> Group:
        agents = self._change.progress
        pending = [agent for agent in agents if agent.is_pending]
        done = len(agents) - len(pending)
        bar = Table.grid(padding=(0, 1))
        bar.add_row(ProgressBar(len(agents), done, width=30), Text(f"{done} of {len(agents)}"))
        lines = [_pending_line(agent) for agent in pending[:MAX_SHOWN]]
        if len(pending) > MAX_SHOWN:
            lines.append(Text(f"… and {len(pending) - MAX_SHOWN} more", "dim"))
        return Group(*lines, bar)

    def result(self) -> None:
        """Print the result, with the last output of the agents that failed."""
        agents = self._change.progress
        if not agents:
            return
        failed = [agent for agent in agents if agent.step.has_failed]
        for agent in failed:
            self._output.show(_failure_line(agent))
            for line in agent.step.last_lines:
                text = sanitize(strip_timestamp(line))
                self._output.show(Text(f"    | {text}", "dim", no_wrap=True, overflow="ellipsis"))
        styles = {None: "", True: "bold green", False: "bold red"}
        for text, is_good in summary(self._change.plan, agents):
            self._output.line(text, styles[is_good])

    def interrupted(
        self, started: Sequence[AgentProgress], not_started: Sequence[AgentProgress]
    ) -> None:
        """Say what goes on at the managers, and what does not."""
        text = interrupted_text(self._change.progress, started, not_started)
        self._output.warn(f"Interrupted. {text}")


def _reached_line(agent: AgentProgress) -> Text:
    state, note = reached_text(agent)
    text = Text().append(f"{agent.host} ", "dim").append(agent.instance_id)
    text.append(f" {state}", "yellow" if note else "green")
    return text.append(f": {sanitize(note)}", "yellow") if note else text


def _pending_line(agent: AgentProgress) -> Text:
    state, awaited = pending_text(agent)
    text = Text(no_wrap=True, overflow="ellipsis").append(f"{agent.host} ", "dim")
    text.append(agent.instance_id).append(f" {state}", "yellow")
    return text.append(f" {sanitize(awaited)}", "dim")


def _failure_line(agent: AgentProgress) -> Text:
    text = Text().append("! ", "bold red").append(f"{agent.host} ")
    return text.append(agent.instance_id, "bold").append(
        f" {sanitize(not_reached_text(agent))}", "red"
    )
