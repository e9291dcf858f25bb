"""Starts of an operation wait for their turn, with the credential level of their client."""

from types import SimpleNamespace
from typing import Any

import ocs
import pytest
from twisted.internet.defer import Deferred, maybeDeferred

from hostmanager.agent.framework import router_session
from hostmanager.agent.framework.router_session import MAX_WAITING_CALLS, RouterSession
from hostmanager.agent.operations.call_validation import EndedSessions


class FakeSession:
    """A session of OCS."""

    def __init__(self, number: int) -> None:
        self.session_id, self.op_name, self.cred_level = number, "update", 4
        self.d: Deferred[Any] = Deferred()
        self.purger: Deferred[None] = Deferred()

    def encoded(self) -> dict[str, Any]:
        return {"session_id": self.session_id, "op_name": self.op_name}


class SessionWithoutRouter(RouterSession):
    """As much of an agent as starts need; OCS refuses what has the parameter `bad`."""

    def __init__(self) -> None:
        self.sessions: dict[str, Any] = {}
        self.tasks, self.processes = {"update": SimpleNamespace(min_privs=1)}, {}
        self._turns = {}
        self._ended_sessions = EndedSessions(lambda *_: None)
        self.made: list[FakeSession] = []
        self.queue_starts("update")

    def start(self, op_name: str, params: Any = None, password: Any = None) -> Any:
        assert password is self
        if "bad" in params:
            return ocs.ERROR, "bad", {}
        self.made.append(FakeSession(len(self.made)))
        self.sessions[op_name] = self.made[-1]
        return ocs.OK, "Started.", self.made[-1].encoded()


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> SessionWithoutRouter:
    call_later = SimpleNamespace(callLater=lambda _, call: call())
    monkeypatch.setattr(router_session, "reactor", call_later)
    return SessionWithoutRouter()


def start(session: SessionWithoutRouter, level: int = 1, **params: Any) -> list[Any]:
    replies: list[Any] = []
    maybeDeferred(session._start_in_turn, "update", params, level).addCallback(replies.append)
    return replies


def test_a_start_waits_until_the_one_before_it_has_ended(session):
    assert [status for status, _, _ in start(session)] == [ocs.OK]
    second = start(session)
    assert second == []
    session.made[0].d.callback((True, "Done."))
    assert [data["session_id"] for _, _, data in second] == [1]
    assert session._ended_sessions.reply("update", {"session_id": 0}) is not None


def test_a_session_has_the_level_of_its_client(session):
    start(session, level=1)
    start(session, level=3)
    session.made[0].d.callback((True, "Done."))
    assert [made.cred_level for made in session.made] == [1, 3]


def test_a_refused_start_keeps_no_other_one_waiting(session):
    start(session)
    refused, third = start(session, bad=True), start(session)
    session.made[0].d.callback((True, "Done."))
    assert refused == [(ocs.ERROR, "bad", {})]
    assert [status for status, _, _ in third] == [ocs.OK]


def test_the_number_of_waiting_starts_is_bounded(session):
    start(session)
    waiting = [start(session) for _ in range(MAX_WAITING_CALLS)]
    ((status, text, _),) = start(session)
    assert (status, waiting) == (ocs.ERROR, [[]] * MAX_WAITING_CALLS)
    assert text.startswith(f"{MAX_WAITING_CALLS} calls of ")
