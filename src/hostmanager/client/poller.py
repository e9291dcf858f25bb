"""Asking managers again and again, each in a thread of its own.

A manager that does not answer is not asked again before its answer has come; the others are,
so that one dead host slows nothing down.
"""

import math
import threading
import time
from collections.abc import Mapping
from typing import Any

from hostmanager.client.manager_client import FailureKind, ManagerClient, ManagerError

Answer = Mapping[str, Any] | ManagerError
"""A session of the `manager` process, or why there is none."""

SHORTEST_PAUSE = 0.05


class SessionPoller:
    """The latest answer of each manager."""

    def __init__(
        self, asked: Mapping[str, ManagerClient], interval: float, answer_time: float
    ) -> None:
        """Begin to ask.

        Args:
            asked: By host.
            interval: Seconds from one question to the next.
            answer_time: Seconds after which a manager counts as silent.
        """
        self._interval = interval
        self._answer_time = answer_time
        self._waiting: dict[str, float] = {}
        self._answers: dict[str, tuple[float, Answer]] = {}
        self._updated = threading.Condition()
        self._asked = dict(asked)
        self._stopped: set[str] = set()
        for host, manager in asked.items():
            threading.Thread(target=self._ask, args=(host, manager), daemon=True).start()

    def _ask(self, host: str, manager: ManagerClient) -> None:
        while host not in self._stopped:
            begun = self._waiting[host] = time.monotonic()
            try:
                answer: Answer = manager.session()
            except ManagerError as error:
                answer = error
            with self._updated:
                del self._waiting[host]
                self._answers[host] = begun, answer
                self._updated.notify()
            time.sleep(max(SHORTEST_PAUSE, self._interval - (time.monotonic() - begun)))

    def wait_for_all(self) -> None:
        """Wait until each manager has answered once, or its time is over."""
        with self._updated:
            self._updated.wait_for(
                lambda: len(self._answers) == len(self._asked), self._answer_time
            )

    def wait_for_update(self, seconds: float) -> None:
        """Wait for an answer, but not longer than that."""
        with self._updated:
            self._updated.wait(seconds)

    def stop(self, host: str | None = None) -> None:
        """Ask one, or all of them, no more."""
        self._stopped.update(self._asked if host is None else [host])

    def age(self, host: str) -> float:
        """Seconds since the latest answer was asked for; infinite before the first."""
        begun, _ = self._answers.get(host, (-math.inf, None))
        return time.monotonic() - begun

    def answer(self, host: str, since: float = 0.0) -> Answer | None:
        """What is known of a host now.

        Args:
            host: Which.
            since: Only what was asked for after this (monotonic clock); None is returned
                as long as there is no such answer.
        """
        asked_at = self._waiting.get(host)
        if asked_at is not None and time.monotonic() - asked_at > self._answer_time:
            waited = time.monotonic() - asked_at
            return ManagerError(FailureKind.TIMEOUT, f"no answer for {waited:.0f} s")
        begun, answer = self._answers.get(host, (-1.0, None))
        return answer if begun >= since else None
