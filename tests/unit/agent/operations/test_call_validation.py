"""What clients send of a call; what nobody can use is refused in words."""

import math
from typing import Any

import ocs
import pytest
from twisted.internet.defer import Deferred

from hostmanager.agent.operations.call_validation import (
    ENDED_SESSION_TTL,
    MAX_ENDED_SESSIONS,
    MAX_WAIT_TIMEOUT,
    Call,
    EndedSessions,
    invalid_call_reason,
    wait_timeout,
)


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        (["status", "manager"], {}),
        (["status", "manager", []], {}),
        (["stop", "manager", []], {}),
        (["abort", "update", "now", "soon", ["x"]], {}),
        (["wait", "update", [1, 2], 2.5], {}),
        (["wait", "update", {"requests": [["fake2", "up"]]}], {}),
        (["start", "update", {"requests": []}], {}),
        (["start", "update", None, None, "secret"], {}),
        (["start", "update", {}, "soon"], {}),
        (["start"], {"op_name": "update", "params": {}, "password": 7}),
        ([["no", "action"], "update"], {}),
    ],
)
def test_parameters_that_are_not_used_may_be_anything(args, kwargs):
    assert invalid_call_reason(Call(*args, **kwargs)) is None


@pytest.mark.parametrize(
    "args",
    [
        ["start", ["update"]],
        ["status", {}],
        ["status", None],
        ["start", "update", "up"],
        ["start", "update", []],
        ["start", "update", [1]],
    ],
)
def test_an_invalid_part_is_named_in_one_short_sentence(args):
    text = invalid_call_reason(Call(*args))
    assert text is not None
    assert len(text) < 200


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        ([], {}),
        (["start"], {}),
        (["start", "update", {}, None, None, None], {}),
        (["start", "update"], {"op_name": "update"}),
        (["start", "update"], {"x" * 10_000: 1}),
    ],
)
def test_a_call_with_other_parts_is_refused(args, kwargs):
    with pytest.raises(TypeError):
        Call(*args, **kwargs)


@pytest.mark.parametrize("timeout", [None, 0, -1, 2.5, True, -math.inf])
def test_a_number_of_seconds_is_taken_as_it_is(timeout):
    assert wait_timeout(timeout) == timeout


@pytest.mark.parametrize("timeout", [1e300, 10**400, math.inf])
def test_a_wait_has_an_upper_bound(timeout):
    assert wait_timeout(timeout) == MAX_WAIT_TIMEOUT


@pytest.mark.parametrize("timeout", ["soon", math.nan, [], {}])
def test_an_invalid_timeout_is_refused(timeout):
    with pytest.raises(ValueError, match="number of seconds"):
        wait_timeout(timeout)


class FakeEndedSession:
    """A session of OCS that has ended."""

    def __init__(self, number: int, op_name: str = "update") -> None:
        self.session_id = number
        self.op_name = op_name
        self.cancelled = 0
        self.purger: Deferred[None] = Deferred(self._cancel)

    def _cancel(self, _: Any) -> None:
        self.cancelled += 1

    def encoded(self) -> dict[str, Any]:
        return {"session_id": self.session_id}


class FakeCallLater:
    """Takes calls for later."""

    def __init__(self) -> None:
        self.calls: list[tuple[float, Any, Any]] = []

    def __call__(self, seconds: float, call: Any, argument: Any) -> None:
        self.calls.append((seconds, call, argument))

    def run(self) -> None:
        for _, call, argument in self.calls:
            call(argument)


def test_a_session_that_was_replaced_is_there_for_the_client_that_started_it():
    ended = EndedSessions(FakeCallLater())
    for number in (7, 8):
        ended.add(FakeEndedSession(number))
    status, _, session = ended.reply("update", {"session_id": 7})
    assert (status, session) == (ocs.OK, {"session_id": 7})


@pytest.mark.parametrize(
    ("operation", "params"),
    [
        ("update", {}),
        ("update", None),
        ("update", []),
        ("update", {"session_id": 8}),
        ("update", {"session_id": "7"}),
        ("update", {"session_id": [7]}),
        ("update", {"requests": [["fake2", "up"]]}),
        ("die", {"session_id": 7}),
    ],
)
def test_any_other_wait_is_about_the_latest_session(operation, params):
    ended = EndedSessions(FakeCallLater())
    ended.add(FakeEndedSession(7))
    assert ended.reply(operation, params) is None


def test_the_number_of_kept_sessions_is_bounded_and_others_are_released():
    ended = EndedSessions(FakeCallLater())
    sessions = [FakeEndedSession(number) for number in range(3 * MAX_ENDED_SESSIONS)]
    for session in sessions:
        ended.add(session)
    assert len(ended) == MAX_ENDED_SESSIONS
    assert [session.cancelled for session in sessions] == [1] * 2 * MAX_ENDED_SESSIONS + [
        0
    ] * MAX_ENDED_SESSIONS


def test_a_session_is_released_after_a_minute():
    call_later = FakeCallLater()
    ended = EndedSessions(call_later)
    session = FakeEndedSession(7)
    ended.add(session)
    assert [seconds for seconds, _, _ in call_later.calls] == [ENDED_SESSION_TTL]
    call_later.run()
    assert (len(ended), session.cancelled) == (0, 1)
