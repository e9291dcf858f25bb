"""A timeline: bands that tile a range, and nothing that nobody watched is claimed."""

from itertools import count, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostmanager.client.history.journal_event import Fact, JournalEvent, in_order
from hostmanager.client.history.timeline import CurrentState, HostEvents, make_lanes
from hostmanager.client.history.timeline_model import TimeSpan
from hostmanager.client.status.model import StatusSeverity

ERROR, UNKNOWN, OK = StatusSeverity.ERROR, StatusSeverity.UNKNOWN, StatusSeverity.OK
_ids = count(1)


def event(when, kind, name=None, text="", **facts):
    return JournalEvent(next(_ids), when, name, Fact(kind, **facts), text)


def state(when, before, after, *, name="a", kind="state", target="up", **facts):
    return event(when, kind, name, before=before, after=after, target=target, **facts)


def started(when):
    return event(when, "manager", event="started")


def lanes(events, begins=0.0, now=1000.0, span=(0.0, 1000.0), current=None):
    known = HostEvents(events, begins, now, current or {})
    return {lane.instance_id: lane for lane in make_lanes("h", known, TimeSpan(*span))}


def bands(lane):
    return [(band.start, band.end, band.state) for band in lane.bands]


CRASH = [
    state(100, "up", "waiting", kind="exit", expected=False),
    state(110, "waiting", "starting"),
    state(112, "starting", "up", kind="launch", launched=True),
]


def test_a_crash_is_a_band_until_the_agent_is_up_again():
    lane = lanes(CRASH)["a"]
    expected = [(0, 100, "up"), (100, 110, "restarting"), (110, 112, "starting"), (112, 1000, "up")]
    assert bands(lane) == expected
    assert [band.severity for band in lane.bands] == [OK, ERROR, ERROR, OK]
    assert [(mark.time, mark.kind) for mark in lane.marks] == [(100, "crash"), (112, "start")]


def test_a_requested_restart_is_no_fault():
    events = [
        state(100, "up", "stopping"),
        state(105, "stopping", "starting", kind="exit", expected=True),
        state(106, "starting", "up", kind="launch", launched=True),
    ]
    assert ERROR not in {band.severity for band in lanes(events)["a"].bands}


def test_an_agent_that_is_down_as_requested_is_no_fault_and_one_that_gave_up_is():
    events = [state(100, "up", "down", kind="exit", target="down", expected=True)]
    assert lanes(events)["a"].bands[-1].severity is StatusSeverity.INFO
    events = [state(100, "waiting", "given_up", kind="exit", expected=False)]
    assert lanes(events)["a"].bands[-1].severity is ERROR


def test_an_agent_that_hangs_is_not_up():
    events = [*CRASH, event(500, "health", "a", before="ok", after="no_heartbeat")]
    assert bands(lanes(events)["a"])[-1] == (500, 1000, "up, no heartbeat")
    events.append(event(600, "health", "a", before="no_heartbeat", after="ok"))
    assert bands(lanes(events)["a"])[-1] == (600, 1000, "up")


def test_a_health_that_came_first_says_what_was_before():
    events = [event(500, "health", "a", before="no_heartbeat", after="ok")]
    assert bands(lanes(events)["a"]) == [(0, 500, "up, no heartbeat"), (500, 1000, "up")]


def test_nothing_is_claimed_of_the_time_in_which_the_manager_was_gone():
    events = [
        started(10),
        state(11, None, "up", kind="launch"),
        event(300, "manager", event="ended"),
        started(400),
        state(401, None, "up", kind="launch", launched=False),
    ]
    found = lanes(events)
    assert bands(found["a"]) == [
        (0, 11, "unknown"),
        (11, 300, "up"),
        (300, 401, "unknown"),
        (401, 1000, "up"),
    ]
    assert bands(found[""])[-2:] == [(300, 400, "not running"), (400, 1000, "running")]


@pytest.mark.parametrize(("alive_until", "lost"), [(None, 200), (350.0, 350)])
def test_a_manager_that_was_killed_watched_until_its_last_sign_of_life(alive_until, lost):
    events = [
        started(10),
        state(11, None, "up", kind="launch"),
        event(200, "request", "a", operation="update"),
        event(400, "manager", event="vanished", alive_until=alive_until),
        started(400.1),
        state(401, None, "up", kind="launch", launched=False),
    ]
    assert (lost, 401, "unknown") in bands(lanes(events)["a"])


def test_an_agent_that_the_next_manager_does_not_name_is_gone():
    events = [
        started(10),
        state(11, None, "up", kind="launch"),
        event(300, "manager", event="ended"),
        started(400),
    ]
    assert bands(lanes(events)["a"])[-2:] == [(300, 400, "unknown"), (400, 1000, "")]


def test_an_agent_that_came_and_went_by_a_reload_is_not_there_before_and_after():
    events = [
        state(200, None, "starting"),
        state(210, "starting", "up", kind="launch", launched=True),
        state(300, "stopping", None, target=None),
    ]
    found = bands(lanes(events)["a"])
    assert (found[0], found[-1]) == ((0, 200, ""), (300, 1000, ""))


def test_before_the_journal_begins_nothing_is_known():
    lane = lanes(CRASH, begins=90)["a"]
    assert bands(lane)[:2] == [(0, 90, "unknown"), (90, 100, "up")]


def test_an_agent_without_entries_has_been_as_it_is_now():
    current = {"b": CurrentState("up", "up", "ok"), "c": CurrentState("start_at", "up")}
    found = lanes(CRASH, current=current)
    assert bands(found["b"]) == [(0, 1000, "up")]
    assert bands(found["c"]) == [(0, 1000, "restarting")]


def test_the_future_has_no_bands():
    assert bands(lanes(CRASH, now=500, span=(0, 1000))["a"])[-1][1] == 500


def test_a_silence_ends_by_itself_or_by_request():
    silence = {"operation": "silence", "kind": "request", "name": "a"}
    events = [
        *CRASH,
        event(200, seconds=50.0, **silence),
        event(400, seconds=500.0, **silence),
        event(450, **silence),
    ]
    found = lanes(events)["a"].silences
    assert [(band.start, band.end) for band in found] == [(200, 250), (400, 450)]


def test_the_router_that_is_away_is_a_band_of_the_manager_alone():
    events = [*CRASH, event(300, "router", event="went"), event(340, "router", event="came")]
    found = lanes(events)
    assert (300, 340, "router away") in bands(found[""])
    assert bands(found["a"])[-1] == (112, 1000, "up")


def test_a_clock_that_was_wrong_for_a_while_does_not_reorder_what_happened():
    events = [started(10), started(90_000), started(50)]
    assert [e.time for e in in_order(events, 60)] == [10, 50, 50]


names = st.sampled_from(["a", "b/c", "ü"])
states = st.sampled_from(
    [None, "down", "waiting", "given_up", "starting", "up", "unseen", "killing"]
)
times = st.floats(-100, 1200)
facts = st.one_of(
    st.builds(
        Fact,
        st.sampled_from(["state", "launch", "exit"]),
        states,
        states,
        st.sampled_from([None, "up", "down", "passive"]),
        st.sampled_from([None, True, False]),
    ),
    st.builds(Fact, st.just("health"), st.just("ok"), st.sampled_from(["ok", "no_heartbeat"])),
    st.builds(
        Fact,
        st.sampled_from(["manager", "router", "request"]),
        event=st.sampled_from(["started", "ended", "vanished", "went", "came", None]),
        operation=st.sampled_from([None, "silence"]),
        seconds=st.sampled_from([None, 5.0, 1e9]),
        alive_until=st.one_of(st.none(), times),
    ),
)
events_of_any_kind = st.lists(
    st.builds(JournalEvent, st.just(1), times, st.one_of(st.none(), names), facts, st.just("")),
    max_size=30,
)


@given(events_of_any_kind, times, times, st.tuples(times, times).map(sorted))
def test_bands_tile_the_range_without_a_gap_or_an_overlap(events, begins, now, span):
    for lane in lanes(events, begins, now, span, {"z": CurrentState("up", "up")}).values():
        end = min(span[1], now)
        assert [b.end for b in lane.bands[:-1]] == [b.start for b in lane.bands[1:]]
        assert all(band.end > band.start for band in lane.bands)
        assert not lane.bands or (lane.bands[0].start, lane.bands[-1].end) == (span[0], end)
        assert lane.bands or end <= span[0]
        assert not any(
            (one.state, one.severity) == (other.state, other.severity) and one.state != "unknown"
            for one, other in pairwise(lane.bands)
        )
