"""A column of the tables of `status`."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its heading, its alignment, its least width."""

    heading: str
    justify: Literal["left", "right"] = "left"
    min_width: int = 4
