"""Journals with short timeouts, closed after each test."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hostmanager.journal import EntryKind, Journal, Limits
from hostmanager.journal import store as store_module
from hostmanager.journal import writer as writer_module


class RecordingJournal(Journal):
    """A journal, with its messages to operators."""

    def __init__(self, path: Path, limits: Limits | None = None) -> None:
        self.messages: list[str] = []
        super().__init__(path, limits, self.messages.append)

    def record_texts(self, *texts: str) -> None:
        for text in texts:
            self.record(EntryKind.REQUEST, text)

    def texts(self, limit: int = 10_000) -> list[str]:
        return [entry["text"] for entry in self.history(limit=limit)]


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "state" / "journal.sqlite"


@pytest.fixture
def open_journal(path, monkeypatch) -> Iterator[Callable[..., RecordingJournal]]:
    monkeypatch.setattr(store_module, "BUSY_TIMEOUT", 0.05)
    monkeypatch.setattr(writer_module, "JOURNAL_RETRY_INTERVAL", 0.05)
    opened: list[RecordingJournal] = []

    def go(limits: Limits | None = None, at: Path = path) -> RecordingJournal:
        opened.append(RecordingJournal(at, limits))
        return opened[-1]

    yield go
    for journal in opened:
        assert journal.close(10)


@pytest.fixture
def journal(open_journal) -> RecordingJournal:
    return open_journal()
