"""The journals of all managers in their short form, kept: a second view costs only what is new."""

import threading
import time
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from weakref import WeakKeyDictionary

from hostmanager.client.errors import FailureKind, ManagerError
from hostmanager.client.history.journal_event import JournalEvent, decode_compact, event_of_entry
from hostmanager.client.history.journal_reader import JournalQuery, read_journal
from hostmanager.client.managers.manager_client import ManagerClient, OperationResult
from hostmanager.client.managers.parallel import ask, run_parallel

MAX_KEPT_EVENTS = 500_000
"""Events that are kept of all hosts; 60 MB. Beyond it, hosts that nobody views are forgotten."""

FRESH_TIME = 1.0
"""Seconds in which what was read is not read again: ten browsers cost what one does."""

CLOCK_MARGIN = 600.0
"""Seconds that are read beyond what is asked for, since clocks differ."""

_PAGE = 100_000


@dataclass(slots=True)
class HostHistory:
    """What was read of one journal.

    Attributes:
        events: The newest last, without a gap.
        since: Unix time from which on they are complete.
        begins: Whether the journal itself begins there.
        now: When they were read, by the manager's clock.
        read_at: The same by the monotonic clock here; None: never.
        offset: How far ahead the manager's clock is, seconds.
        journal_error: What is wrong with the journal; empty: nothing.
        error: Why the manager did not answer last time; None: it did.
        is_old_manager: Whether it has no short form.
        used_at: When somebody looked, by the monotonic clock here.
        mutex: Held while it is read.
    """

    events: list[JournalEvent] = field(default_factory=list)
    since: float = 0.0
    begins: bool = False
    now: float = 0.0
    read_at: float | None = None
    offset: float = 0.0
    journal_error: str = ""
    error: ManagerError | None = None
    is_old_manager: bool = False
    used_at: float = 0.0
    mutex: threading.Lock = field(default_factory=threading.Lock)


class SiteHistory:
    """Reads journals and keeps them. All methods block; any thread may call them."""

    def __init__(self) -> None:
        # By client, not by host: what one password may read is not for those without it. With the
        # client, of a session that is over, goes what it has read.
        self._histories: WeakKeyDictionary[ManagerClient, HostHistory] = WeakKeyDictionary()
        self._lock = threading.Lock()  # of the dictionary alone

    def read(
        self,
        managers: Mapping[str, ManagerClient],
        since: float,
        answer_timeout: float,
        silent: Mapping[str, ManagerError] = MappingProxyType({}),
    ) -> dict[str, HostHistory]:
        """Read what happened since a Unix time, of all these managers at the same time.

        One that does not answer gives what was read of it before, and its error. Those that are
        known to be silent are not asked: nobody waits for them.
        """
        with self._lock:
            known = {
                host: self._histories.setdefault(manager, HostHistory())
                for host, manager in managers.items()
            }
        jobs = {
            host: partial(self._update, known[host], manager, since, answer_timeout)
            for host, manager in managers.items()
            if host not in silent
        }
        # Anew: the traceback of one that was raised here has the client.
        errors = {
            host: ManagerError(result.kind, str(result), result.hint)
            for host, result in run_parallel(jobs, None).items()
            if isinstance(result, ManagerError)
        }
        for host, error in {**errors, **silent}.items():
            if host in known:
                known[host].error = error
        self._forget(set(managers.values()))
        return known

    def _forget(self, used: Set[ManagerClient]) -> None:
        with self._lock:
            kept = sorted(self._histories.items(), key=lambda item: item[1].used_at)
            total = sum(len(history.events) for _, history in kept)
            for manager, history in kept:
                if total > MAX_KEPT_EVENTS and manager not in used:
                    total -= len(history.events)
                    del self._histories[manager]

    def _update(
        self, history: HostHistory, manager: ManagerClient, since: float, answer_timeout: float
    ) -> None:
        with history.mutex:
            now = time.monotonic()
            history.used_at = now
            reaches = history.begins or history.since <= since
            if history.read_at is None or now - history.read_at > FRESH_TIME or not reaches:
                _Reader(manager, history, answer_timeout).update(since - CLOCK_MARGIN)
                history.error = None


@dataclass(frozen=True, slots=True)
class _Reader:
    """Brings what is known of one journal up to date."""

    manager: ManagerClient
    history: HostHistory
    answer_timeout: float

    def update(self, since: float) -> None:
        """Read what is new, and what is older than what is known, as far as `since`.

        Raises:
            ManagerError: No answer.
        """
        history, started = self.history, time.monotonic()
        is_new = history.read_at is None or history.is_old_manager or not self._read_newer()
        if is_new:
            history.since, history.begins = since, False
            history.events = self._pages(since=since)
        elif since < history.since and not history.begins:
            before = history.events[0].id if history.events else None
            history.events = self._pages(since=since, before=before) + history.events
            history.since = since
            is_new = True
        if is_new:
            history.begins = not self._has_older()
        history.read_at = started

    def _read_newer(self) -> bool:
        """Read what came after the newest that is known; report whether it is the same journal."""
        known = self.history.events
        if not known:
            return False
        newest = known[-1]
        news = self._pages(after=newest.id - 1)
        if not news or news[0][:3] != newest[:3]:
            return False  # it was set aside, and another one begun
        known += news[1:]
        return True

    def _has_older(self) -> bool:
        events = self.history.events
        result = self._ask(limit=1, before=events[0].id if events else None)
        return bool(result.data.get("entries"))

    def _pages(self, **query: float | None) -> list[JournalEvent]:
        events: list[JournalEvent] = []
        while not self.history.is_old_manager:
            try:
                result = self._ask(limit=_PAGE, compact=True, **query)
            except ManagerError as error:
                if error.unreachable:
                    raise
                self.history.is_old_manager = True
                break
            if "compact" in result.data:
                try:
                    events = decode_compact(str(result.data["compact"])) + events
                except ValueError as error:
                    raise ManagerError(FailureKind.REFUSED, str(error)) from None
            query["before"] = result.data.get("older")
            if query["before"] is None:
                return events
        return self._long_form(query.get("since"))

    def _long_form(self, since: float | None) -> list[JournalEvent]:
        """Read it from a manager that has no short form."""
        query = JournalQuery((), (), since, _PAGE)
        journal = read_journal(self.manager, query, None, self.answer_timeout)
        self._note(journal.now, journal.error)
        return [event_of_entry(entry) for entry in journal.entries if entry["kind"] != "output"]

    def _ask(self, **query: float | None) -> OperationResult:
        result = ask(self.manager, "history", self.answer_timeout, **query)
        error = result.data.get("trouble") or ("" if result.ok else result.text)
        self._note(result.data.get("now"), str(error))
        return result

    def _note(self, now: float | None, error: str) -> None:
        self.history.now = time.time() if now is None else now
        self.history.offset = self.history.now - time.time()
        self.history.journal_error = error
