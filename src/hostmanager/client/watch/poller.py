"""Polls the managers of a site, each in a thread of its own.

A manager that does not answer is not asked again before its answer has come; the others are,
so that one dead host slows nothing down.
"""

import math
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from hostmanager.client.errors import FailureKind, ManagerError
from hostmanager.client.managers.manager_client import ManagerClient

SessionOrError = Mapping[str, Any] | ManagerError
"""A session of the `manager` process, or why there is none."""

NO_ANSWER_YET = ManagerError(FailureKind.TIMEOUT, "no answer yet")

MIN_INTERVAL = 0.05

THREAD_NAME = "polling"
"""How the names of the threads begin."""


class SessionPoller:
    """The latest session of each manager."""

    def __init__(
        self,
        managers: Mapping[str, ManagerClient],
        interval: float,
        answer_timeout: float,
        on_answer: Callable[[str], object] = lambda _: None,
    ) -> None:
        """Begin to poll.

        Args:
            managers: By host.
            interval: Seconds from one request to the next.
            answer_timeout: Seconds after which a manager counts as silent.
            on_answer: Gets the host of each answer, in the thread of that host.
        """
        self._interval = interval
        self._answer_timeout = answer_timeout
        self._pending_since: dict[str, float] = {}
        self._latest: dict[str, tuple[float, SessionOrError]] = {}
        self._updated = threading.Condition()
        self._managers = dict(managers)
        self._stopped: set[str] = set()
        self._on_answer = on_answer
        self._wakes = {host: threading.Event() for host in managers}
        for host, manager in managers.items():
            name = f"{THREAD_NAME} {host}"
            threading.Thread(
                target=self._poll, args=(host, manager), name=name, daemon=True
            ).start()

    def _poll(self, host: str, manager: ManagerClient) -> None:
        wake = self._wakes[host]
        while host not in self._stopped:
            wake.clear()
            requested_at = self._pending_since[host] = time.monotonic()
            try:
                session: SessionOrError = manager.session()
            except ManagerError as error:
                session = error
            with self._updated:
                del self._pending_since[host]
                self._latest[host] = requested_at, session
                self._updated.notify()
            if host in self._stopped:
                return
            self._on_answer(host)
            time.sleep(MIN_INTERVAL)
            wake.wait(max(0.0, self._interval - (time.monotonic() - requested_at)))

    def ask(self, host: str) -> None:
        """Ask a manager once more, now or as soon as its present answer has come.

        However often this is called meanwhile: it is asked once.
        """
        if host in self._wakes:
            self._wakes[host].set()

    def wait_for_all(self) -> None:
        """Wait until each manager has answered once, or the answer timeout is over."""
        with self._updated:
            self._updated.wait_for(
                lambda: len(self._latest) == len(self._managers), self._answer_timeout
            )

    def wait_for_update(self, timeout: float) -> None:
        """Wait for an answer, at most `timeout` seconds."""
        with self._updated:
            self._updated.wait(timeout)

    def stop(self, host: str | None = None) -> None:
        """Stop polling one host, or all."""
        stopped = list(self._managers) if host is None else [host]
        self._stopped.update(stopped)
        for each in stopped:
            self.ask(each)  # its thread wakes up, and ends

    def requested_at(self, host: str) -> float:
        """When the latest answer was requested, monotonic; minus infinity before the first."""
        requested_at, _ = self._latest.get(host, (-math.inf, None))
        return requested_at

    def age(self, host: str) -> float:
        """Seconds since the latest answer was requested; infinite before the first."""
        return time.monotonic() - self.requested_at(host)

    def overdue(self) -> list[str]:
        """The hosts that have not answered in time, and still are to."""
        before = time.monotonic() - self._answer_timeout
        return [host for host, since in list(self._pending_since.items()) if since < before]

    def latest(self, host: str, since: float = 0.0) -> SessionOrError | None:
        """The latest session of a host.

        Args:
            host: Its name.
            since: Monotonic time; None is returned unless the answer was requested after it.
        """
        pending_since = self._pending_since.get(host)
        if pending_since is not None:
            waited = time.monotonic() - pending_since
            if waited > self._answer_timeout:
                return ManagerError(FailureKind.TIMEOUT, f"no answer for {waited:.0f} s")
        requested_at, session = self._latest.get(host, (-1.0, None))
        return session if requested_at >= since else None
