"""The status of a whole site, followed: for faces that show it to many people at once.

However many people watch, each manager is asked by one: as soon as its feed says that something has changed,
and now and then without, since a feed can be lost. What is shown is judged as for `hostmanager status`.
"""

import argparse
import asyncio
import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress

from hostmanager.client.errors import ManagerError
from hostmanager.client.site_model import Site
from hostmanager.client.status.model import HostStatus
from hostmanager.client.watch.feed_listener import FeedListener
from hostmanager.client.watch.host_board import HeardAgent, HostBoard
from hostmanager.client.watch.site_sessions import (
    ROUTER_PROBE,
    SiteSessions,
    keep_connections_alive,
)

log = logging.getLogger(__name__)

PROBE_ID = "hostmanager-web"
"""The instance-id that the router is asked for. Nobody has it: that is an answer, too."""

CHECK_INTERVAL = 1.0
"""Seconds between two checks of the site config file, and of managers that have not answered."""

SILENCE_INTERVAL = 5.0
"""Seconds after which it is said anew for how long a manager has not answered."""


class LiveSite:
    """The hosts of a site, as they are now.

    All methods are for the thread of the event loop that `start` ran in.

    Args:
        args: Options of a command: the site config, `privs`, `answer_time`.
        poll_interval: Seconds between two questions to each manager, when nothing happens.

    Raises:
        ClientError: There is no site config that can be used.

    Attributes:
        router_error: Why the router does not answer; what is shown is what was known before.
    """

    def __init__(self, args: argparse.Namespace, *, poll_interval: float = 5.0) -> None:
        self._answer_time: float = args.answer_time
        self._sessions = SiteSessions(args, PROBE_ID, poll_interval, self._on_answer)
        self._board = HostBoard(self._sessions.site)
        self.router_error: ManagerError | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._answered: set[str] = set()
        self._judged_at: dict[str, float] = {}
        self._heard: Mapping[str, str] = {}
        self._unmanaged: list[HeardAgent] = []
        self._updated = asyncio.Event()
        self._listening: asyncio.Task[None] | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begin to ask.

        Raises:
            ClientError: There is no password for the requested privileges.
        """
        keep_connections_alive()
        self._loop = asyncio.get_running_loop()
        self._sessions.start()
        self._listen()
        self._tasks = [
            asyncio.create_task(self._follow_site_config()),
            asyncio.create_task(self._follow_silence()),
        ]

    async def close(self) -> None:
        """Ask no more. Does not wait for answers."""
        self._sessions.stop()
        tasks = [*self._tasks, *([self._listening] if self._listening else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # --- what is known ----------------------------------------------------------------------------

    @property
    def site(self) -> Site:
        """The site config as it was read last; read again when it changes."""
        return self._board.site

    @property
    def version(self) -> int:
        """Grows with each change."""
        return self._board.version

    def hosts(self) -> list[HostStatus]:
        """The status of all hosts, in the order of the site config."""
        return self._board.hosts

    def age(self, host: str) -> float:
        """Seconds since the answer that is shown was asked for; infinite: there was none yet."""
        return self._board.age(host, time.monotonic())

    def unmanaged(self) -> Sequence[HeardAgent]:
        """The agents that beat, but belong to no manager; as of the last minute."""
        return self._unmanaged

    async def changes(self, since: int) -> tuple[int, set[str]]:
        """Wait for a version after `since`.

        Returns:
            The present version, and the hosts that have changed since, or are gone; none: only
            the router or the unmanaged agents have.
        """
        while self.version == since:
            await self._updated.wait()
        return self.version, self._board.changed_since(since)

    async def refresh(self, host: str) -> None:
        """Ask the manager of a host now; return when its answer is shown, or is late."""
        asked_at = time.monotonic()
        self._sessions.poller.ask(host)
        with suppress(TimeoutError):
            async with asyncio.timeout(self._answer_time):
                while self._board.asked_at(host) < asked_at:
                    await self._updated.wait()

    def show_again(self, hosts: Iterable[str]) -> None:
        """Begin a version: something else that is shown beside these hosts has changed."""
        self._board.announce([host for host in hosts if host in self.site.hosts], time.monotonic())
        self._wake()

    # --- following --------------------------------------------------------------------------------

    def _on_answer(self, host: str) -> None:
        """A manager has answered; runs in a thread."""
        with suppress(RuntimeError):  # the loop is closed: nobody watches any more
            self._loop.call_soon_threadsafe(self._note_answer, host)  # type: ignore[union-attr]

    def _note_answer(self, host: str) -> None:
        if not self._answered and self._loop is not None:
            self._loop.call_soon(self._judge)  # all that have answered by then, together
        self._answered.add(host)

    def _judge(self) -> None:
        answered, self._answered = self._answered, set()
        now = time.monotonic()
        # The time first: an answer that comes in between is newer than is said, never older.
        asked = {
            host: self._sessions.poller.requested_at(host) for host in answered - {ROUTER_PROBE}
        }
        answers = {
            host: (answer, asked_at)
            for host, asked_at in asked.items()
            if (answer := self._sessions.poller.latest(host)) is not None
        }
        self._judged_at |= dict.fromkeys(answers, now)
        self._board.update(answers, now)
        self._judge_router()
        self._judge_unmanaged()
        self._wake()

    def _wake(self) -> None:
        updated, self._updated = self._updated, asyncio.Event()
        updated.set()

    def _judge_router(self) -> None:
        if self._sessions.poller.latest(ROUTER_PROBE) is None:
            return  # the site config has changed, and it has had no time to answer
        error, before = self._sessions.router_error, self.router_error
        if (error and error.kind) != (before and before.kind):
            self.router_error = error
            self._board.version += 1
            if error is not None:
                log.warning("%s", error)
            else:
                log.info("the router answers again")
            self._ask_all()

    def _judge_unmanaged(self) -> None:
        unmanaged = self._board.unmanaged(self._heard)
        if unmanaged != self._unmanaged:
            self._unmanaged = unmanaged
            self._board.version += 1

    def _ask_all(self) -> None:
        for host in (ROUTER_PROBE, *self.site.managers):
            self._sessions.poller.ask(host)

    def _listen(self) -> None:
        """Listen to the feeds of the managers that the site config names now."""
        if self._listening is not None:
            self._listening.cancel()
        self._listening = asyncio.create_task(FeedListener(self.site, self).run())

    def feed_joined(self) -> None:
        """The feeds are heard from now on; what was missed is asked."""
        self._ask_all()

    def feed_lost(self) -> None:
        """The connection to the router is gone; perhaps the router is."""
        self._sessions.poller.ask(ROUTER_PROBE)

    def manager_changed(self, host: str) -> None:
        """A manager has something new, comes or goes."""
        self._sessions.poller.ask(host)

    def agents_heard(self, agents: Mapping[str, str]) -> None:
        """All agents that beat, by id."""
        self._heard = agents
        self._judge()

    async def _follow_site_config(self) -> None:
        while True:
            await asyncio.sleep(CHECK_INTERVAL)
            try:  # in a thread: a disk may hang
                if await asyncio.to_thread(self._sessions.follow_site_config):
                    self._board.set_site(self._sessions.site, time.monotonic())
                    self._answered.update(self.site.hosts)  # some may have answered before
                    self._judge()
                    self._listen()
            except Exception:
                log.exception("the site config cannot be followed now")

    async def _follow_silence(self) -> None:
        while True:
            await asyncio.sleep(CHECK_INTERVAL)
            late = time.monotonic() - SILENCE_INTERVAL
            for host in self._sessions.poller.overdue():
                if self._judged_at.get(host, 0.0) < late:
                    self._note_answer(host)
