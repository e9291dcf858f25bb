"""Times for people, the values of `--since`, and text of agents made safe for a terminal."""

import re
import time
import unicodedata
from datetime import datetime

from hostmanager.client.manager_time import RelativeTime
from hostmanager.util.text import format_duration, parse_time_span

_COLOURS = re.compile(r"\x1b\[[0-9;]*[mK]")
_HIDDEN_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_FILLERS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0")
_STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:[+-]\d{4}|Z) ")
_FORMS = ("%H:%M", "%H:%M:%S", "%Y-%m-%d", "%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S")

SINCE_HELP = "a duration such as 90s, 10m, 2h or 1d, a time such as 14:05 or '2026-01-31 14:05'"


def ago(when: float, now: float) -> str:
    """Show how long ago a Unix time was. Clocks of hosts differ: the future is "just now"."""
    return "just now" if when >= now else f"{format_duration(now - when)} ago"


def format_time(when: float | None, now: float, *, fine: bool = False) -> str:
    """Show a Unix time in local time, with the date unless it is today."""
    if when is None:
        return ""
    there = time.localtime(when)  # a timeline shows ten thousand: much faster than a datetime
    milliseconds = f".{int(when % 1 * 1000):03}" if fine else ""
    text = f"{there.tm_hour:02}:{there.tm_min:02}:{there.tm_sec:02}{milliseconds}"
    if there[:3] == time.localtime(now)[:3]:
        return text
    return f"{there.tm_year}-{there.tm_mon:02}-{there.tm_mday:02} {text}"


def parse_since(text: str, now: float | None = None) -> float:
    """Read the value of `--since` as a Unix time.

    Raises:
        ValueError: It is not a time or a duration.
    """
    now = time.time() if now is None else now
    text = text.strip()
    if re.fullmatch(r"\d{9,11}(\.\d+)?", text):
        return float(text)
    for form in _FORMS:
        try:
            parsed = datetime.strptime(text.replace("T", " "), form)
        except ValueError:
            continue
        if not form.startswith("%Y"):
            parsed = datetime.combine(datetime.fromtimestamp(now).date(), parsed.time())
            when = parsed.timestamp()
            return when if when <= now else when - 86400.0  # 23:50, typed shortly after midnight
        return parsed.timestamp()
    try:
        return RelativeTime(parse_time_span(text), now)
    except ValueError:
        raise ValueError(f"{text!r} is not a valid time; write {SINCE_HELP}.") from None


class _Visible(dict[int, int]):
    """What is shown for each character, found out when it first comes."""

    def __init__(self, kept: str) -> None:
        super().__init__({ord(character): ord(character) for character in kept})

    def __missing__(self, code: int) -> int:
        character = chr(code)
        hidden = unicodedata.category(character) in _HIDDEN_CATEGORIES or character in _FILLERS
        shown = code if not hidden else 0x2400 + code if code < 0x20 else 0xFFFD
        self[code] = shown
        return shown


_VISIBLE = _Visible("\t\n")
_PRINTED = _Visible("\t\n\r\x07\x08\x1b")


def sanitize(text: str) -> str:
    """Make text of agents safe for a terminal: it must not clear the screen, or worse.

    Colours are removed; other control characters are replaced by symbols, as ␛ or ␇. Characters
    that cannot be seen, or turn the direction of what follows, are replaced by �: they can make a
    line look like another one.
    """
    return _COLOURS.sub("", text).translate(_VISIBLE)


def remove_hidden(printed: str) -> str:
    """Make any printed text safe, as `sanitize` does; colours stay."""
    return printed if printed.isascii() else printed.translate(_PRINTED)


def strip_timestamp(line: str) -> str:
    """Remove the time that OCS puts before each line of an agent."""
    match = _STAMP.match(line)
    return line[match.end() :] if match else line
