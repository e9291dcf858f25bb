"""The heartbeat: one a second, whatever fails."""

from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest
from tests.unit.core.fakes import FakeClock

from hostmanager.agent.framework import connection
from hostmanager.agent.framework.connection import RouterSession
from hostmanager.util.guard import Guard


@pytest.fixture
def clock(monkeypatch):
    clock = FakeClock()
    monkeypatch.setattr(connection.asyncio, "get_running_loop", lambda: clock)
    return clock


@pytest.fixture
def session(clock):
    """What a heartbeat needs of a session; its transport can be made to fail."""
    made = MagicMock(sessions={"update": None}, _next_beat=None, _guard=Guard(clock.call_later))
    made._beat = lambda *args: RouterSession._send_heartbeat(made, *args)
    made._request_id_gen = SimpleNamespace(next=lambda: 1)
    return made


def beats(session, clock, seconds):
    session._transport.send.reset_mock()
    clock.advance(seconds)
    return session._transport.send.call_count


def test_there_is_one_a_second(session, clock):
    session._beat("x.feeds.heartbeat", {})
    assert beats(session, clock, 60) == 60


def test_failures_do_not_make_more_of_them(session, clock):
    session._beat("x.feeds.heartbeat", {})
    session._transport.send.side_effect = ValueError("what nobody thought of")
    clock.advance(300)
    session._transport.send.side_effect = None
    clock.advance(10)
    assert beats(session, clock, 60) == 60
