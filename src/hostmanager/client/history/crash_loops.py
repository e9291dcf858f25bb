"""Folds the repeats of a crash loop in a history into one line. Pure.

A cycle is a launch, its unexpected exit, and what the journal has of that instance until the next
launch. Cycles in a row that ended alike become one line; whatever somebody requested of the instance in
between begins a new one.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from hostmanager.util.grouping import group_pairs
from hostmanager.util.text import format_duration

JournalEntry = dict[str, Any]

CYCLE_KINDS = frozenset({"launch", "exit", "output", "state", "health"})

FOLD_FROM = 3
"""Cycles in a row from which on they share a line."""


def fold_cycles(entries: Iterable[JournalEntry], now: Mapping[str, float]) -> list[JournalEntry]:
    """Fold the crash loops in the entries of several hosts, the oldest first.

    Args:
        entries: Each with its host.
        now: Unix time by the clock of each manager.
    """
    sequences = group_pairs(((e["host"], e["instance_id"]), e) for e in entries)
    folded: list[JournalEntry] = []
    for (host, instance_id), sequence in sequences.items():
        folded += sequence if instance_id is None else _fold(sequence, now[host])
    return sorted(folded, key=lambda entry: (entry["time"], entry["id"]))


def _fold(sequence: Sequence[JournalEntry], now: float) -> Iterator[JournalEntry]:
    group: list[list[JournalEntry]] = []
    for cycle in _cycles(sequence):
        outcome = _outcome(cycle)
        if group and (outcome is None or outcome != _outcome(group[0])):
            yield from _folded(group, now)
            group = []
        group.append(cycle)
    yield from _folded(group, now)


def _cycles(sequence: Sequence[JournalEntry]) -> Iterator[list[JournalEntry]]:
    cycle: list[JournalEntry] = []
    for entry in sequence:
        is_other = entry["kind"] not in CYCLE_KINDS
        if cycle and (is_other or _begins_cycle(entry, cycle)):
            yield cycle
            cycle = []
        if is_other:
            yield [entry]
        else:
            cycle.append(entry)
    if cycle:
        yield cycle


def _begins_cycle(entry: JournalEntry, cycle: Sequence[JournalEntry]) -> bool:
    has_exit = any(earlier["kind"] == "exit" for earlier in cycle)
    return entry["kind"] == "launch" or (entry["kind"] == "exit" and has_exit)


def _outcome(cycle: Sequence[JournalEntry]) -> str | None:
    """How a cycle ended, in words; None: not by a failure."""
    exits = [entry for entry in cycle if entry["kind"] == "exit"]
    if len(exits) != 1 or exits[0]["data"].get("expected", False):
        return None
    return str(exits[0]["text"]).partition(" after ")[0]


def _folded(group: Sequence[Sequence[JournalEntry]], now: float) -> Iterator[JournalEntry]:
    if len(group) < FOLD_FROM or _outcome(group[0]) is None:
        for cycle in group:
            yield from cycle
        return
    entries = [entry for cycle in group for entry in cycle]
    last_exit = [entry for entry in entries if entry["kind"] == "exit"][-1]
    outputs = [entry for entry in entries if entry["kind"] == "output"]
    began, ended = entries[0]["time"], last_exit["time"]
    launched = any(entry["kind"] == "launch" for entry in entries)
    verb = "launched" if launched else "tried"
    text = (
        f"{verb} {len(group)} times in {format_duration(ended - began)}, {_outcome(group[0])} "
        f"each time, last {format_duration(max(0.0, now - ended))} ago"
    )
    data: dict[str, Any] = {"folded": len(entries)}
    if outputs:
        data["lines"] = outputs[-1]["data"].get("lines", ())
    yield {**last_exit, "text": text, "data": data}
