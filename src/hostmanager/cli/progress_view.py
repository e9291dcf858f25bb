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
from hostmanager.client.change.plan import Plan, Selection
from hostmanager.client.change.progress import AgentProgress
from hostmanager.client.status.model import state_text
from hostmanager.client.text import sanitize, strip_timestamp
from hostmanager.util.text import join_names, pluralize

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
        requested = [agent for agent in agents if agent.step.outcome == "told"]
        for agent in failed:
            self._output.show(_failure_line(agent))
            for line in agent.step.last_lines:
                text = sanitize(strip_timestamp(line))
                self._output.show(Text(f"    | {text}", "dim", no_wrap=True, overflow="ellipsis"))
        plan = self._change.plan
        final = "down" if plan.command == "down" else "up"
        if plan.selection is Selection.NOT_AS_CONFIGURED:
            final = "as configured"
        if requested:
            action = f"{plan.command} requested"
            if plan.hosts_without_restart:
                action = "stopped, then up requested"
            self._output.line(f"{pluralize(len(requested), 'agent')}: {action}; not waited for")
        reached = len(agents) - len(failed) - len(requested)
        if reached or failed:
            style = "bold red" if failed else "bold green"
            count = f"{reached} of {pluralize(len(agents), 'agent')}"
            self._output.line(f"{count} {'is' if len(agents) == 1 else 'are'} {final}", style)

    def interrupted(
        self, started: Sequence[AgentProgress], not_started: Sequence[AgentProgress]
    ) -> None:
        """Say what goes on at the managers, and what does not."""
        pending = [agent for agent in self._change.progress if agent.is_pending]
        others = [agent for agent in pending if agent not in started and agent not in not_started]
        requested = [agent for agent in others if agent.requested_at is not None]
        to_start = [a for a in requested if a.restarting and not _is_starting(a)] + list(started)
        starting = [a for a in requested if a.stage == "up" and a not in to_start]
        stopping = [a for a in requested if a.stage == "down" and a not in to_start]
        parts = []
        if to_start:
            pronoun = "it" if len(to_start) == 1 else "they"
            parts.append(
                f"Still stopping: {_names(to_start)}; {pronoun} will be started afterwards."
            )
        if starting:
            parts.append(f"Still starting: {_names(starting)}.")
        if stopping:
            parts.append(f"Still stopping: {_names(stopping)}.")
        if len(requested) < len(others):
            parts.append("Requests were being sent; some managers may have got theirs.")
        if not_started:
            names = " ".join(agent.instance_id for agent in not_started)
            parts.append(
                f"Stopping, and will NOT be started afterwards: {names}. "
                f"To start them: hostmanager up {names}"
            )
        self._output.warn(" ".join(["Interrupted.", *(parts or ["Everything had been done."])]))


def _is_starting(agent: AgentProgress) -> bool:
    return agent.step.state in ("start", "start_at", "wait_start")


def _names(agents: Sequence[AgentProgress]) -> str:
    return join_names([agent.instance_id for agent in agents], 10)


def _reached_line(agent: AgentProgress) -> Text:
    state = agent.step.state
    text = Text().append(f"{agent.host} ", "dim").append(agent.instance_id)
    text.append(f" {'down' if state == 'gone' else state}", "yellow" if agent.note else "green")
    return text.append(f": {sanitize(agent.note)}", "yellow") if agent.note else text


def _pending_line(agent: AgentProgress) -> Text:
    step = agent.step
    state = step.current_state
    text = Text(no_wrap=True, overflow="ellipsis").append(f"{agent.host} ", "dim")
    text.append(agent.instance_id).append(f" {state_text(state)}", "yellow")
    if step.state == "up" and agent.stage == "up" and not agent.restarting:
        uptime = f" {agent.uptime:.0f} s," if agent.uptime is not None else ","
        awaited = step.reason or "checking that it stays up"
        return text.append(f"{uptime} {sanitize(awaited)}", "dim")
    text.append(" (restarting)" if agent.restarting else f" (target {agent.stage})", "dim")
    return text.append(f" {sanitize(step.reason)}" if step.reason else "", "dim")


def _failure_line(agent: AgentProgress) -> Text:
    step = agent.step
    text = Text().append("! ", "bold red").append(f"{agent.host} ")
    text.append(agent.instance_id, "bold")
    state = state_text(step.current_state)
    return text.append(f" {state} (target {step.final}): {sanitize(step.reason)}", "red")
