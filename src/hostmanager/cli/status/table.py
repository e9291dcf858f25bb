"""The table of `status`: a heading for each host, its agents below.

Where there is room, it has class, pid and notes, on a narrower terminal fewer columns. Without a
terminal there is always room.
"""

from collections.abc import Iterable, Mapping, Sequence

from rich.console import RenderableType
from rich.text import Text

from hostmanager.cli.status.cells import SEVERITY_STYLES, Column, name_cell, text_or_blank
from hostmanager.cli.status.resources import COLUMNS as RESOURCE_COLUMNS
from hostmanager.client.status.model import (
    AgentStatus,
    HostStatus,
    StatusSeverity,
    last_exit_text,
    severity_counts,
)
from hostmanager.client.status.problems import worst_first
from hostmanager.client.text import ago, format_time, sanitize
from hostmanager.util.text import format_duration, join_sentences, pluralize

WIDE = 110
"""Columns from which on class and pid are shown."""

STATE_STYLES = {"up": "green", "down": "dim", "-": "dim"}


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
