"""Wording that all messages share: counts, lists, durations, quoted values, suggestions."""

import difflib
import math
import re
from collections.abc import Iterable, Sequence
from typing import AnyStr

MAX_VALUE_CHARS = 60
"""Characters of a value that a message quotes."""

MAX_LISTED = 20
"""Names that a message lists."""

SIMILARITY = 0.6
"""How alike two words must be for a suggestion; 1 is equal."""

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd])")


def quote_value(value: object) -> str:
    """Show a value in a message: quoted, printable, never long."""
    if isinstance(value, str):
        cut = value[:MAX_VALUE_CHARS]
        return repr(cut) if cut == value else f"{cut + '…'!r}"
    if isinstance(value, list | tuple | set):
        return "a list"
    if isinstance(value, dict):
        return "a mapping"
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = str(value)
    return text if len(text) <= MAX_VALUE_CHARS else text[:MAX_VALUE_CHARS] + "…"


def join_names(names: Sequence[str], limit: int = MAX_LISTED, *, quote: bool = False) -> str:
    """List names in a message; a list of more than `limit` names is cut."""
    text = ", ".join(quote_value(name) if quote else name for name in names[:limit])
    return text if len(names) <= limit else f"{text} and {len(names) - limit} more"


def pluralize(number: int, noun: str) -> str:
    """Count things in English: ``1 warning``, ``2 warnings``."""
    return f"{number} {noun if number == 1 else noun + 's'}"


def closest_matches(
    word: object, candidates: Iterable[str], limit: int = 3, similarity: float = SIMILARITY
) -> list[str]:
    """Find the known words that were probably meant, the closest first. Case does not count."""
    if not isinstance(word, str) or len(word) > MAX_VALUE_CHARS:
        return []  # comparing long words takes longer than a suggestion is worth
    by_lower = {candidate.lower(): candidate for candidate in candidates}
    matches = difflib.get_close_matches(word.lower(), by_lower, n=limit, cutoff=similarity)
    return [by_lower[match] for match in matches]


def closest_match(
    word: object, candidates: Iterable[str], similarity: float = SIMILARITY
) -> str | None:
    """Find the known word that was probably meant, or None."""
    return next(iter(closest_matches(word, candidates, 1, similarity)), None)


def did_you_mean(word: object, candidates: Iterable[str], limit: int = 1) -> str:
    """Ask ``Did you mean 'yes'?``; an empty text when no known word is close."""
    matches = closest_matches(word, candidates, limit)
    if not matches or matches == [word]:
        return ""
    return f"Did you mean {' or '.join(map(repr, matches))}?"


def format_duration(seconds: float | None) -> str:
    """Show a duration in at most two units: ``3 m 12 s``; an empty text for None."""
    if seconds is None:
        return ""
    if 0 <= seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} m {whole % 60:02} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02} m"
    return f"{whole // 86400} d {whole % 86400 // 3600:02} h"


def parse_time_span(text: str) -> float:
    """Read a duration such as ``90``, ``90s`` or ``1h30m``, in seconds.

    Raises:
        ValueError: It is none, or not above 0.
    """
    text = text.strip()
    if re.fullmatch(r"\d+(\.\d+)?", text):
        seconds = float(text)
    else:
        if not re.fullmatch(rf"({_DURATION.pattern}\s*)+", text):
            raise ValueError(f"{text!r} is not a valid duration; write 90s, 10m, 2h or 1d.")
        seconds = sum(float(number) * _UNITS[unit] for number, unit in _DURATION.findall(text))
    if not 0 < seconds < math.inf:
        raise ValueError(f"{text!r} is not above 0.")
    return seconds


def last_state(line: AnyStr, carriage_return: AnyStr) -> AnyStr:
    """Give what a terminal would show of a line: what is behind its last carriage return.

    Progress bars write over themselves that way. Blanks, which clear the line, do not count.
    """
    if carriage_return not in line:
        return line
    states = line.split(carriage_return)
    return next((state for state in reversed(states) if state.strip()), line[:0])


def format_bytes(size: int) -> str:
    """Show a size in decimal units: ``52.3 MB``."""
    value, unit = float(size), "bytes"
    for larger in ("kB", "MB", "GB", "TB", "PB"):
        if value < 999.95:
            break
        value, unit = value / 1000, larger
    return f"{value:.1f} {unit}" if unit != "bytes" else pluralize(size, "byte")


def format_age(seconds: float) -> str:
    """Show an age in one unit, so that it seldom changes: ``12 min``, ``3 h``, ``2 d``."""
    if seconds < 3600:
        return f"{max(1, int(seconds // 60))} min"
    if seconds < 86400:
        return f"{int(seconds // 3600)} h"
    return f"{int(seconds // 86400)} d"


def join_sentences(sentences: Iterable[str]) -> str:
    """Put sentences on one line, with semicolons between them; only the last keeps its full stop."""
    *before, last = [sentence for sentence in sentences if sentence] or [""]
    return "; ".join([*(sentence.rstrip(".") for sentence in before), last])


def summarize(messages: Iterable[object]) -> str:
    """Show the first five messages on one line."""
    texts = [str(message) for message in messages]
    omitted = len(texts) - 5
    return join_sentences((*texts[:5], f"and {omitted} more" if omitted > 0 else ""))


def end_sentence(text: str) -> str:
    """Add a full stop, unless the text ends as a sentence already."""
    return text if text.endswith((".", "?", "!")) else f"{text}."


def truncate(text: str, limit: int) -> str:
    """Shorten a text to `limit` characters; a note gives the full length."""
    if len(text) <= limit:
        return text
    note = f" … ({len(text)} characters)"
    return text[: max(0, limit - len(note))] + note


def truncate_middle(text: str, limit: int) -> str:
    """Shorten a text to `limit` characters; its beginning and its end are kept."""
    if len(text) <= limit:
        return text
    half = limit // 2 - 20
    return f"{text[:half]} … {len(text) - 2 * half} characters … {text[-half:]}"
