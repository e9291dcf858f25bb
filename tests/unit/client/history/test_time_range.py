"""Ranges of time: what somebody gives, what an address has, and round times on an axis."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostmanager.client.history.time_range import MAX_RANGE, MIN_RANGE, parse_range, ticks
from hostmanager.client.history.timeline_model import TimeSpan

NOW = 1_790_000_000.0


@pytest.mark.parametrize(
    ("start", "end", "seconds"),
    [
        ("", "", 86_400),
        ("-24h", "now", 86_400),
        ("90m", "-30m", 3600),
        ("-1h30m", "", 5400),
        ("2026-01-31T14:05:00+01:00", "2026-01-31T13:06:00Z", 60),
        ("2026-01-31T14:05:00 01:00", "2026-01-31T13:06:00Z", 60),
        ("2026-01-31", "2026-01-31T12:00", 43_200),
        ("2026-01-31 14:05", "2026-01-31T14:05:30", 30),
        ("1789999000", "1790000000", 1000),
    ],
)
def test_a_range_is_given_by_times_or_ages(start, end, seconds):
    assert parse_range(start, end, NOW).seconds == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("start", "end", "part"),
    [
        ("yesterday", "", "'from' is 'yesterday'; write an age such as -24h"),
        ("", "soon", "'to' is 'soon'; write"),
        ("-1h", "-2h", "must be before"),
        ("-1000d", "", "at most 400 d"),
        ("-99999999d", "", "before 1970"),
        ("1" * 400, "", "'from' is"),
        ("2026-13-45", "", "'from' is"),
    ],
)
def test_a_range_that_makes_no_sense_is_refused_with_the_right_form(start, end, part):
    with pytest.raises(ValueError, match=part):
        parse_range(start, end, NOW)


def test_ages_count_by_the_clock_of_each_manager_and_times_stay():
    assert parse_range("-1h", "now", NOW).by_clock(600) == (NOW - 3000, NOW + 600)
    absolute = parse_range("2026-01-31", "2026-02-01", NOW)
    assert absolute.by_clock(600) == absolute.by_clock(0)


spans = st.tuples(st.floats(1e9, NOW - 60), st.floats(MIN_RANGE, MAX_RANGE))


@given(spans, st.sampled_from([0.25, 0.5, 2.0, 4.0]), st.sampled_from([-0.5, 0.5, 1.0]))
def test_links_to_other_ranges_can_be_read_again(span, factor, share):
    start, seconds = span
    given_range = parse_range(str(start), str(min(NOW, start + seconds)), NOW)
    for parameters in (
        given_range.parameters,
        given_range.zoomed(factor),
        given_range.moved(share),
    ):
        read = parse_range(parameters["from"], parameters["to"], NOW)
        assert read.end <= NOW + 1


@given(spans)
def test_an_axis_has_a_few_ticks_in_their_order(span):
    start, seconds = span
    times = [when for when, text in ticks(TimeSpan(start, start + seconds)) if text]
    assert len(times) <= 8
    assert times == sorted(times)
    assert all(start <= when <= start + seconds for when in times)
