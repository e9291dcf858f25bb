"""The journal's entries for a change of the snapshot: two records of an instance, compared.

One entry for each thing that happened, not for each event: deadlines and counters that change
mean nothing by themselves. Every entry names the state before and after.
"""

from collections.abc import Callable
from typing import Any

from hostmanager.core.record import InstanceRecord, State
from hostmanager.core.snapshot import Snapshot
from hostmanager.journal.entry import Entry, EntryKind
from hostmanager.util.text import format_duration

MAX_JOURNAL_LINE_CHARS = 500
"""Characters of a line of output; the output file has all of them."""

ChangeEntry = tuple[EntryKind, str, dict[str, Any]]


def subscribe(
    snapshot: Snapshot, append: Callable[[Entry], None], wall: Callable[[], float]
) -> None:
    """Have every change of a snapshot recorded.

    Args:
        snapshot: The snapshot.
        append: Takes the entries; must not wait.
        wall: Returns the Unix time.
    """
    records = dict(snapshot)  # frozen, and the snapshot's own: nothing is copied

    def on_change(instance_id: str, record: InstanceRecord | None) -> None:
        before = records.get(instance_id)
        if record is None:
            records.pop(instance_id, None)
        else:
            records[instance_id] = record
        for entry in entries_for_change(before, record, wall()):
            append(entry)

    snapshot.subscribe(on_change)


def entries_for_change(
    before: InstanceRecord | None, after: InstanceRecord | None, now: float
) -> list[Entry]:
    """The entries for what happened between two records of an instance.

    Args:
        before: The earlier record; None: the instance was not tracked.
        after: The later record; None: the instance was removed.
        now: Unix time.
    """
    known = after or before
    if known is None:
        return []
    instance_id = known.spec.instance_id
    entries = []
    change = _tracking_change(before, after) or (_change(before, after) if after else None)
    if change is not None:
        kind, text, data = change
        states = {
            "from": before.state.value if before else None,
            "to": after.state.value if after else None,
            "target": after.target.value if after else None,
        }
        entries.append(Entry(now, kind, text, instance_id, {**states, **data}))
    output = after.last_output if after else ()
    if output and (before is None or before.last_output != output):
        lines = [line[:MAX_JOURNAL_LINE_CHARS] for line in output]
        entries.append(Entry(now, EntryKind.OUTPUT, lines[-1], instance_id, {"lines": lines}))
    return entries


def _tracking_change(
    before: InstanceRecord | None, after: InstanceRecord | None
) -> ChangeEntry | None:
    if after is None:
        return EntryKind.STATE, "removed", {}
    if before is None and after.run.pid is None:
        agent_class = after.spec.agent_class
        return EntryKind.STATE, f"tracked, class {agent_class}", {"class": agent_class}
    return None


def _change(before: InstanceRecord | None, after: InstanceRecord) -> ChangeEntry | None:
    """The most important thing that happened; everything else follows from it."""
    if after.run.pid is not None and (before is None or before.run.pid is None):
        return _launch(before, after)
    if before is None:
        return None
    if _has_exited(before, after):
        return _exit(before, after)
    if after.failures.exit_times != before.failures.exit_times:
        return EntryKind.EXIT, after.error or "could not be launched", {"launched": False}
    if after.state is not before.state or after.error not in (None, before.error):
        target = "" if after.state.value == after.target.value else f" (target {after.target})"
        error = f": {after.error}" if after.error else ""
        return EntryKind.STATE, f"{after.state}{target}{error}", {}
    return None


def _has_exited(before: InstanceRecord, after: InstanceRecord) -> bool:
    gone = before.run.pid is not None and after.run.pid != before.run.pid
    return gone or (after.last_exit is not None and after.last_exit is not before.last_exit)


def _exit(before: InstanceRecord, after: InstanceRecord) -> ChangeEntry:
    pid, last = before.run.pid, after.last_exit
    if last is None or last is before.last_exit:  # its record went with its class
        return EntryKind.EXIT, f"ended (pid {pid}); replaced", {"pid": pid}
    expected = "" if last.expected else ", unexpectedly"
    expected = "; done" if after.completion is not None else expected
    error = f". {after.error}" if after.error is not None else ""
    text = f"{last.status} after {format_duration(last.ran_for)}{expected}{error}"
    data = {
        "pid": pid,
        "code": last.status.code,
        "signal": last.status.signal_name,
        "expected": last.expected,
        "ran_for": round(last.ran_for, 3),
    }
    return EntryKind.EXIT, text, data


def _launch(before: InstanceRecord | None, after: InstanceRecord) -> ChangeEntry:
    # An adopted run began earlier than the launch was requested.
    run = after.run
    launched = (
        before is not None
        and before.state is State.STARTING
        and run.started_at == before.run.started_at
    )
    text = f"launched (pid {run.pid})" if launched else f"adopted, runs as pid {run.pid}"
    if before is not None and before.state is State.DOWN and after.state is State.STOPPING:
        text = f"started by somebody else (pid {run.pid}), but its target is down; it is stopped"
    data = {"pid": run.pid, "launched": launched, "restarts": after.failures.restarts}
    return EntryKind.LAUNCH, text, data
