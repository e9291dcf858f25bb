"""Times as people write and read them, and text that is safe for a terminal."""

import sys
import unicodedata
from datetime import datetime

import pytest

from hostmanager.client.text import (
    ago,
    format_time,
    parse_since,
    parse_time_span,
    remove_hidden,
    sanitize,
    strip_timestamp,
)
from hostmanager.util.text import format_duration, join_names, last_state

NOW = datetime(2026, 11, 25, 14, 30, 0).timestamp()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, ""),
        (0, "0.0 s"),
        (4.24, "4.2 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 m 00 s"),
        (192, "3 m 12 s"),
        (3600, "1 h 00 m"),
        (86399, "23 h 59 m"),
        (90061, "1 d 01 h"),
        (-3, "0 s"),
    ],
)
def test_lengths_are_reported_in_two_units(seconds, text):
    assert format_duration(seconds) == text


def test_moments_have_their_day_unless_it_is_today():
    assert format_time(NOW, NOW + 5) == "14:30:00"
    assert format_time(NOW + 0.25, NOW, fine=True) == "14:30:00.250"
    assert format_time(NOW - 86400, NOW) == "2026-11-24 14:30:00"
    assert ago(NOW - 70, NOW) == "1 m 10 s ago"
    assert ago(NOW + 9, NOW) == "just now"


@pytest.mark.parametrize(
    ("text", "when"),
    [
        ("90s", NOW - 90),
        ("90", NOW - 90),
        ("1h30m", NOW - 5400),
        ("2 d", NOW - 172800),
        ("14:05", NOW - 1500),
        ("23:50", NOW - 52800),
        ("2026-11-25", NOW - 52200),
        ("2026-11-25 14:05", NOW - 1500),
        ("2026-11-25T14:05:30", NOW - 1470),
        ("1700000000.5", 1700000000.5),
    ],
)
def test_since_takes_lengths_and_moments(text, when):
    assert parse_since(text, NOW) == pytest.approx(when)


@pytest.mark.parametrize("text", ["", "yesterday", "-5m", "0s", "5x", "25:00", "1e9", "nan", "m"])
def test_what_is_no_time_is_refused(text):
    with pytest.raises(ValueError, match="is not a valid time"):
        parse_since(text, NOW)
    with pytest.raises(ValueError):
        parse_time_span(text)


def test_long_lists_are_cut():
    assert join_names(["a", "b"]) == "a, b"
    assert join_names(list("abcdefgh"), 3) == "a, b, c and 5 more"


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("2026-11-25T21:10:31+0000 no device", "no device"),
        ("2026-11-25T21:10:31-0300     indented", "    indented"),
        ("2026-11-25T21:10:31+0000", "2026-11-25T21:10:31+0000"),
        ("at 2026-11-25T21:10:31+0000 it rained", "at 2026-11-25T21:10:31+0000 it rained"),
        ("", ""),
    ],
)
def test_the_time_that_ocs_puts_before_a_line_is_left_out_and_nothing_else(line, text):
    assert strip_timestamp(line) == text


HIDDEN = [
    chr(code)
    for code in range(sys.maxunicode + 1)
    if unicodedata.category(chr(code)) in {"Cc", "Cf", "Cs", "Zl", "Zp"}
]


def test_no_hidden_character_gets_into_a_terminal():
    """Controls, C1, bidirectional marks, zero-width characters, tags, surrogates."""
    assert {"\x1b", "\x9b", "\u202e", "\u200b", "\u2066", "\ufeff", "\xad"} <= set(HIDDEN)
    shown = sanitize("".join(HIDDEN))
    assert set(shown) & set(HIDDEN) == {"\t", "\n"}
    printed = remove_hidden("".join(HIDDEN))
    assert set(printed) & set(HIDDEN) == set("\t\n\r\x07\x08\x1b")


def test_what_people_read_stays():
    text = "kühler 5 °C — Ω → 温度 🔭 é"
    assert sanitize(text) == remove_hidden(text) == text
    assert sanitize("\x1b[1;31mred\x1b[0m\x1b[K") == "red"


@pytest.mark.parametrize(
    ("line", "state"),
    [
        ("plain", "plain"),
        ("dos\r", "dos"),
        (" 10%\r 20%\r 30%", " 30%"),
        ("\r 10%\r 20%\r", " 20%"),
        ("100%\r     \r", "100%"),
        ("\r\r", ""),
        ("", ""),
    ],
)
def test_the_last_state_of_a_line_is_shown(line, state):
    assert last_state(line, "\r") == state
    assert last_state(line.encode(), b"\r") == state.encode()
