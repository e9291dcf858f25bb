"""The journal: what happened, for later, in a small SQLite file that outlives the manager.

Requests, launches, exits, changes of state and the manager's own starts and ends. It
only records: supervision does not read it, does not wait for it, and works the same
when it cannot be written.

`Journal.record` puts an entry into a queue and returns; one thread writes (`writer`), into a
file that is bounded in size (`store`). `record_diff` makes the entries when the snapshot changes.
"""

from hostmanager.journal.entry import Entry, EntryKind
from hostmanager.journal.journal import Journal, JournalError
from hostmanager.journal.record_diff import entries_for_change, subscribe
from hostmanager.journal.store import Limits, Query

__all__ = [
    "Entry",
    "EntryKind",
    "Journal",
    "JournalError",
    "Limits",
    "Query",
    "entries_for_change",
    "subscribe",
]
