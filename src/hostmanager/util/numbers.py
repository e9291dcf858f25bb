"""Numbers in bytes that others wrote: a value, or None, and never an exception.

`str.isdigit` and `int` do not agree: `int("²")` fails, and so does `int` of 5,000 digits.
"""

MAX_NUMBER = 2**63 - 1
_DIGITS = len(str(MAX_NUMBER))


def parse_number(text: str | bytes, largest: int = MAX_NUMBER) -> int | None:
    """Read a whole number in ASCII digits, from 0 to `largest`; None for anything else."""
    if len(text) > _DIGITS or not text.isascii() or not text.isdigit():
        return None
    value = int(text)
    return value if value <= largest else None
