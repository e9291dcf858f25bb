"""What `status` prints: first what is wrong and why, then the table by host. Fits 80 columns."""

import time
from collections.abc import Iterable, Iterator, Sequence

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from hostmanager.cli.output import Output
from hostmanager.cli.status.cells import SEVERITY_STYLES
from hostmanager.cli.status.table import hosts_table
from hostmanager.client.status.model import (
    MAX_LAST_LINES,
    AgentStatus,
    HostStatus,
    StatusSeverity,
    are_ok,
    host_severity_counts,
    severity_counts,
)
from hostmanager.client.status.problems import find_notes, find_problems
from hostmanager.client.text import sanitize
from hostmanager.util.text import join_names, pluralize

MAX_NAMES = 8
"""Agents that one line names."""


def show(
    hosts: Sequence[HostStatus], output: Output, *, only_wrong: bool, resources: bool = False
) -> None:
    """Print the whole."""
    now = time.time()
    console = output.console
    parts = list(
        render_status(hosts, now, console.width, only_wrong=only_wrong, resources=resources)
    )
    output.show(*parts)
    if (
        output.is_terminal
        and worst(hosts) >= StatusSeverity.WARNING
        and _exceeds_screen(parts, console)
    ):
        # What is wrong stands at the top, which has left the screen by now.
        output.line()
        output.show(*problem_summary(hosts, now, only_wrong=only_wrong))
        output.show(headline(hosts))


def _exceeds_screen(parts: Sequence[RenderableType], console: Console) -> bool:
    """Whether these parts do not fit on the screen."""
    return sum(len(console.render_lines(part)) for part in parts) > console.height


def render_status(
    hosts: Sequence[HostStatus],
    now: float,
    width: int,
    *,
    only_wrong: bool = False,
    lines: int = MAX_LAST_LINES,
    resources: bool = False,
) -> Iterator[RenderableType]:
    """Yield everything from the top, with the last lines of each dead agent.

    With `resources`, the table says what agents use instead of how they are.

    A thousand agents are many lines; a caller that shows only some takes no more than those.
    """
    yield headline(hosts)
    wrong = problem_lines(hosts, now, lines, only_wrong=only_wrong)
    first = next(wrong, None)
    if first is not None:
        yield Text("")
        yield first
        yield from wrong
    if not only_wrong:
        yield Text("")
        yield from hosts_table(hosts, now, width, resources=resources)


def worst(hosts: Iterable[HostStatus]) -> StatusSeverity:
    """The worst of all."""
    return max((host.worst for host in hosts), default=StatusSeverity.OK)


def headline(hosts: Sequence[HostStatus]) -> Text:
    """One line: how many, and how many are not as they should be."""
    managed = [agent for host in hosts for agent in host.agents if agent.is_managed]
    text = Text().append(pluralize(len(hosts), "host"), "bold")
    of_hosts = list(host_severity_counts(hosts))
    if of_hosts:
        text.append(" (").append_text(
            Text(", ").join(Text(words, SEVERITY_STYLES[severity]) for severity, words in of_hosts)
        ).append(")")
    text.append(f", {pluralize(len(managed), 'agent')}: ", "bold")
    for severity, words in severity_counts(managed):
        text.append(words, SEVERITY_STYLES[severity]).append(", ")
    fine = are_ok(managed)
    if len(fine) == len(managed) and not of_hosts:
        text.append("all OK", "bold green")
    else:
        text.append(f"{len(fine)} OK", "green")
    silenced = sum(agent.is_silenced for agent in fine)
    return text.append(f" ({silenced} silenced)" if silenced else "")


def problem_lines(
    hosts: Sequence[HostStatus],
    now: float,
    lines: int = MAX_LAST_LINES,
    *,
    only_wrong: bool = False,
) -> Iterator[Table]:
    """What is wrong, the worst first, each with the reason and the last output.

    Then, unless only that is requested, notes about agents that are at their target.
    """
    for severity, text, output in _findings(hosts, now, only_wrong=only_wrong):
        yield _with_mark(severity, text)
        for line in output[-lines:]:
            yield _with_mark(
                StatusSeverity.OK,
                Text(f"| {sanitize(line)}", "dim", no_wrap=True, overflow="ellipsis"),
            )


def problem_summary(
    hosts: Sequence[HostStatus], now: float, *, only_wrong: bool
) -> Iterable[Table]:
    """What is wrong, one line each."""
    for severity, text, _ in _findings(hosts, now, only_wrong=only_wrong):
        text.no_wrap, text.overflow = True, "ellipsis"
        yield _with_mark(severity, text)


def _findings(
    hosts: Sequence[HostStatus], now: float, *, only_wrong: bool
) -> Iterable[tuple[StatusSeverity, Text, Sequence[str]]]:
    for problem in find_problems(hosts, now):
        hosts_text = join_names(problem.hosts, MAX_NAMES)
        name = _names(problem.agents) if problem.agents else ""
        text = _subject_text(hosts_text, name, problem.text, problem.severity)
        yield problem.severity, text, problem.output
    agents = [] if only_wrong else [agent for host in hosts for agent in host.agents]
    for note in find_notes(agents):
        names = join_names([agent.instance_id for agent in note.agents], MAX_NAMES)
        yield note.severity, Text(f"{names}: {sanitize(note.text)}", "dim"), ()


def _names(agents: Sequence[AgentStatus]) -> str:
    names = [agent.instance_id for agent in agents]
    return names[0] if len(names) == 1 else f"{join_names(names, MAX_NAMES)}:"


def _subject_text(host: str, name: str, reason: str, severity: StatusSeverity) -> Text:
    text = Text().append(host, "bold").append(" ")
    if name:
        text.append(name, "bold").append(" ")
    return text.append(sanitize(reason), SEVERITY_STYLES[severity].replace("bold ", ""))


def _with_mark(severity: StatusSeverity, text: Text) -> Table:
    """Put a mark before a text; wrapped lines are aligned with the text, not with the mark."""
    marks = {StatusSeverity.OK: " ", StatusSeverity.INFO: " ", StatusSeverity.WARNING: "·"}
    line = Table.grid(padding=(0, 1, 0, 0))
    line.add_row(Text(marks.get(severity, "!"), SEVERITY_STYLES[severity]), text)
    return line
