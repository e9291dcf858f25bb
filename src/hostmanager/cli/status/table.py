"""How `status` looks: first what is wrong and why, then a table by host.

Fits 80 columns; where there is room, class, pid and remarks stand in the rows. Without a
terminal there is always room.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from hostmanager.cli.output import Output
from hostmanager.cli.text import ago, format_time, sanitize, strip_timestamp
from hostmanager.client.status.model import (
    AgentStatus,
    HostStatus,
    Severity,
    last_exit_text,
    next_attempt,
    severity_counts,
    unreachable,
)
from hostmanager.util.text import format_duration, join_names, join_sentences, pluralize

WIDE = 110
"""Columns from which on class and pid are shown."""

STYLES = {
    Severity.OK: "",
    Severity.INFO: "",
    Severity.WARNING: "yellow",
    Severity.UNKNOWN: "magenta",
    Severity.ERROR: "bold red",
}
STATE_STYLES = {"up": "green", "down": "dim", "-": "dim"}

MAX_NAMES = 8
"""Agents that are named in one line."""

LAST_LINES = 5
"""Lines of output that are shown of an agent that does not stay up."""


def show(found: Sequence[HostStatus], screen: Output, *, only_wrong: bool) -> None:
    """Print the whole."""
    now = time.time()
    console = screen.console
    parts = list(render(found, now, console.width, only_wrong=only_wrong))
    screen.show(*parts)
    if screen.is_terminal and worst(found) >= Severity.WARNING and _is_higher(parts, console):
        # What is wrong stands at the top, which has left the screen by now.
        screen.line()
        screen.show(*problem_summary(found, now, only_wrong=only_wrong))
        screen.show(headline(found))


def _is_higher(parts: Sequence[RenderableType], console: Console) -> bool:
    """Whether it does not fit on the screen."""
    return sum(len(console.render_lines(part)) for part in parts) > console.height


def render(
    found: Sequence[HostStatus],
    now: float,
    width: int,
    *,
    only_wrong: bool = False,
    lines: int = LAST_LINES,
) -> Iterator[RenderableType]:
    """Everything that is to be shown, from the top; of each dead agent so many last lines.

    A thousand agents are many lines; who shows only some of them takes no more than those.
    """
    yield headline(found)
    wrong = problem_lines(found, now, lines, only_wrong=only_wrong)
    first = next(wrong, None)
    if first is not None:
        yield Text("")
        yield first
        yield from wrong
    if not only_wrong:
        yield Text("")
        yield from hosts_table(found, now, width)


def worst(found: Iterable[HostStatus]) -> Severity:
    """The worst of all."""
    return max((host.worst for host in found), default=Severity.OK)


def headline(found: Sequence[HostStatus]) -> Text:
    """One line: how many, and how many are not as they should be."""
    managed = [row for host in found for row in host.agents if row.is_managed]
    mute = len(unreachable(found))
    wrong = sum(host.severity is Severity.ERROR and host.error is None for host in found)
    text = Text().append(pluralize(len(found), "host"), "bold")
    of_hosts = [
        f"{number} {word}" for number, word in ((wrong, "wrong"), (mute, "silent")) if number
    ]
    if of_hosts:
        text.append(" (").append(", ".join(of_hosts), STYLES[Severity.ERROR]).append(")")
    text.append(f", {pluralize(len(managed), 'agent')}: ", "bold")
    for severity, words in severity_counts(managed):
        text.append(words, STYLES[severity]).append(", ")
    fine = sum(row.severity <= Severity.INFO for row in managed)
    if fine == len(managed) and not of_hosts:
        return text.append("all as wanted", "bold green")
    return text.append(f"{fine} as wanted", "green")


def problem_lines(
    found: Sequence[HostStatus],
    now: float,
    lines: int = LAST_LINES,
    *,
    only_wrong: bool = False,
) -> Iterator[Table]:
    """What is wrong, the worst first, each with why, and with last lines.

    Then, unless only that is asked for, what is as it is wanted and yet worth a word.
    """
    for severity, text, output in _findings(found, now, only_wrong=only_wrong):
        yield _marked(severity, text)
        for line in output[-lines:]:
            yield _marked(
                Severity.OK, Text(f"| {sanitize(line)}", "dim", no_wrap=True, overflow="ellipsis")
            )


def problem_summary(
    found: Sequence[HostStatus], now: float, *, only_wrong: bool
) -> Iterable[Table]:
    """What is wrong, one line each."""
    for severity, text, _ in _findings(found, now, only_wrong=only_wrong):
        text.no_wrap, text.overflow = True, "ellipsis"
        yield _marked(severity, text)


def _findings(
    found: Sequence[HostStatus], now: float, *, only_wrong: bool
) -> Iterable[tuple[Severity, Text, Sequence[str]]]:
    for host in _by_severity(found):
        for reason in host.reasons if host.severity >= Severity.WARNING else ():
            yield host.severity, _named(host.host.name, "", reason, host.severity), ()
    rows = [row for host in found for row in host.agents]
    for row in sorted(rows, key=lambda row: -row.severity):
        if row.severity in (Severity.WARNING, Severity.ERROR):
            reason = describe(row, now)
            yield (
                row.severity,
                _named(row.host, row.instance_id, reason, row.severity),
                last_output(row),
            )
    for reason, names in _worth_a_word([] if only_wrong else rows).items():
        yield (
            Severity.INFO,
            Text(f"{sanitize(reason)}: {join_names(names, MAX_NAMES)}", "dim"),
            (),
        )


def _worth_a_word(rows: Iterable[AgentStatus]) -> dict[str, list[str]]:
    """What is as it is wanted, yet not as one might think; whose names, by what is to be said."""
    found: dict[str, list[str]] = {}
    for row in rows:
        if row.severity is Severity.INFO and row.is_managed:
            found.setdefault(join_sentences(row.reasons), []).append(row.instance_id)
    return found


def describe(row: AgentStatus, now: float) -> str:
    """How an agent is, and why, in one line."""
    parts = [*row.reasons, next_attempt(row.child, now)]
    reason = "; ".join(part.rstrip(".") for part in parts if part)
    as_wanted = row.state == row.target or not row.target
    state = row.state if as_wanted else f"{row.state} (wanted {row.target})"
    return f"{state}: {reason}" if reason else state


def last_output(row: AgentStatus) -> list[str]:
    """The last lines of an agent that is not up because it died."""
    ended = row.get("last_exit")
    if not ended or ended.get("expected") or row.severity is not Severity.ERROR:
        return []
    return [strip_timestamp(line) for line in (ended.get("output") or [])[-LAST_LINES:]]


def _named(host: str, name: str, reason: str, severity: Severity) -> Text:
    text = Text().append(host, "bold").append(" ")
    if name:
        text.append(name, "bold").append(" ")
    return text.append(sanitize(reason), STYLES[severity].replace("bold ", ""))


def _marked(severity: Severity, text: Text) -> Table:
    """Put a mark before a text; what is wrapped stands below the text, not below the mark."""
    marks = {Severity.OK: " ", Severity.INFO: " ", Severity.WARNING: "·"}
    line = Table.grid(padding=(0, 1, 0, 0))
    line.add_row(Text(marks.get(severity, "!"), STYLES[severity]), text)
    return line


def _by_severity(found: Sequence[HostStatus]) -> list[HostStatus]:
    return sorted(found, key=lambda host: -host.worst)


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its heading, the side that numbers stand on, how narrow it may be."""

    heading: str
    justify: Literal["left", "right"] = "left"
    least: int = 4


COMPACT = (
    Column("agent", least=12),
    Column("state"),
    Column("target"),
    Column("uptime", "right"),
    Column("restarts", "right"),
    Column("stable", "right"),
    Column("last exit", least=9),
)
FULL = (
    *COMPACT[:1],
    Column("class", least=8),
    *COMPACT[1:3],
    Column("pid", "right"),
    *COMPACT[3:],
    Column("remarks", least=10),
)


def hosts_table(found: Sequence[HostStatus], now: float, width: int) -> Iterable[RenderableType]:
    """The table: a heading for each host, its agents below."""
    wide = width >= WIDE
    columns = FULL if wide else COMPACT
    cells = {
        (row.host, row.instance_id): _cells(row, now, wide=wide)
        for host in found
        for row in host.agents
    }
    widths = _widths(columns, list(cells.values()), width - 1)
    yield _line(columns, widths, [Text(c.heading, "bold underline") for c in columns])
    for host in _by_severity(found):
        yield _host_line(host)
        for row in host.agents:
            yield _line(columns, widths, cells[row.host, row.instance_id])


def _line(columns: Sequence[Column], widths: Sequence[int], cells: Sequence[Text]) -> Text:
    """Put the cells of a row together: rich's tables take ten times as long for that."""
    line = Text(no_wrap=True, overflow="ellipsis")
    for column, width, cell in zip(columns, widths, cells, strict=True):
        cell.truncate(width, overflow="ellipsis")
        blanks = " " * (width - cell.cell_len)
        if column.justify == "right":
            line.append(blanks).append_text(cell).append(" ")
        else:
            line.append_text(cell).append(f"{blanks} ")
    return line


def _widths(columns: Sequence[Column], rows: list[list[Text]], room: int) -> list[int]:
    """As wide as the widest cell; if that is too much, the widest columns give way."""
    widths = [
        max([len(column.heading), *(row[index].cell_len for row in rows)])
        for index, column in enumerate(columns)
    ]
    gaps = len(columns)
    while sum(widths) + gaps > room:
        candidates = [i for i, column in enumerate(columns) if widths[i] > column.least]
        flexible = [i for i in candidates if i in (0, len(columns) - 1)] or candidates
        if not flexible:
            break
        widths[max(flexible, key=lambda index: widths[index])] -= 1
    return widths


def _host_line(host: HostStatus) -> Text:
    managed = [row for row in host.agents if row.is_managed]
    text = Text(no_wrap=True, overflow="ellipsis").append(host.host.name, "bold cyan")
    if host.host.manager is None:
        return text.append(" (no manager)", "dim")
    text.append(f" ({host.host.manager}) ", "dim")
    if host.error is not None:
        return text.append("no answer", STYLES[Severity.ERROR])
    if host.process != "running":
        return text.append("its manager was told to stop", STYLES[Severity.ERROR])
    text.append(pluralize(len(managed), "agent"), "dim")
    for severity, words in severity_counts(managed):
        text.append(", ").append(words, STYLES[severity].replace("bold ", ""))
    return text


def _cells(row: AgentStatus, now: float, *, wide: bool) -> list[Text]:
    if row.child is None:
        return _cells_without_child(row, wide=wide)
    stability = row.get("stability")
    shaky = row.state != "down" and stability is not None and stability <= 0.5
    cells = [
        Text(row.instance_id, STYLES[row.severity]),
        Text(row.state, _state_style(row)),
        Text(row.target),
        Text(format_duration(row.get("uptime"))),
        Text(_number(row.get("restarts"))),
        Text("" if stability is None else f"{stability:.2f}", "red" if shaky else "dim"),
        _last_exit(row, now),
    ]
    if not wide:
        told = row.severity is Severity.INFO and row.reasons
        return [*cells[:-1], Text(sanitize(join_sentences(row.reasons)), "dim")] if told else cells
    pid = Text(_number(row.get("pid")), "dim")
    remarks = Text(sanitize(join_sentences(row.reasons)), "dim")
    agent_class = Text(row.agent_class)
    return [cells[0], agent_class, *cells[1:3], pid, *cells[3:], remarks]


def _cells_without_child(row: AgentStatus, *, wide: bool) -> list[Text]:
    style = STYLES[row.severity] or "dim"
    name, state, nothing = Text(row.instance_id, style), Text(row.state, style), Text("")
    reason = Text(sanitize(join_sentences(row.reasons)), "dim")
    if not wide:
        return [name, state, *[nothing] * 4, reason]
    return [name, Text(row.agent_class, "dim"), state, *[nothing] * 6, reason]


def _number(value: object) -> str:
    return "" if value is None else str(value)


def _state_style(row: AgentStatus) -> str:
    if row.severity is Severity.ERROR:
        return "bold red"
    return STATE_STYLES.get(row.state, "yellow") if row.severity < Severity.WARNING else "yellow"


def _last_exit(row: AgentStatus, now: float) -> Text:
    ended = row.get("last_exit")
    if not ended:
        return Text("")
    when = ended.get("time")
    text = last_exit_text(row.child or {})
    if when is not None:
        text += f", {ago(when, now)}" if now - when < 86400 else f", {format_time(when, now)}"
    return Text(text, "dim" if ended.get("expected") else "red")
