"""What there is to write down when the snapshot changes: two lives of an instance, compared.

One entry for each thing that happened, not for each event: deadlines and counters that change
tell nothing by themselves. Every entry of a life says from which state to which it went.
"""

from collections.abc import Callable
from typing import Any

from hostmanager.core.messages import format_seconds
from hostmanager.core.record import InstanceRecord, State
from hostmanager.core.snapshot import Snapshot
from hostmanager.journal.entry import Entry, Kind

LONGEST_LINE = 500
"""Characters of a line of output; the whole is in the output's file."""


def subscribe(snapshot: Snapshot, add: Callable[[Entry], None], wall: Callable[[], float]) -> None:
    """Have every change of a snapshot written down.

    Args:
        snapshot: What changes.
        add: Takes the entries; must not wait.
        wall: Tells the Unix time.
    """
    seen = dict(snapshot)  # frozen, and the snapshot's own: nothing is copied

    def changed(instance_id: str, life: InstanceRecord | None) -> None:
        before = seen.get(instance_id)
        if life is None:
            seen.pop(instance_id, None)
        else:
            seen[instance_id] = life
        for entry in entries_for_change(before, life, wall()):
            add(entry)

    snapshot.subscribe(changed)


def entries_for_change(
    before: InstanceRecord | None, after: InstanceRecord | None, now: float
) -> list[Entry]:
    """Tell what happened between two lives of an instance.

    Args:
        before: What was known; None: it was not tracked.
        after: What is known; None: it was forgotten.
        now: Unix time.
    """
    known = after or before
    if known is None:
        return []
    what = _tracked(before, after) or _happened(before, after)
    instance_id = known.spec.instance_id
    entries = []
    if what is not None:
        kind, text, more = what
        data = {**_state_change(before, after), **more}
        entries.append(Entry(now, kind, text, instance_id, data))
    if after is not None and after.last_output and not _same_output(before, after):
        lines = [line[:LONGEST_LINE] for line in after.last_output]
        entries.append(Entry(now, Kind.OUTPUT, lines[-1], instance_id, {"lines": lines}))
    return entries


ChangeEntry = tuple[Kind, str, dict[str, Any]]


def _tracked(before: InstanceRecord | None, after: InstanceRecord | None) -> ChangeEntry | None:
    if after is None:
        return Kind.STATE, "forgotten", {}
    if before is None and after.run.pid is None:
        spec = after.spec
        return Kind.STATE, f"tracked, class {spec.agent_class}", {"class": spec.agent_class}
    return None


def _happened(before: InstanceRecord | None, after: InstanceRecord | None) -> ChangeEntry | None:  # noqa: PLR0911
    """The most telling thing that happened; what else did, follows from it."""
    if after is None:
        return None
    if after.run.pid is not None and (before is None or before.run.pid is None):
        return _launch(before, after)
    if before is None:
        return None
    if _ended(before, after):
        return _exit(before, after)
    if after.failures.exit_times != before.failures.exit_times:
        return Kind.EXIT, after.error or "could not be launched", {"launched": False}
    if after.state is not before.state or after.error not in (None, before.error):
        return Kind.STATE, _state(after), {}
    return None


def _ended(before: InstanceRecord, after: InstanceRecord) -> bool:
    gone = before.run.pid is not None and after.run.pid != before.run.pid
    return gone or (after.last_exit is not None and after.last_exit is not before.last_exit)


def _exit(before: InstanceRecord, after: InstanceRecord) -> ChangeEntry:
    last = after.last_exit
    if last is None or last is before.last_exit:  # its record went with its class
        return Kind.EXIT, f"ended (pid {before.run.pid}); replaced", {"pid": before.run.pid}
    expected = "" if last.expected else ", unexpectedly"
    text = f"{last.status} after {format_seconds(last.ran_for)}{expected}"
    if after.error is not None:
        text = f"{text}. {after.error}"
    return (
        Kind.EXIT,
        text,
        {
            "pid": before.run.pid,
            "code": last.status.code,
            "signal": last.status.signal_name,
            "expected": last.expected,
            "ran_for": round(last.ran_for, 3),
        },
    )


def _launch(before: InstanceRecord | None, after: InstanceRecord) -> ChangeEntry:
    # What was taken over has begun earlier than what was asked for.
    asked = before is not None and before.state is State.STARTING
    launched = asked and before is not None and after.run.started_at == before.run.started_at
    text = (
        f"launched (pid {after.run.pid})"
        if launched
        else f"taken over, runs as pid {after.run.pid}"
    )
    return (
        Kind.LAUNCH,
        text,
        {"pid": after.run.pid, "launched": launched, "restarts": after.failures.restarts},
    )


def _state(after: InstanceRecord) -> str:
    wanted = "" if after.state.value == after.target.value else f" (wanted {after.target})"
    trouble = f": {after.error}" if after.error else ""
    return f"{after.state}{wanted}{trouble}"


def _state_change(before: InstanceRecord | None, after: InstanceRecord | None) -> dict[str, Any]:
    return {
        "from": before.state.value if before else None,
        "to": after.state.value if after else None,
        "target": after.target.value if after else None,
    }


def _same_output(before: InstanceRecord | None, after: InstanceRecord) -> bool:
    return before is not None and before.last_output == after.last_output
