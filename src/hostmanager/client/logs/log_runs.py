"""When an earlier run of an agent began and ended, from the journal of its manager."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hostmanager.client.errors import FailureKind, ManagerError
from hostmanager.client.history.journal_reader import JournalQuery, read_journal
from hostmanager.client.managers.manager_client import ManagerClient
from hostmanager.util.text import pluralize

LAUNCH_MARGIN = 1.0
"""Seconds before the note of a launch that output can be of that run."""

_ENTRIES_PER_RUN = 4


def find_run(
    manager: ManagerClient, instance_id: str, back: int, answer_timeout: float
) -> tuple[float, float | None]:
    """Find when a run began, and when the next one did.

    Args:
        manager: The manager of the agent.
        instance_id: The agent.
        back: 0 is the latest run, 1 the one before.
        answer_timeout: Seconds for an answer.

    Returns:
        Unix times; None: there is no later run.

    Raises:
        ManagerError: No answer, or it knows no such run.
    """
    limit = _ENTRIES_PER_RUN * (back + 3)
    query = JournalQuery([instance_id], ("launch", "exit"), None, limit)
    journal = read_journal(manager, query, instance_id, answer_timeout)
    if journal.error:
        raise ManagerError(FailureKind.REFUSED, journal.error)
    known = runs(journal.entries)
    if back >= len(known):
        number = pluralize(len(known), "run")
        raise ManagerError(FailureKind.REFUSED, f"its history has {number}, so no --run {back}")
    return known[-1 - back].begin, known[-1 - back].end


@dataclass(frozen=True, slots=True)
class Run:
    """One run of an agent, as far as a journal has it.

    Attributes:
        begin: Unix time from when on output is of it.
        end: Unix time from when on it is of the next run; None: there is none.
        launched: Unix time of its launch.
        exited: The text of its exit; empty: it has not exited, as far as is known.
    """

    begin: float
    launched: float
    end: float | None = None
    exited: str = ""


def runs(entries: Sequence[Mapping[str, Any]]) -> list[Run]:
    """The runs of one agent, by its launches and exits in a journal; the oldest first.

    What a run wrote last can arrive after the note of its exit, and what the next one writes first
    before the note of its launch: the moment between the two notes separates them.
    """
    past_runs: list[Run] = []
    exited: float | None = None
    for entry in entries:
        when = float(entry["time"])
        if entry["kind"] == "exit":
            exited = when
            if past_runs:
                past_runs[-1] = replace(past_runs[-1], exited=str(entry.get("text") or ""))
        elif entry["kind"] == "launch" and entry["data"].get("launched", True):
            # Else it was taken over, so is the same run.
            begin = when - LAUNCH_MARGIN if exited is None else (exited + when) / 2
            if past_runs:
                past_runs[-1] = replace(past_runs[-1], end=begin)
            past_runs.append(Run(begin, when))
            exited = None
    return past_runs
