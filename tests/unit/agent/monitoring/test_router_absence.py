"""The router went and came back: it is written down, and tells why agents ended."""

import pytest
from tests.unit.core.fakes import FakeClock

from hostmanager.agent.monitoring.router_absence import EXIT_REASON_GRACE, RouterAbsence
from hostmanager.journal import EntryKind


class RecordingJournal:
    def __init__(self):
        self.entries = []

    def record(self, kind, text, instance_id=None, data=None, at=None):
        self.entries.append((kind, text, data))


@pytest.fixture
def clock():
    return FakeClock()


def test_loss_and_return_are_recorded_once(clock):
    journal = RecordingJournal()
    absence = RouterAbsence(journal, clock.now)
    absence.on_connected()  # the first time is no return
    absence.on_lost("cut")
    clock.advance(34)
    absence.on_lost("refused")
    absence.on_connected()
    absence.on_connected()
    assert [entry[0] for entry in journal.entries] == [EntryKind.ROUTER, EntryKind.ROUTER]
    assert journal.entries[0][1].startswith("the router went")
    assert journal.entries[1][1] == "the router came back after 34 s"
    assert journal.entries[1][2] == {"event": "came", "away": 34.0}


def test_the_exit_reason_holds_during_an_absence_and_shortly_after(clock):
    absence = RouterAbsence(RecordingJournal(), clock.now)
    assert absence.exit_reason() == ""
    absence.on_lost("cut")
    assert absence.exit_reason() == "by its own crossbar_timeout: the router is away"
    clock.advance(3600)
    absence.on_connected()
    assert absence.exit_reason() == "by its own crossbar_timeout: the router was away"
    clock.advance(EXIT_REASON_GRACE + 1)
    assert absence.exit_reason() == ""
