"""Starts of an operation wait for their turn, with the credential level of their client."""

from collections.abc import Callable
from typing import Any

import ocs
import pytest
from twisted.internet.defer import Deferred, maybeDeferred

from hostmanager.agent.framework.start_queue import MAX_WAITING_CALLS, StartQueue


class FakeSession:
    """A session of OCS."""

    def __init__(self, number: int) -> None:
        self.session_id, self.op_name, self.cred_level = number, "update", 4
        self.d: Deferred[Any] = Deferred()
        self.purger: Deferred[None] = Deferred()

    def encoded(self) -> dict[str, Any]:
        return {"session_id": self.session_id, "op_name": self.op_name}


class FakeAgent:
    """As much of an agent as starts need; OCS refuses what has the parameter `bad`."""

    def __init__(self) -> None:
        self.sessions: dict[str, Any] = {}
        self.made: list[FakeSession] = []
        self.starts = StartQueue(self, self.call_later)
        self.starts.queue("update")

    def call_later(self, delay: float, call: Callable[..., None], *args: Any) -> None:
        if delay == 0:
            call(*args)

    def start(self, op_name: str, params: Any = None, password: Any = None) -> Any:
        assert password is self
        if "bad" in params:
            return ocs.ERROR, "bad", {}
        self.made.append(FakeSession(len(self.made)))
        self.sessions[op_name] = self.made[-1]
        return ocs.OK, "Started.", self.made[-1].encoded()


@pytest.fixture
def agent() -> FakeAgent:
    return FakeAgent()


def start(agent: FakeAgent, level: int = 1, **params: Any) -> list[Any]:
    replies: list[Any] = []
    maybeDeferred(agent.starts.start, "update", params, level).addCallback(replies.append)
    return replies


def test_a_start_waits_until_the_one_before_it_has_ended(agent):
    assert [status for status, _, _ in start(agent)] == [ocs.OK]
    second = start(agent)
    assert second == []
    agent.made[0].d.callback((True, "Done."))
    assert [data["session_id"] for _, _, data in second] == [1]
    assert agent.starts.ended.reply("update", {"session_id": 0}) is not None


def test_a_session_has_the_level_of_its_client(agent):
    start(agent, level=1)
    start(agent, level=3)
    agent.made[0].d.callback((True, "Done."))
    assert [made.cred_level for made in agent.made] == [1, 3]


def test_a_refused_start_keeps_no_other_one_waiting(agent):
    start(agent)
    refused, third = start(agent, bad=True), start(agent)
    agent.made[0].d.callback((True, "Done."))
    assert refused == [(ocs.ERROR, "bad", {})]
    assert [status for status, _, _ in third] == [ocs.OK]


def test_the_number_of_waiting_starts_is_bounded(agent):
    start(agent)
    waiting = [start(agent) for _ in range(MAX_WAITING_CALLS)]
    ((status, text, _),) = start(agent)
    assert (status, waiting) == (ocs.ERROR, [[]] * MAX_WAITING_CALLS)
    assert text.startswith(f"{MAX_WAITING_CALLS} calls of ")
