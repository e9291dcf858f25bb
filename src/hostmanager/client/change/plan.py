"""What `up`, `down` and `restart` are going to do, before they do it: pure, for a dry run."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from hostmanager.cli.exit_codes import CommandError
from hostmanager.client.status.model import AgentStatus, HostStatus
from hostmanager.client.status.selection import is_pattern
from hostmanager.util.text import join_sentences

STABLE_AFTER = 2.0
"""Seconds that an agent has to be up before it is said to be: many die in the first."""


@dataclass(slots=True)
class AgentChange:
    """What is to become of one agent, and what became of it.

    Attributes:
        row: How it was before.
        final: What it is to be in the end: ``up`` or ``down``.
        stop_first: Whether it is to be ended first, and told up by us then.
        by_manager: Whether its manager is asked to restart it, and sees that through.
        outcome: ``pending``, ``told``, ``reached``, ``failed`` or ``timeout``.
        why: What is the matter with it, for people.
        last_lines: What it said last, if it died.
        state: How it was seen last.
    """

    row: AgentStatus
    final: str
    stop_first: bool = False
    by_manager: bool = False
    outcome: str = "pending"
    why: str = ""
    last_lines: list[str] = field(default_factory=list)
    state: str = ""

    def as_json(self) -> dict[str, Any]:
        """As programs get it."""
        return {
            "host": self.row.host,
            "instance_id": self.row.instance_id,
            "before": self.row.state,
            "wanted": self.final,
            "state": self.state or self.row.state,
            "outcome": self.outcome,
            "why": self.why,
            "last_lines": self.last_lines,
        }


@dataclass(frozen=True, slots=True)
class Refusal:
    """An agent that was asked for and cannot be told anything.

    Attributes:
        row: Which.
        reason: Why, and what would help.
        silent: Whether that is because its manager does not answer.
    """

    row: AgentStatus
    reason: str
    silent: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """What is going to happen.

    Attributes:
        command: ``up``, ``down`` or ``restart``.
        steps: What is done, in the order of the site config.
        unchanged: Agents that are as they are asked to be; for a restart, those that are down.
        refused: Agents that cannot be told.
        managers_to_start: Hosts whose manager has to be told to begin again.
    """

    command: str
    steps: tuple[AgentChange, ...] = ()
    unchanged: tuple[AgentStatus, ...] = ()
    refused: tuple[Refusal, ...] = ()
    managers_to_start: frozenset[str] = frozenset()

    @property
    def without_restart(self) -> list[str]:
        """Hosts whose manager cannot restart anything, so that it is told down, and then up."""
        return list(dict.fromkeys(step.row.host for step in self.steps if step.stop_first))

    def as_json(self) -> dict[str, Any]:
        """As programs get it; docs/cli.md describes it."""
        return {
            "steps": [step.as_json() for step in self.steps],
            "already": [{"host": r.host, "instance_id": r.instance_id} for r in self.unchanged],
            "refused": [
                {"host": r.row.host, "instance_id": r.row.instance_id, "why": r.reason}
                for r in self.refused
            ],
        }


def make_plan(
    command: str, found: Sequence[HostStatus], chosen: Sequence[AgentStatus], words: Sequence[str]
) -> Plan:
    """Decide what is to be done.

    Args:
        command: ``up``, ``down`` or ``restart``.
        found: What is known of the hosts.
        chosen: The agents that it is about.
        words: The names and patterns that were given.

    Raises:
        CommandError: An agent was named that nobody manages.
    """
    named = {word for word in words if not is_pattern(word)}
    hosts = {host.host.name: host for host in found}
    steps: list[AgentChange] = []
    already: list[AgentStatus] = []
    refused: list[Refusal] = []
    woken: set[str] = set()
    for row in chosen:
        host = hosts[row.host]
        if not row.is_managed or host.host.manager is None:
            _insist_on_patterns(row, named)
            continue
        if host.process not in ("", "running"):
            if command != "up" and (row.child is None or row.state == "down"):
                already.append(row)
            elif command != "up":
                refused.append(Refusal(row, "its manager was told to stop, and is ending it"))
            elif row.entry is not None and row.entry.spec is not None:
                woken.add(row.host)
                steps.append(AgentChange(row, "up"))
            else:
                why = join_sentences(row.reasons) or "its manager was told to stop"
                refused.append(Refusal(row, why))
            continue
        refusal = _refusal(row, host)
        if refusal is not None:
            refused.append(refusal)
        elif is_satisfied(command, row):
            already.append(row)
        else:
            steps.append(_step(command, row))
    return Plan(command, tuple(steps), tuple(already), tuple(refused), frozenset(woken))


def _step(command: str, row: AgentStatus) -> AgentChange:
    if command != "restart":
        return AgentChange(row, command)
    by_manager = "restarting" in (row.child or {})  # else it is older, or that of OCS
    return AgentChange(row, "up", stop_first=not by_manager, by_manager=by_manager)


def _insist_on_patterns(row: AgentStatus, named: set[str]) -> None:
    """What nobody manages may fit a pattern; it may not be named."""
    if row.instance_id not in named:
        return
    if row.entry is not None and row.entry.manage == "ignore":
        raise CommandError(
            f"{row.instance_id} is not managed: the site config says 'manage: ignore'. "
            "Whoever started it has to do that."
        )
    raise CommandError(
        f"{row.instance_id} is not managed: host {row.host} has no entry of class HostManager."
    )


def _refusal(row: AgentStatus, host: HostStatus) -> Refusal | None:
    if host.error is not None:
        return Refusal(row, str(host.error), silent=True)
    if row.child is None:
        return Refusal(row, join_sentences(row.reasons) or "its manager does not know it")
    return None


def is_satisfied(command: str, row: AgentStatus) -> bool:
    """Whether there is nothing to do for it."""
    if command == "restart":
        return row.target == "down" or (row.target == "passive" and row.state != "up")
    if row.target == "passive":
        return row.state == command
    if row.target != command or row.state != command:
        return False
    # One that has just come up is looked at: it may be one that dies again and again.
    uptime = (row.child or {}).get("uptime")
    return command == "down" or uptime is None or uptime >= STABLE_AFTER
