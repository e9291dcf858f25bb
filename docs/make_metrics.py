"""Write the tables of metrics.md from the code: the lines between the marks are replaced.

Run it with ``python docs/make_metrics.py``. The text around the tables is written by hand.
"""

import re
import sys
from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path

from hostmanager.agent.metrics.codes import HEALTH_CODES, STATE_CODES, TARGET_CODES
from hostmanager.agent.metrics.event_counts import EXIT_REASONS
from hostmanager.agent.metrics.feed import AGENT_FIELDS, HOST_FIELDS, USAGE_FIELDS, Field
from hostmanager.agent.metrics.table import LOOP_LAG, LOOP_LAG_HELP, METRICS

PAGE = Path(__file__).with_name("metrics.md")
COMMAND = "python docs/make_metrics.py"


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A table of Markdown."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def metrics() -> str:
    """All metrics."""
    rows = [
        (LOOP_LAG, "gauge", (), LOOP_LAG_HELP),
        *((m.name, m.kind, m.labels, m.help) for m in METRICS),
    ]
    head = ("metric", "type", "labels", "meaning")
    return table(head, [(f"`{n}`", k, ", ".join(f"`{x}`" for x in ls), h) for n, k, ls, h in rows])


def fields(listed: Iterable[Field]) -> str:
    """The fields of a block."""
    return table(
        ("field", "type", "meaning"), [(f"`{f.name}`", f.type.__name__, f.help) for f in listed]
    )


def codes(words: Mapping[StrEnum, int]) -> str:
    """What the numbers stand for."""
    return ", ".join(f"{code} `{word.value}`" for word, code in words.items())


TABLES = {
    "metrics": metrics,
    "codes": lambda: table(
        ("figure", "codes"),
        [
            ("state", codes(STATE_CODES)),
            ("target", codes(TARGET_CODES)),
            ("health", codes(HEALTH_CODES)),
        ],
    ),
    "reasons": lambda: table(
        ("reason", "how it ended"), [(f"`{r}`", t) for r, t in EXIT_REASONS.items()]
    ),
    "agent fields": lambda: fields(AGENT_FIELDS),
    "usage fields": lambda: fields(USAGE_FIELDS),
    "host fields": lambda: fields(HOST_FIELDS),
}


def page(text: str) -> str:
    """The page with its tables of today."""
    for name, make in TABLES.items():
        begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
        if text.count(begin) != 1 or text.count(end) != 1:
            raise ValueError(f"{PAGE.name} has not once {begin} and {end}")
        pattern = re.escape(begin) + ".*?" + re.escape(end)
        table_text = f"{begin}\n{make()}\n{end}"
        text = re.sub(pattern, lambda _, t=table_text: t, text, flags=re.DOTALL)
    return text


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    print(f"{PAGE} written", file=sys.stderr)
