"""How an item looks as one line of the list: columns that fit the width. Pure.

Nothing is told by a colour alone: a mark in front says how bad it is, and whatever is cut ends
with an ellipsis.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.text import Text

from hostmanager.cli.status.table import STYLES, WIDE
from hostmanager.cli.text import sanitize
from hostmanager.cli.top.model import ListItem
from hostmanager.client.status.model import AgentStatus, Severity
from hostmanager.util.text import format_duration

MARKS = {
    Severity.OK: " ",
    Severity.INFO: " ",
    Severity.WARNING: "~",
    Severity.UNKNOWN: "?",
    Severity.ERROR: "!",
}
"""What stands in front of a line."""

STATE = 14  # wait_dead>down
UPTIME = 9
RESTARTS = 3
CLASS = 16
LEAST_REMARK = 12


@dataclass(frozen=True, slots=True)
class Widths:
    """Columns that each column of the list has, and all together; 0: it is left out."""

    total: int
    host: int
    name: int
    agent_class: int
    remark: int

    @classmethod
    def fitted(cls, shown: Sequence[ListItem], width: int) -> "Widths":
        """Make them fit what is to be shown, and the width of the list."""
        hosts = max([len(item.host) for item in shown], default=0)
        names = max([len(item.key[1]) for item in shown], default=0)
        host = max(4, min(hosts, max(8, width // 8)))
        name = max(5, min(names, max(12, width // 4)))
        agent_class = CLASS if width >= WIDE else 0
        fixed = 2 + STATE + UPTIME + RESTARTS + 3 + (agent_class and agent_class + 1)
        left = width - fixed - (host + 1) - (name + 1)
        if left < LEAST_REMARK:
            name = max(5, name - (LEAST_REMARK - left))
            left = width - fixed - (host + 1) - (name + 1)
        return cls(max(0, width), host, name, agent_class, max(0, left))


def heading(widths: Widths) -> Text:
    """The names of the columns."""
    cells = [("host", widths.host), ("agent", widths.name)]
    if widths.agent_class:
        cells.append(("class", widths.agent_class))
    cells.append(("state>wanted", STATE))
    text = Text("  ", no_wrap=True)
    for word, width in cells:
        text.append_text(_cell(word, width)).append(" ")
    text.append(f"{'uptime':>{UPTIME}} {'rst':>{RESTARTS}} ")
    return _whole(text.append_text(_cell("why, or how it ended last", widths.remark)), widths)


def row_text(item: ListItem, widths: Widths, now: float) -> Text:
    """One item."""
    style = STYLES[item.severity]
    text = Text(f"{MARKS[item.severity]} ", style, no_wrap=True)
    text.append_text(_cell(item.host, widths.host, style if item.row is None else "")).append(" ")
    if item.row is None:
        return _host(text, item, widths, now)
    row = item.row
    text.append_text(_cell(row.instance_id, widths.name, style)).append(" ")
    if widths.agent_class:
        text.append_text(_cell(row.agent_class, widths.agent_class)).append(" ")
    text.append_text(_cell(state(row), STATE, style)).append(" ")
    text.append(f"{format_duration(row.get('uptime')):>{UPTIME}} ")
    restarts = row.get("restarts")
    count = "" if restarts is None else str(restarts) if restarts < 1000 else "1k+"
    text.append(f"{count:>{RESTARTS}} ")
    return _whole(text.append_text(_cell(item.short_remark(now), widths.remark, style)), widths)


def _host(text: Text, item: ListItem, widths: Widths, now: float) -> Text:
    """A host has no columns of its own: what there is to say takes all the room."""
    room = widths.name + STATE + UPTIME + RESTARTS + 4 + widths.remark
    room += widths.agent_class and widths.agent_class + 1
    manager = item.snapshot.host.host.manager or "no manager"
    said = f"== {manager}: {item.short_remark(now)}"
    return _whole(text.append_text(_cell(said, room, STYLES[item.severity] or "bold")), widths)


def state(row: AgentStatus) -> str:
    """How it is, and how it is wanted if that is something else."""
    if not row.target or (row.reached and row.target != "passive"):
        return row.state
    return f"{row.state}>{row.target}"


def _whole(text: Text, widths: Widths) -> Text:
    """On a very narrow terminal, not even the columns fit."""
    text.truncate(widths.total, overflow="ellipsis")
    return text


def _cell(words: str, width: int, style: str = "") -> Text:
    text = Text(sanitize(words).replace("\n", " ").replace("\t", " "), style)
    text.truncate(width, overflow="ellipsis", pad=True)
    return text
