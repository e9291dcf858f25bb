"""An experiment: it is done with one manager, and fills rows of the table."""

from collections.abc import Callable
from dataclasses import dataclass

from bench.harness import Harness
from bench.model import OURS, REFERENCE, Row, Samples


@dataclass(frozen=True)
class Experiment:
    """Something that is done with one manager and fills one row or several.

    Attributes:
        name: For ``--only`` and the progress display.
        rows: The rows that it fills.
        measure: Does it. It puts samples into the dictionary as it goes, so that a
            failure half-way keeps what was seen before it.
        kinds: The managers that it is done with.
    """

    name: str
    rows: tuple[Row, ...]
    measure: Callable[[Harness, str, Samples], None]
    kinds: tuple[str, ...] = (REFERENCE, OURS)
