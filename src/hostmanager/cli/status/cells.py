"""What the tables of `status` are made of: their columns, the styles of their cells."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from rich.text import Text

from hostmanager.client.status.model import AgentStatus, StatusSeverity

SEVERITY_STYLES = {
    StatusSeverity.OK: "",
    StatusSeverity.INFO: "",
    StatusSeverity.WARNING: "yellow",
    StatusSeverity.UNKNOWN: "magenta",
    StatusSeverity.ERROR: "bold red",
}


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its heading, what it shows of an agent now, its alignment, its least width."""

    heading: str
    cell: Callable[[AgentStatus, float], Text]
    justify: Literal["left", "right"] = "left"
    min_width: int = 4


def name_cell(agent: AgentStatus, _: float) -> Text:
    """The instance-id, in the style of how bad its status is."""
    quiet = "dim" if agent.child is None else ""
    return Text(agent.instance_id, SEVERITY_STYLES[agent.severity] or quiet)


def text_or_blank(value: object) -> str:
    """A value that may be unknown, as text."""
    return "" if value is None else str(value)
