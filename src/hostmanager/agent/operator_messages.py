"""Sentences for operators: to the session of the manager process, or kept until there is one."""

import logging
import time
from collections import deque
from collections.abc import Callable

from hostmanager.agent.daemon.journald import log_fields
from hostmanager.core.events import OperatorMessage
from hostmanager.core.record import InstanceRecord
from hostmanager.journal import Entry, EntryKind
from hostmanager.util.text import truncate

log = logging.getLogger(__name__)

MAX_EARLY_MESSAGES = 100

MAX_TEXT_CHARS = 4_000
"""Characters of the sentence in a reply, and of a message of a session."""


class OperatorMessages:
    """Takes sentences for operators, and passes them on.

    While no session takes them, they are logged, and the latest are kept with their times.
    """

    def __init__(self) -> None:
        self._early: deque[tuple[float, str]] = deque(maxlen=MAX_EARLY_MESSAGES)
        self._sink: Callable[[str], object] = self._keep
        self._entries: dict[str, Entry] = {}  # that the next message of an instance is about

    def emit(self, text: str) -> None:
        """Pass on a sentence."""
        self._sink(text)

    def emit_about(self, subject: str, text: str) -> None:
        """Pass on a sentence about an instance, or about something else."""
        self.emit(f"{subject}: {text}")

    def open_session(self, sink: Callable[[str], object]) -> list[tuple[float, str]]:
        """Have a session take them from now on; returns what was kept: Unix times and sentences."""
        self._sink = sink
        kept = list(self._early)
        self._early.clear()
        return kept

    def close_session(self) -> None:
        """Keep them again."""
        self._sink = self._keep

    def _keep(self, text: str) -> None:
        log.info("%s", text)
        self._early.append((time.time(), truncate(text, MAX_TEXT_CHARS)))

    def note(self, entry: Entry) -> None:
        """Remember what has happened to an instance: its next message is about that."""
        if entry.instance_id is not None and entry.kind is not EntryKind.OUTPUT:
            self._entries[entry.instance_id] = entry
            if entry.data.get("to") is None:  # it was removed: nothing is said of it any more
                del self._entries[entry.instance_id]

    def report(
        self, instance_id: str, message: OperatorMessage, record: InstanceRecord | None
    ) -> None:
        """Pass on a message of an instance; in systemd's journal, with its fields."""
        entry = self._entries.pop(instance_id, None)
        event = "message" if entry is None else entry.kind.value
        pid = entry.data.get("pid") if entry else record.run.pid if record else None
        priority = "4" if message.warning else None
        with log_fields(instance=instance_id, event=event, pid=pid, priority=priority):
            self.emit(f"{instance_id}: {message.text}")
