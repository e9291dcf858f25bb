"""The invariants, as plain functions of what was seen: by `ProcessObserver` alive, by a client shown."""

from pathlib import Path
from typing import Any

from tests.faults.agents import AGENTS, CRASHERS, PATIENT
from tests.faults.calls import States
from tests.faults.expected_targets import ExpectedTargets
from tests.faults.process_observer import Living, ProcessObserver
from tests.support.processes import processes
from tests.support.sites import Site

POOR_WORDS = (
    "MemoryError",
    "can't start new thread",
    "Cannot allocate memory",
    "Too many open files",
    "Resource temporarily unavailable",
)
"""What may be said in a traceback by a manager without memory, descriptors or processes left."""


class ViolationError(AssertionError):
    """An invariant does not hold."""


def contradiction(living: Living, child: dict[str, Any] | None) -> str | None:
    """What is wrong with an answer, given during the whole of which this process was alive."""
    who = f"{living.instance_id}, pid {living.pid}"
    if child is None:
        return f"{who} is alive, and the manager does not know of it"
    if child["next_action"] == "down":
        return f"{who} is alive and shown down: {brief(child)}"
    if not living.leads:
        return None
    if child["next_action"] in ("start_at", "?"):
        return f"{who} is alive, and shown {brief(child)}"
    if child["next_action"] == "up" and child["pid"] != living.pid:
        return f"{who} is alive, and another is shown: {brief(child)}"
    return None


def missing(
    states: States,
    alive: list[Living],
    leaders: dict[str, set[int]],
    expected_targets: ExpectedTargets,
) -> str | None:
    """What is not as it should be once nothing stands in the way; None: nothing.

    Args:
        states: What is shown.
        alive: What was alive all the while that this was asked.
        leaders: Those that were, at some moment of it: one that crashes may have gone since.
        expected_targets: What operators said.
    """
    if states.keys() != AGENTS.keys():
        return f"all instances, and no other, to be shown: {sorted(states)}"
    for name, child in states.items():
        mine = [living.pid for living in alive if living.instance_id == name]
        reason = _missing_of(name, child, leaders.get(name, set()), mine, expected_targets)
        if reason:
            return f"{name}: {reason}; shown {brief(child)}, alive {mine}"
    return None


def _missing_of(
    name: str,
    child: dict[str, Any],
    leaders: set[int],
    mine: list[int],
    expected_targets: ExpectedTargets,
) -> str | None:
    if not expected_targets.accepts(name, child["target_state"]):
        return f"the target to be {' or '.join(expected_targets.may[name])}"
    if name in PATIENT and child["next_action"] == "wait_dead" and child["message"]:
        return None  # it is being ended, and that is said
    if child["target_state"] == "down":
        return None if child["next_action"] == "down" and not mine else "it to be down"
    if name in CRASHERS and child["next_action"] in ("start_at", "wait_start"):
        obstacle = child["next_attempt_at"] or child["next_action"] == "wait_start"
        return None if obstacle and child["last_exit"] else "its obstacle to be shown"
    if child["next_action"] != "up" or child["pid"] not in leaders:
        return "it to be up, with the pid that is alive"
    return None


def strangers(site: Site, process_observer: ProcessObserver, alive: list[Living]) -> str | None:
    """Agents that carry no mark, or others without a leader, found in another way."""
    known = {living.pid for living in alive}
    pids = {p.pid for p in processes(site) if p.kind in ("agent", "grandchild")}
    now = {living.pid for living in process_observer.alive()}
    odd = [pid for pid in pids - known - now if Path(f"/proc/{pid}").exists()]
    return f"no processes that the manager does not know: {odd}" if odd else None


def brief(child: dict[str, Any]) -> str:
    """What is shown of an instance, in short."""
    keys = ("target_state", "next_action", "pid", "next_attempt_at", "message", "last_exit")
    return str({key: child[key] for key in keys if child[key] is not None})
