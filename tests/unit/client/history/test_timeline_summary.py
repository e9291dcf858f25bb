"""What a timeline comes to, in sentences."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from hostmanager.client.history.timeline_model import Band, Lane, Mark
from hostmanager.client.history.timeline_summary import STEADY_TIME, faults_of, summarize_lane
from hostmanager.client.status.model import StatusSeverity

STATES = {
    "up": StatusSeverity.OK,
    "down": StatusSeverity.INFO,
    "restarting": StatusSeverity.ERROR,
    "starting": StatusSeverity.WARNING,
    "unknown": StatusSeverity.UNKNOWN,
    "": StatusSeverity.OK,
}


def bands(*parts):
    when, found = 0.0, []
    for state, seconds in parts:
        found.append(Band(when, when + seconds, state, STATES[state], f"{state} since {when:g}"))
        when += seconds
    return found


def summary(*parts, crashes=0):
    marks = [Mark(1.0, "crash", "")] * crashes
    return summarize_lane(Lane("h", "a", bands(*parts), marks))


def test_a_crash_loop_is_one_fault_with_its_first_cause():
    loop = [("up", 100), *[("restarting", 30), ("up", 5)] * 10, ("up", 100)]
    assert [(f.start, f.end, f.text) for f in faults_of(bands(*loop))] == [
        (100, 445, "restarting since 100")
    ]
    text = summary(*loop, crashes=10).text
    assert text == "did not work once, for 5 m 45 s; exited unexpectedly 10 times"


def test_faults_with_a_quiet_minute_between_them_are_counted():
    found = summary(("restarting", 30), ("up", STEADY_TIME), ("restarting", 90), ("up", 9))
    assert found.text == "did not work twice, for 2 m 00 s in all, at most 1 m 30 s at a time"
    assert found.brief == "2 faults, 2 m 00 s (longest 1 m 30 s)"


def test_what_nobody_watched_is_said_and_is_no_fault():
    found = summary(("up", 9), ("unknown", 3600), ("up", 9))
    assert (found.text, found.is_quiet) == ("not known for 1 h 00 m", False)
    assert summary(("up", 9), ("down", 100)).text == "no fault"


parts = st.lists(st.tuples(st.sampled_from(sorted(STATES)), st.floats(1, 200)), max_size=20)


@given(parts)
def test_faults_are_in_order_apart_and_hold_all_bands_of_a_fault(given_parts):
    tiles = bands(*given_parts)
    faults = faults_of(tiles)
    assert all(one.end < other.start for one, other in pairwise(faults))
    wrong = [band for band in tiles if band.severity is StatusSeverity.ERROR]
    assert all(any(f.start <= b.start and b.end <= f.end for f in faults) for b in wrong)
    assert not wrong or faults
