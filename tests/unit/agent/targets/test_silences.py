"""Silences: they end by themselves, outlive the manager, and bear any file."""

import math

import pytest
from tests.unit.core.fakes import FakeClock

from hostmanager.agent.targets.silences import (
    MAX_SILENCE,
    Silence,
    active,
    make_silence,
    read_silences,
    write_silences,
)
from hostmanager.agent.targets.store import TargetStore
from hostmanager.core.model import Target
from hostmanager.core.request_origin import RequestOrigin
from hostmanager.core.requests import RequestError

ANN = RequestOrigin("ann@control", "pump exchange", 1, 100.0)


def test_a_silence_has_an_author_a_reason_and_an_end():
    silence = make_silence(7200, ANN, 100.0)
    assert silence == Silence(100.0, 7300.0, "ann@control", "pump exchange")
    assert active({"a": silence}, 7299.0) == {"a": silence}
    assert active({"a": silence}, 7300.0) == {}


@pytest.mark.parametrize("seconds", [None, "2h", True, 0, -1, MAX_SILENCE + 1, math.inf, math.nan])
def test_a_length_that_makes_no_sense_is_refused(seconds):
    with pytest.raises(RequestError, match="'seconds'"):
        make_silence(seconds, ANN, 100.0)


def test_what_is_written_can_be_read():
    silences = {"a": make_silence(60, ANN, 100.0), "b": make_silence(60, RequestOrigin(), 5.0)}
    assert read_silences(write_silences(silences)) == silences


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        {"a": None},
        {"a": {"since": 1}},
        {"a": {"since": "x", "until": 2.0}},
        {"a": {"since": 1.0, "until": math.inf, "requested_by": None, "reason": None}},
        {"a": {"since": 1.0, "until": 2.0, "requested_by": "x\0y", "reason": None}},
    ],
)
def test_an_entry_that_makes_no_sense_silences_nothing(data):
    assert read_silences(data) == {}


async def test_a_silence_outlives_the_manager_and_ends_by_itself(tmp_path):
    clock = FakeClock()
    store = TargetStore(tmp_path / "wanted.json", clock)
    store.set_targets({"a": Target.DOWN})
    store.save_silences(["a", "b"], make_silence(60, ANN, clock.wall))
    store.save_silences(["b"], None)
    await store.flush(30.0)
    store.close()
    later = TargetStore(tmp_path / "wanted.json", clock)
    assert later.load() == {"a": Target.DOWN}
    assert later.silences().keys() == {"a"}
    later.reset()
    assert later.silences()["a"].reason == "pump exchange"
    clock.advance(60.0)
    assert later.silences() == {}
    later.close()
