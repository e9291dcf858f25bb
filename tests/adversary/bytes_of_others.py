"""What hypothesis makes up for the parsers of bytes that others write."""

import itertools
import tempfile
from pathlib import Path

from hypothesis import strategies as st

DIGITS = "9" * 5000
NUMBERS = st.sampled_from(
    ["0", "1", "-1", "²", "٣", "1e3", "nan", "inf", "", " 1", str(2**63), DIGITS]
)
TEXTS = st.text(max_size=40) | st.sampled_from(
    [
        "",
        "..",
        "a b\n",
        "x" * 300,
        "../../etc/x",
        "\udcff",
        "a\x1b[2J",
        "a/b",
        "\0",
        "kühler",
        DIGITS,
    ]
)
BYTES = st.binary(max_size=300)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS | NUMBERS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=10,
)


def shown(value: object) -> None:
    """What reaches people and clients can be written."""
    str(value).encode("utf-8", "surrogatepass")


def make_directory():
    """Make the fixture ``directory``, for a module."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


FRESH = itertools.count()


def fresh(directory: Path) -> Path:
    """A new directory in there."""
    made = directory / str(next(FRESH))
    made.mkdir()
    return made
