"""What `status` prints: first what is wrong and why, then a table by host.

Fits 80 columns; where there is room, the table has class, pid and notes, on a narrower terminal
fewer columns. Without a terminal there is always room.
"""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from hostmanager.cli.output import Output
from hostmanager.cli.status.cells import SEVERITY_STYLES, Column, name_cell, text_or_blank
from hostmanager.cli.status.resources import COLUMNS as RESOURCE_COLUMNS
from hostmanager.client.status.model import (
    MAX_LAST_LINES,
    AgentStatus,
    HostStatus,
    StatusSeverity,
    are_ok,
    host_severity_counts,
    last_exit_text,
    severity_counts,
)
from hostmanager.client.status.problems import find_notes, find_problems, worst_first
from hostmanager.client.text import ago, format_time, sanitize
from hostmanager.util.text import format_duration, join_names, join_sentences, pluralize

WIDE = 110
"""Columns from which on class and pid are shown."""

STATE_STYLES = {"up": "green", "down": "dim", "-": "dim"}

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


def hosts_table(
    hosts: Sequence[HostStatus], now: float, width: int, *, resources: bool = False
) -> Iterable[RenderableType]:
    """The table: a heading for each host, its agents below; how they are, or what they use."""
    columns = RESOURCE_COLUMNS if resources else FULL if width >= WIDE else COMPACT
    cells = {
        (agent.host, agent.instance_id): [column.cell(agent, now) for column in columns]
        for host in hosts
        for agent in host.agents
    }
    widths = _widths(columns, list(cells.values()), width - 1)
    yield _line(columns, widths, [Text(c.heading, "bold underline") for c in columns])
    for host in worst_first(hosts):
        yield _host_line(host)
        for agent in host.agents:
            yield _line(columns, widths, cells[agent.host, agent.instance_id])


def _line(columns: Sequence[Column], widths: Mapping[int, int], cells: Sequence[Text]) -> Text:
    """Put the cells of a row together: rich's tables take ten times as long for that."""
    line = Text(no_wrap=True, overflow="ellipsis")
    for index, width in widths.items():
        cell = cells[index]
        cell.truncate(width, overflow="ellipsis")
        blanks = " " * (width - cell.cell_len)
        if columns[index].justify == "right":
            line.append(blanks).append_text(cell).append(" ")
        else:
            line.append_text(cell).append(f"{blanks} ")
    return line


def _widths(columns: Sequence[Column], rows: list[list[Text]], room: int) -> dict[int, int]:
    """The columns that there is room for, by index, with their widths.

    First texts are shortened; where that is not enough, columns are left out.
    """
    widths = {
        index: max([len(column.heading), *(row[index].cell_len for row in rows)])
        for index, column in enumerate(columns)
    }
    least = {
        index: width if (narrow := columns[index].min_width) is None else min(width, narrow)
        for index, width in widths.items()
    }
    while sum(least[index] + 1 for index in widths) > room:
        last = max(widths, key=lambda index: columns[index].rank)
        if columns[last].rank == 0:
            break
        del widths[last]
    while sum(widths.values()) + len(widths) > room:
        flexible = [index for index, width in widths.items() if width > least[index]]
        if not flexible:
            break
        widths[max(flexible, key=lambda index: widths[index])] -= 1
    return widths


def _host_line(host: HostStatus) -> Text:
    managed = [agent for agent in host.agents if agent.is_managed]
    text = Text(no_wrap=True, overflow="ellipsis").append(host.host.name, "bold cyan")
    if host.host.manager is None:
        return text.append(" (no manager)", "dim")
    text.append(f" ({host.host.manager}) ", "dim")
    if host.error is not None:
        return text.append("no answer", SEVERITY_STYLES[StatusSeverity.ERROR])
    if host.process != "running":
        return text.append("its manager process is stopped", SEVERITY_STYLES[StatusSeverity.ERROR])
    text.append(pluralize(len(managed), "agent"), "dim")
    for severity, words in severity_counts(managed):
        text.append(", ").append(words, SEVERITY_STYLES[severity].replace("bold ", ""))
    return text


def _state(agent: AgentStatus, _: float) -> Text:
    style = SEVERITY_STYLES[agent.severity]
    if agent.child is None:
        style = style or "dim"
    elif agent.severity < StatusSeverity.WARNING:
        style = STATE_STYLES.get(agent.state, "yellow")
    elif agent.severity is not StatusSeverity.ERROR:
        style = "yellow"
    return Text(agent.state_text, style)


def _stability(agent: AgentStatus, _: float) -> Text:
    stability = agent.get("stability")
    is_unstable = agent.state != "down" and stability is not None and stability <= 0.5
    return Text("" if stability is None else f"{stability:.2f}", "red" if is_unstable else "dim")


def _last_exit(agent: AgentStatus, now: float) -> Text:
    last_exit = agent.get("last_exit")
    if not last_exit:
        return Text("")
    when = last_exit.get("time")
    text = last_exit_text(agent.child or {})
    now = agent.now or now
    if when is not None:
        text += f", {ago(when, now)}" if now - when < 86400 else f", {format_time(when, now)}"
    return Text(text, "dim" if last_exit.get("expected") else "red")


def _notes(agent: AgentStatus, _: float) -> Text:
    return Text(sanitize(join_sentences(agent.reasons)), "dim")


def _note_or_last_exit(agent: AgentStatus, now: float) -> Text:
    """Where there is no room for both."""
    is_note = agent.severity is StatusSeverity.INFO and agent.reasons
    return _notes(agent, now) if is_note or agent.child is None else _last_exit(agent, now)


_AGENT = Column("agent", name_cell, min_width=12)
_CLASS = Column(
    "class",
    lambda agent, _: Text(agent.agent_class, "dim" if agent.child is None else ""),
    min_width=8,
    rank=4,
)
_STATE_AND_TARGET = (
    Column("state", _state),
    Column("target", lambda agent, _: Text(agent.target_text if agent.child else ""), rank=2),
)
_PID = Column("pid", lambda agent, _: Text(text_or_blank(agent.get("pid")), "dim"), "right", rank=6)
_NUMBERS = (
    Column("uptime", lambda agent, _: Text(format_duration(agent.get("uptime"))), "right", rank=3),
    Column(
        "restarts", lambda agent, _: Text(text_or_blank(agent.get("restarts"))), "right", rank=5
    ),
    Column("stable", _stability, "right", rank=7),
)
COMPACT = (
    _AGENT,
    *_STATE_AND_TARGET,
    *_NUMBERS,
    Column("last exit", _note_or_last_exit, min_width=9, rank=1),
)
FULL = (
    *(_AGENT, _CLASS),
    *_STATE_AND_TARGET,
    *(_PID, *_NUMBERS),
    Column("last exit", _last_exit, min_width=9, rank=1),
    Column("notes", _notes, min_width=10),
)
