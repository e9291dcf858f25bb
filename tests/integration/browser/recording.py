"""What ocs-web was recorded to send and to get, and whether an answer has the recorded shape.

`recorded/ocs-web.jsonl` is a whole session of its HostManager panel with the host manager of
OCS. A line is a call with its arguments and the shape of the answer: types in place of values.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

RECORDING = Path(__file__).parent / "recorded" / "ocs-web.jsonl"
ROOT, MANAGER = "observatory", "hm-daq1"
"""Address root and manager of the site that was recorded."""

MORE = "..."
"""Stands in a shape for more elements like those before."""

TYPES: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "number": (int, float),
    "bool": (bool,),
    "null": (type(None),),
}


class RecordedCall(NamedTuple):
    """One call, and the shape of what was answered."""

    procedure: str
    args: list[Any]
    shape: Any

    def __str__(self) -> str:
        return f"{self.procedure} {self.args}"


def recorded() -> list[dict[str, Any]]:
    """All lines of the recording."""
    return [json.loads(line) for line in RECORDING.read_text().splitlines()]


def recorded_calls() -> list[RecordedCall]:
    """The calls, in order."""
    return [
        RecordedCall(line["call"], line["args"], line["result_shape"][0][0])
        for line in recorded()
        if "call" in line
    ]


def heartbeat_shape() -> Any:
    """The shape of a heartbeat of the manager: op codes, and the feed."""
    [event] = [line for line in recorded() if "event" in line]
    return event["shape"][1][0]


def misfits(answer: Any, shape: Any, path: str = "answer") -> list[str]:
    """Tell what of the shape is not there, or of another type; more than the shape is fine."""
    if isinstance(shape, str):
        fits = isinstance(answer, TYPES[shape]) and (
            shape == "bool" or not isinstance(answer, bool)
        )
        return [] if fits else [f"{path}: {answer!r} is no {shape}"]
    if not isinstance(answer, type(shape)):
        return [f"{path}: {type(answer).__name__} instead of {type(shape).__name__}"]
    if isinstance(shape, dict):
        missing = [f"{path}: no {key!r}" for key in shape if key not in answer]
        pairs = [(key, answer[key], part) for key, part in shape.items() if key in answer]
    else:
        parts = [part for part in shape if part != MORE]
        alike = [part for part in parts if part == parts[0]]
        many = len(alike) == len(parts) and not isinstance(parts[0], str)
        shapes = [parts[0]] * max(len(answer), 1) if many else parts
        missing = [f"{path}: {len(answer)} elements"] if len(answer) < len(shapes) else []
        pairs = list(zip(range(len(answer)), answer, shapes, strict=False))
    inner = [misfits(value, part, f"{path}[{key!r}]") for key, value, part in pairs]
    return missing + [text for texts in inner for text in texts]
