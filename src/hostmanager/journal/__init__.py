"""What happened, for those who ask afterwards: a journal in the state folder.

Requests, launches, ends, changes of state and the manager's own starts and ends, in a small
SQLite file that outlives the manager. It is a witness, never a party: supervision does not
read it, does not wait for it, and goes on the same when it cannot be written.

`Journal.record` puts an entry into a queue and returns; one thread writes (`writer`), into a
file that is bounded in size (`store`), and puts aside what is no journal (`aside`).
`transitions` tells what there is to write down when the snapshot changes.
"""

from hostmanager.journal.entry import Entry, Kind
from hostmanager.journal.journal import Journal, JournalError
from hostmanager.journal.record_diff import entries_for_change, subscribe
from hostmanager.journal.store import Limits, Query

__all__ = [
    "Entry",
    "Journal",
    "JournalError",
    "Kind",
    "Limits",
    "Query",
    "entries_for_change",
    "subscribe",
]
