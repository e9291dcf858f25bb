"""The router went and came back: it is written down, and tells why agents ended."""

import pytest
from tests.unit.core.fakes import FakeClock

from hostmanager.agent.framework.router_absence import AFTERWARDS, RouterAbsence
from hostmanager.journal import Kind


class Recorder:
    def __init__(self):
        self.entries = []

    def record(self, kind, text, instance_id=None, data=None, at=None):
        self.entries.append((kind, text, data))


@pytest.fixture
def clock():
    return FakeClock()


def test_both_are_written_down_once(clock):
    journal = Recorder()
    absence = RouterAbsence(journal, clock.now)
    absence.came()  # the first time is no return
    absence.went("cut")
    clock.advance(34)
    absence.went("refused")
    absence.came()
    absence.came()
    assert [entry[0] for entry in journal.entries] == [Kind.ROUTER, Kind.ROUTER]
    assert journal.entries[0][1].startswith("the router went")
    assert journal.entries[1][1] == "the router came back after 34 s"
    assert journal.entries[1][2] == {"event": "came", "away": 34.0}


def test_why_an_agent_ended_is_told_while_it_is_away_and_a_while_after(clock):
    absence = RouterAbsence(Recorder(), clock.now)
    assert absence.why_ended() == ""
    absence.went("cut")
    assert absence.why_ended() == "by its own crossbar_timeout: the router is away"
    clock.advance(3600)
    absence.came()
    assert absence.why_ended() == "by its own crossbar_timeout: the router was away"
    clock.advance(AFTERWARDS + 1)
    assert absence.why_ended() == ""
