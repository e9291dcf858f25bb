"""Answers of managers that pages share."""

import asyncio
import threading

import pytest

from hostmanager.client.errors import FailureKind, ManagerError
from hostmanager.web.feeds import shared_reads
from hostmanager.web.feeds.shared_reads import SharedReads


class Question:
    """Counts how often it is asked; waits until it may answer."""

    def __init__(self):
        self.asked = 0
        self.may_answer = threading.Event()

    def __call__(self):
        self.asked += 1
        assert self.may_answer.wait(60)
        return self.asked


async def test_one_answer_serves_all_who_ask_meanwhile_and_for_a_while():
    reads, question = SharedReads(), Question()
    asking = [asyncio.ensure_future(reads.get("key", 60, question)) for _ in range(5)]
    await asyncio.sleep(0)
    asking[0].cancel()  # a browser that goes away takes nothing from the others
    question.may_answer.set()

    assert await asyncio.gather(*asking[1:]) == [1, 1, 1, 1]
    assert await reads.get("key", 60, question) == 1
    assert await reads.get("another", 60, question) == 2


async def test_an_old_answer_is_asked_for_anew():
    reads, question = SharedReads(), Question()
    question.may_answer.set()

    assert [await reads.get("key", -1, question) for _ in range(2)] == [1, 2]


async def test_an_error_is_raised_for_all():
    def refuse():
        raise ManagerError(FailureKind.TIMEOUT, "no answer")

    reads = SharedReads()
    for _ in range(2):
        with pytest.raises(ManagerError, match="no answer"):
            await reads.get("key", 60, refuse)


async def test_the_oldest_answers_are_dropped(monkeypatch):
    monkeypatch.setattr(shared_reads, "MAX_ANSWERS", 2)
    reads, question = SharedReads(), Question()
    question.may_answer.set()
    for key in "abc":
        await reads.get(key, 60, question)

    assert await reads.get("c", 60, question) == 3
    assert await reads.get("a", 60, question) == 4
