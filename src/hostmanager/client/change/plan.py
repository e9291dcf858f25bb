"""What `up`, `down` and `restart` will do, decided before anything is done. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from hostmanager.client.change.stops import Stops
from hostmanager.client.errors import ClientError
from hostmanager.client.status.model import AgentStatus, HostStatus, is_running
from hostmanager.client.status.selection import is_pattern
from hostmanager.core.model import Target
from hostmanager.util.grouping import group_pairs
from hostmanager.util.text import join_sentences

STABLE_AFTER = 5.0
"""Seconds that an agent must have been up to count as up: many die while they import, or connect."""


class Selection(StrEnum):
    """Which of the selected agents are changed."""

    ALL = "all"
    OUTDATED = "outdated"  # those that differ from what a new start would run
    NOT_AS_CONFIGURED = "not as configured"  # those whose target is not that of the site config


@dataclass(slots=True)
class AgentChange:
    """The change of one agent, and its outcome.

    Attributes:
        agent: Its status before.
        final: The target in the end: ``up`` or ``down``.
        stop_first: Whether this client stops it first, and requests `up` afterwards.
        by_manager: Whether its manager carries out the restart.
        cause: Why it is among those that are changed; empty if it was asked for.
        outcome: ``pending``, ``told``, ``reached``, ``failed`` or ``timeout``.
        reason: What is the matter with it, for people.
        last_lines: Its last output, if it died.
        state: Its latest state.
    """

    agent: AgentStatus
    final: str
    stop_first: bool = False
    by_manager: bool = False
    cause: str = ""
    outcome: str = "pending"
    reason: str = ""
    last_lines: list[str] = field(default_factory=list)
    state: str = ""

    @property
    def current_state(self) -> str:
        """Its latest state, or the one before the change."""
        return self.state or self.agent.state

    @property
    def action(self) -> str:
        """What is done: ``start``, ``stop`` or ``restart``."""
        if self.stop_first or self.by_manager:
            return "restart"
        return "start" if self.final == "up" else "stop"

    @property
    def has_failed(self) -> bool:
        """Whether the target was not reached."""
        return self.outcome in ("failed", "timeout")

    def as_json(self) -> dict[str, Any]:
        """As programs get it."""
        return {
            "host": self.agent.host,
            "instance_id": self.agent.instance_id,
            "action": self.action,
            "cause": self.cause,
            "before": self.agent.state,
            "wanted": self.final,
            "state": self.current_state,
            "outcome": self.outcome,
            "why": self.reason,
            "last_lines": self.last_lines,
        }


@dataclass(frozen=True, slots=True)
class Refusal:
    """An agent for which nothing can be requested.

    Attributes:
        agent: Which.
        reason: Why, and what would help.
        unreachable: Whether that is because its manager does not answer.
    """

    agent: AgentStatus
    reason: str
    unreachable: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """The steps of a change.

    Attributes:
        command: ``up``, ``down`` or ``restart``.
        steps: What is done, in the order of the site config.
        unchanged: Agents that are as requested already; for a restart, those that are down.
        refused: Agents for which nothing can be requested.
        managers_to_start: Hosts whose stopped `manager` process has to be started.
        selection: Which of the agents are changed.
    """

    command: str
    steps: tuple[AgentChange, ...] = ()
    unchanged: tuple[AgentStatus, ...] = ()
    refused: tuple[Refusal, ...] = ()
    managers_to_start: frozenset[str] = frozenset()
    selection: Selection = Selection.ALL

    @property
    def stops(self) -> Stops:
        """What would be stopped, at least for a moment."""
        steps = [step for step in self.steps if step.action != "start"]
        running = [step.agent for step in steps if is_running(step.agent.child)]
        verb = "restart" if self.command == "restart" else "stop"
        return Stops(verb, group_pairs((agent.host, agent.instance_id) for agent in running))

    @property
    def unchanged_by_state(self) -> dict[str, list[AgentStatus]]:
        """The agents of `unchanged`, by what is the matter with them, for people."""
        return group_pairs((self._unchanged_state(agent), agent) for agent in self.unchanged)

    def _unchanged_state(self, agent: AgentStatus) -> str:
        if self.selection is Selection.OUTDATED:
            return "not outdated"
        if self.selection is Selection.NOT_AS_CONFIGURED:
            return "as configured already"
        if agent.is_done and self.command != "down":
            return "done; run again only if named"
        return "left down" if self.command == "restart" else f"already {self.command}"

    @property
    def hosts_without_restart(self) -> list[str]:
        """Hosts whose manager has no `restart`, so that this client stops and starts its agents."""
        return list(dict.fromkeys(step.agent.host for step in self.steps if step.stop_first))

    def as_json(self) -> dict[str, Any]:
        """As programs get it; docs/cli.md describes it."""
        return {
            "steps": [step.as_json() for step in self.steps],
            "already": [{"host": a.host, "instance_id": a.instance_id} for a in self.unchanged],
            "refused": [
                {"host": r.agent.host, "instance_id": r.agent.instance_id, "why": r.reason}
                for r in self.refused
            ],
            "stops": self.stops.as_json(),
        }


def make_plan(
    command: str,
    hosts: Sequence[HostStatus],
    agents: Sequence[AgentStatus],
    names: Sequence[str],
    selection: Selection = Selection.ALL,
) -> Plan:
    """Decide what is to be done.

    Args:
        command: ``up``, ``down`` or ``restart``.
        hosts: The status of the hosts.
        agents: The selected agents.
        names: The names and patterns that were given.
        selection: Which of them are changed.

    Raises:
        ClientError: An agent was named that no manager controls.
    """
    named = {name for name in names if not is_pattern(name)}
    by_name = {host.host.name: host for host in hosts}
    steps: list[AgentChange] = []
    unchanged: list[AgentStatus] = []
    refused: list[Refusal] = []
    for agent in agents:
        host = by_name[agent.host]
        if not agent.is_managed or host.host.manager is None:
            _require_pattern(agent, named)
            continue
        # What is done is run again only if somebody names it.
        is_named = agent.instance_id in named
        decision = _decide(command, agent, host, selection, is_named=is_named)
        if isinstance(decision, AgentChange):
            steps.append(decision)
        elif decision is not None:
            refused.append(decision)
        else:
            unchanged.append(agent)
    return Plan(
        command,
        tuple(steps),
        tuple(unchanged),
        tuple(refused),
        frozenset(s.agent.host for s in steps if _is_process_stopped(by_name[s.agent.host])),
        selection,
    )


def _decide(
    command: str, agent: AgentStatus, host: HostStatus, selection: Selection, *, is_named: bool
) -> AgentChange | Refusal | None:
    """What becomes of one agent; None: nothing is to be done."""
    request = _request(command, agent, selection)
    is_stopped = _is_process_stopped(host)
    stays_done = agent.is_done and request != "down" and not is_named
    if stays_done or is_satisfied(request, agent, manager_stopped=is_stopped):
        return None
    reason = _refusal_reason(request, agent, host, is_stopped=is_stopped)
    if reason and (host.error is not None or selection is not Selection.OUTDATED):
        return Refusal(agent, reason, host.error is not None)
    return _step(request, agent, selection) if _is_selected(agent, selection) else None


def _is_process_stopped(host: HostStatus) -> bool:
    return host.process not in ("", "running")


def _request(command: str, agent: AgentStatus, selection: Selection) -> str:
    """What is requested for an agent: ``up``, ``down`` or ``restart``."""
    if selection is not Selection.NOT_AS_CONFIGURED:
        return command
    return "down" if _configured_target(agent) is Target.DOWN else "up"


def _configured_target(agent: AgentStatus) -> Target | None:
    """The target that the site config says, passive for what is manual; None if it says none."""
    spec = agent.entry.spec if agent.entry is not None else None
    return spec.default_target if spec is not None else None


def _is_selected(agent: AgentStatus, selection: Selection) -> bool:
    if selection is Selection.OUTDATED:
        return bool(agent.get("restart_required"))
    if selection is Selection.NOT_AS_CONFIGURED:
        configured = _configured_target(agent)
        if configured in (None, Target.PASSIVE) or agent.target == Target.PASSIVE:
            return False
        if agent.is_done:
            return False
        return agent.target != configured
    return True


def _step(request: str, agent: AgentStatus, selection: Selection) -> AgentChange:
    cause = _cause(agent, selection)
    if request != "restart":
        return AgentChange(agent, request, cause=cause)
    by_manager = "restarting" in (agent.child or {})  # else an older one, or that of OCS
    return AgentChange(agent, "up", stop_first=not by_manager, by_manager=by_manager, cause=cause)


def _cause(agent: AgentStatus, selection: Selection) -> str:
    if selection is Selection.OUTDATED:
        return str(agent.get("message") or OUTDATED).rstrip(".").removesuffix("; restart it")
    if selection is Selection.NOT_AS_CONFIGURED:
        return by_hand_text(agent)
    return ""


OUTDATED = "A new start would run something else"
"""Of managers that do not say why, as that of OCS."""


def by_hand_text(agent: AgentStatus) -> str:
    """Say that its target was set by hand, and by whom, if its manager knows that."""
    if agent.child is None:
        return "its manager process was stopped"
    action = "stopped" if agent.target == Target.DOWN else "started"
    by, reason = agent.get("target_by"), agent.get("target_reason")
    author = f" by {by}" if by else ""
    return f"{action} by hand{author}" + (f": {reason}" if reason else "")


def _require_pattern(agent: AgentStatus, named: set[str]) -> None:
    """Check that an unmanaged agent was matched by a pattern, and not named."""
    if agent.instance_id not in named:
        return
    if agent.entry is not None and agent.entry.manage == "ignore":
        raise ClientError(
            f"{agent.instance_id} is not managed: the site config says 'manage: ignore'. "
            "Start and stop it with whatever runs it."
        )
    raise ClientError(
        f"{agent.instance_id} is not managed: host {agent.host} has no entry of class HostManager."
    )


def _refusal_reason(command: str, agent: AgentStatus, host: HostStatus, *, is_stopped: bool) -> str:
    if host.error is not None:
        return str(host.error)
    if is_stopped and command != "up":
        return "its manager process was stopped, and is stopping its agents"
    if is_stopped and (agent.entry is None or agent.entry.spec is None):
        return join_sentences(agent.reasons) or "its manager process was stopped"
    if not is_stopped and agent.child is None:
        return join_sentences(agent.reasons) or "its manager does not know it"
    return ""


def is_satisfied(command: str, agent: AgentStatus, *, manager_stopped: bool = False) -> bool:
    """Whether there is nothing to do for an agent."""
    if manager_stopped:
        return command != "up" and (agent.child is None or agent.state == "down")
    if agent.child is None:
        return False
    if command == "restart":
        is_idle = agent.target == "down" or (agent.target == "passive" and agent.state != "up")
        return is_idle and not agent.is_done
    if agent.target == "passive":
        return agent.state == command
    if agent.target != command or agent.state != command:
        return False
    # One that has just come up may be one that dies again and again.
    uptime = agent.child.get("uptime")
    return command == "down" or uptime is None or uptime >= STABLE_AFTER
