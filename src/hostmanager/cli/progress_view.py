"""How `up`, `down` and `restart` look while they wait, and what they say in the end."""

import time
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from hostmanager.cli.output import Output
from hostmanager.cli.text import sanitize, strip_timestamp
from hostmanager.client.change.progress import AgentProgress
from hostmanager.util.text import join_names, pluralize

if TYPE_CHECKING:
    from hostmanager.client.change.executor import PlanExecutor

MOST_SHOWN = 12
"""Agents on their way that are shown one by one."""

REDRAW_INTERVAL = 0.08
"""Seconds between two pictures: of fifty hosts, answers come faster than anybody looks."""


class ProgressView:
    """The progress: a live picture on a terminal, a line for each agent elsewhere."""

    def __init__(self, pursuit: "PlanExecutor", screen: Output) -> None:
        self._pursuit = pursuit
        self._screen = screen
        self._live: Live | None = None
        self._said: set[int] = set()
        self._notices = 0
        self._drawn = 0.0

    def __enter__(self) -> Self:
        if self._screen.is_terminal and self._pursuit.progress:
            self._live = Live(console=self._screen.console, auto_refresh=False, transient=True)
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def refresh(self) -> None:
        """Show how far it is."""
        for notice in self._pursuit.notices[self._notices :]:
            self._notices += 1
            self._screen.warn(notice)
        for index, course in enumerate(self._pursuit.progress):
            if course.step.outcome == "reached" and index not in self._said:
                self._said.add(index)
                self._screen.line(_reached(course))
                if not self._screen.json:
                    self._screen.console.file.flush()
        if self._live is not None and time.monotonic() - self._drawn >= REDRAW_INTERVAL:
            self._drawn = time.monotonic()
            self._live.update(self._picture(), refresh=True)

    def _picture(self) -> Group:
        courses = self._pursuit.progress
        under_way = [course for course in courses if course.is_pending]
        done = len(courses) - len(under_way)
        bar = Table.grid(padding=(0, 1))
        bar.add_row(ProgressBar(len(courses), done, width=30), Text(f"{done} of {len(courses)}"))
        lines = [_under_way(course) for course in under_way[:MOST_SHOWN]]
        if len(under_way) > MOST_SHOWN:
            lines.append(Text(f"… and {len(under_way) - MOST_SHOWN} more", "dim"))
        return Group(*lines, bar)

    def result(self) -> None:
        """Say what became of it, with the last lines of those that are not there."""
        courses = self._pursuit.progress
        if not courses:
            return
        failed = [course for course in courses if course.step.outcome in ("failed", "timeout")]
        told = [course for course in courses if course.step.outcome == "told"]
        for course in failed:
            self._screen.show(_failure(course))
            for line in course.step.last_lines:
                said = sanitize(strip_timestamp(line))
                self._screen.show(Text(f"    | {said}", "dim", no_wrap=True, overflow="ellipsis"))
        final = "down" if self._pursuit.plan.command == "down" else "up"
        if told:
            count = pluralize(len(told), "agent")
            self._screen.line(f"{count} {self._told(final)}; not waited for")
        there = len(courses) - len(failed) - len(told)
        if there or failed:
            style = "bold red" if failed else "bold green"
            count = f"{there} of {pluralize(len(courses), 'agent')}"
            self._screen.line(f"{count} {'is' if len(courses) == 1 else 'are'} {final}", style)

    def _told(self, final: str) -> str:
        plan = self._pursuit.plan
        if plan.command != "restart":
            return f"told {final}"
        return "ended, then told up" if plan.without_restart else "told to restart"

    def interrupted(self, again: Sequence[AgentProgress], lost: Sequence[AgentProgress]) -> None:
        """Say what goes on on the hosts, and what does not."""
        remark = self._screen.warn
        open_ones = [course for course in self._pursuit.progress if course.is_pending]
        courses = [course for course in open_ones if course not in again and course not in lost]
        if any(course.requested_at is None for course in courses):
            remark("interrupted while the managers were being told; some may have been.")
        told = [c for c in courses if c.requested_at is not None]
        carried = [c.step.row.instance_id for c in told if c.step.by_manager]
        told = [c for c in told if not c.step.by_manager]
        if carried:
            remark(
                f"interrupted; on the hosts it goes on: restart: {join_names(carried, 10)}. "
                "The manager carries it out, whoever watches."
            )
        for stage in ("up", "down"):
            names = [c.step.row.instance_id for c in told if c.stage == stage]
            if names:
                remark(
                    f"interrupted; on the hosts it goes on: told {stage}: {join_names(names, 10)}."
                )
        if again:
            names = [course.step.row.instance_id for course in again]
            remark(
                f"interrupted; on the hosts it goes on: {join_names(names, 10)}, started when ended."
            )
        if lost:
            names = [course.step.row.instance_id for course in lost]
            remark(
                "interrupted; these were told down, and NOT yet told up again: "
                f"{', '.join(names)}. To start them: hostmanager up {' '.join(names)}"
            )
        if not open_ones:
            remark("interrupted; everything had been done.")


def _reached(course: AgentProgress) -> Text:
    row = course.step.row
    state = course.step.state
    return (
        Text()
        .append(f"{row.host} ", "dim")
        .append(row.instance_id)
        .append(f" {'down' if state == 'gone' else state}", "green")
    )


def _under_way(course: AgentProgress) -> Text:
    step = course.step
    text = Text(no_wrap=True, overflow="ellipsis").append(f"{step.row.host} ", "dim")
    text.append(step.row.instance_id).append(f" {step.state or step.row.state}", "yellow")
    text.append(" (restarting)" if course.restarting else f" (wanted {course.stage})", "dim")
    if step.state == "up" and course.stage == "up":
        return text.append(" looking whether it stays up", "dim")
    return text.append(f" {sanitize(step.why)}" if step.why else "", "dim")


def _failure(course: AgentProgress) -> Text:
    row = course.step.row
    text = Text().append("! ", "bold red").append(f"{row.host} ").append(row.instance_id, "bold")
    state = course.step.state or row.state
    return text.append(f" {state} (wanted {course.step.final}): {sanitize(course.step.why)}", "red")
