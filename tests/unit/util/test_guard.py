"""The one way to make a call that may fail."""

import asyncio
import logging

import pytest

from hostmanager.util.guard import MAX_RETRY_DELAY, Guard
from tests.unit.core.fakes import FakeClock


class Failing:
    """Fails some times, then does not."""

    def __init__(self, times: int, error: Exception | None = None) -> None:
        self.left, self.calls, self.error = times, 0, error or OSError("no")

    def __call__(self, *_: object) -> None:
        self.calls += 1
        if self.left:
            self.left -= 1
            raise self.error


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def guard(clock: FakeClock) -> Guard:
    return Guard(clock.call_later)


def test_a_call_that_fails_is_answered_and_raises_nothing(guard, caplog):
    messages = []
    assert guard.call("it", Failing(1), messages.append) is False
    assert [str(error) for error in messages] == ["no"]
    assert "it failed unexpectedly" in caplog.text
    assert guard.call("it", lambda: None, messages.append) is True
    assert len(messages) == 1


def test_an_answer_that_fails_raises_nothing_either(guard, caplog):
    assert guard.call("it", Failing(1), Failing(1)) is False
    assert "it: reporting its failure failed unexpectedly" in caplog.text


def test_it_is_made_again_until_it_is_done(guard, clock):
    work = Failing(5)
    guard.retry_until_done("it", work)
    clock.advance(60)
    assert work.calls == 6


def test_it_is_not_made_again_once_nobody_wants_it(guard, clock):
    work, failing = Failing(100), [True]
    guard.retry_until_done("it", work, lambda: failing[0])
    clock.advance(3)
    calls, failing[0] = work.calls, False
    assert calls > 2
    clock.advance(60)
    assert work.calls == calls


def test_the_question_whether_it_is_wanted_may_fail(guard, clock):
    work = Failing(3)
    guard.retry_until_done("it", work, Failing(1000))
    clock.advance(60)
    assert work.calls == 4


def test_pauses_grow_to_a_bound(guard, clock):
    work = Failing(1000)
    guard.retry_until_done("it", work)
    clock.advance(100)
    before = work.calls
    clock.advance(100)
    assert 100 / MAX_RETRY_DELAY - 1 <= work.calls - before <= 100 / MAX_RETRY_DELAY + 1


def test_what_fails_on_and_on_is_logged_seldom(guard, clock, caplog):
    guard.retry_until_done("it", Failing(10_000, ValueError("x" * 100_000)))
    caplog.clear()
    clock.advance(5000)
    assert len(caplog.records) <= 11
    assert all(len(record.getMessage()) < 1000 for record in caplog.records)


def test_there_is_one_pause_for_one_thing(clock):
    timers = []
    guard = Guard(lambda pause, call: timers.append(call))
    for _ in range(100):
        guard.retry_until_done("it", Failing(1))
    assert len(timers) == 1


def test_without_a_timer_it_is_made_with_the_next_call(clock, caplog):
    refused = Failing(2)

    def call_later(pause, call):
        refused()
        clock.call_later(pause, call)

    guard, work = Guard(call_later), Failing(1)
    guard.retry_until_done("it", work)
    clock.advance(10)
    assert work.calls == 1
    for _ in range(3):
        guard.call("something else", lambda: None)
    clock.advance(10)
    assert work.calls == 2


def test_a_callback_takes_arguments_and_never_raises(guard, clock):
    received = []
    faults = [1, 2]

    def listen(*args):
        if faults:
            faults.pop()
            raise KeyError
        received.append(args)

    guard.callback("it", listen)("a", 1)
    clock.advance(10)
    assert received == [("a", 1)]


def test_what_ends_the_program_is_not_kept_from_it(guard):
    for end in (KeyboardInterrupt, SystemExit):

        def work(end=end):
            raise end

        with pytest.raises(end):
            guard.call("it", work)


async def test_a_task_that_fails_is_answered():
    loop = asyncio.get_running_loop()
    guard, reports = Guard(loop.call_later), []

    async def work() -> None:
        raise OSError("no")

    await guard.task("it", work(), reports.append)
    assert [str(error) for error in reports] == ["no"]


async def test_a_task_can_be_cancelled_before_it_began():
    guard = Guard(asyncio.get_running_loop().call_later)

    async def work() -> None:
        raise AssertionError("it began")

    task = guard.task("it", work())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_for_ever_goes_on_after_each_failure(caplog):
    caplog.set_level(logging.CRITICAL)
    guard, turns, reports = Guard(asyncio.get_running_loop().call_later), asyncio.Semaphore(0), []

    async def work() -> None:
        turns.release()
        raise OSError("no")

    task = asyncio.ensure_future(guard.run_forever("it", work, lambda: 0.0, reports.append))
    for _ in range(5):
        await asyncio.wait_for(turns.acquire(), 20)
    assert len(reports) >= 4
    task.cancel()
