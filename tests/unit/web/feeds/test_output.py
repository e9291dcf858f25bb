"""One reader for all who follow the output of an agent; positions; what was missed."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest

from hostmanager.client.errors import FailureKind, ManagerError
from hostmanager.client.logs.log_filter import LogLine
from hostmanager.web.errors import PageError
from hostmanager.web.feeds import output as output_feed
from hostmanager.web.feeds.output import OutputFeed, OutputFeeds


class FakeSource:
    """Gives a line each time it is asked, or fails."""

    def __init__(self):
        self.asked = 0
        self.error = None
        self.count = 1

    def read(self, lines, limit):
        self.asked += 1
        if self.error is not None:
            raise self.error
        return [LogLine(1.0, "h", "a", f"{self.asked}.{n}") for n in range(self.count)]


@pytest.fixture
def source(monkeypatch):
    monkeypatch.setattr(output_feed, "READ_INTERVAL", 0.01)
    monkeypatch.setattr(output_feed, "ERROR_INTERVAL", 0.01)
    return FakeSource()


async def take(feed, position, number):
    """The texts of the first lines that come."""
    texts = []
    async for batch in feed.follow(position, 5.0):
        texts += [line.text for line in batch.lines]
        if len(texts) >= number:
            return texts[:number]
    return texts


async def test_ten_browsers_cost_the_manager_what_one_does(source):
    feeds = OutputFeeds()
    feed = feeds.get("a", lambda: source, 1.0)
    assert feeds.get("a", FakeSource, 1.0) is feed

    found = await asyncio.gather(*(take(feed, "", 5) for _ in range(10)))
    asked = source.asked

    assert found == [[f"{n}.0" for n in range(1, 6)]] * 10
    assert asked <= 7  # one for each line, and those under way
    await feeds.close()


async def test_who_comes_back_gets_what_came_meanwhile(source):
    feeds = OutputFeeds()
    feed = feeds.get("a", lambda: source, 1.0)
    position = (await feed.all()).position

    first = await take(feed, position, 3)

    assert first == ["2.0", "3.0", "4.0"]
    assert [line.text for line in feed.before(position)] == ["1.0"]
    await feeds.close()


async def test_a_position_of_another_feed_or_too_long_ago_says_that_lines_are_missing(
    source, monkeypatch
):
    monkeypatch.setattr(output_feed, "KEPT_LINES", 3)
    source.count = 2
    feeds = OutputFeeds()
    feed = feeds.get("a", lambda: source, 1.0)
    old = (await feed.all()).position
    await take(feed, old, 8)

    assert feed.since(old).missing
    assert len(feed.since(old).lines) == 3
    assert feed.since("feed0000-1").missing
    assert not feed.since(feed.since(old).position).missing
    for odd in (f"{old.partition('-')[0]}-x", f"{old.partition('-')[0]}-{'9' * 5000}", "-", "é"):
        assert len(feed.since(odd).lines) <= 3
    await feeds.close()


async def test_an_error_and_its_end_reach_who_follows(source):
    feeds = OutputFeeds()
    feed = feeds.get("a", lambda: source, 1.0)
    await feed.all()
    source.error = ManagerError(FailureKind.TIMEOUT, "no answer within 1 s")

    errors = []
    async for batch in feed.follow("", 5.0):
        if not errors or errors[-1] != batch.error:
            errors.append(batch.error)
        if batch.error:
            source.error = None
        if errors[-2:] == ["no answer within 1 s", ""]:
            break

    await feeds.close()


async def test_a_feed_that_nobody_looks_at_ends(source, monkeypatch):
    monkeypatch.setattr(output_feed, "IDLE_TIMEOUT", 0.0)
    feed = OutputFeed(source, 1.0, ThreadPoolExecutor(1))

    await asyncio.wait_for(feed.run(), 10.0)

    assert feed.is_idle


async def test_who_follows_when_the_server_ends_is_let_go(source):
    feeds = OutputFeeds()
    feed = feeds.get("a", lambda: source, 1.0)
    following = asyncio.ensure_future(take(feed, "", 10**6))
    await feed.all()

    await feeds.close()

    await asyncio.wait_for(following, 5.0)
    assert following.done()


async def test_more_feeds_than_there_are_threads_are_refused(source, monkeypatch):
    monkeypatch.setattr(output_feed, "MAX_FEEDS", 1)
    feeds = OutputFeeds()
    feeds.get("a", lambda: source, 1.0)

    with pytest.raises(PageError, match="close a page"):
        feeds.get("b", lambda: source, 1.0)

    await feeds.close()
