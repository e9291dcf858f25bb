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
    """One column.

    Attributes:
        heading: Its heading.
        cell: What it shows of an agent now.
        justify: Its alignment.
        min_width: How narrow it may get; None: its cells are not shortened, since half a number
            says something else.
        rank: On a narrow terminal, columns of the highest rank are left out first; those of
            rank 0 never.
    """

    heading: str
    cell: Callable[[AgentStatus, float], Text]
    justify: Literal["left", "right"] = "left"
    min_width: int | None = None
    rank: int = 0


def name_cell(agent: AgentStatus, _: float) -> Text:
    """The instance-id, in the style of how bad its status is."""
    quiet = "dim" if agent.child is None else ""
    return Text(agent.instance_id, SEVERITY_STYLES[agent.severity] or quiet)


def text_or_blank(value: object) -> str:
    """A value that may be unknown, as text."""
    return "" if value is None else str(value)
