"""How far a change has come, in words: of each agent, of all, and once nobody waits. Pure."""

from collections.abc import Sequence

from hostmanager.client.change.plan import Plan, Selection
from hostmanager.client.change.progress import AgentProgress
from hostmanager.client.status.model import state_text
from hostmanager.util.text import join_names, pluralize


def pending_text(agent: AgentProgress) -> tuple[str, str]:
    """The state of an agent that is waited for, and what it is waited for."""
    step = agent.step
    state = step.current_state
    if step.state == "up" and agent.stage == "up" and not agent.restarting:
        uptime = f"{agent.uptime:.0f} s, " if agent.uptime is not None else ""
        return state_text(state), uptime + (step.reason or "checking that it stays up")
    aim = "(restarting)" if agent.restarting else f"(target {agent.stage})"
    return state_text(state), f"{aim} {step.reason}".rstrip()


def reached_text(agent: AgentProgress) -> tuple[str, str]:
    """The state that an agent was to reach, and what is wrong with it all the same."""
    return ("down" if agent.step.state == "gone" else agent.step.state), agent.note


def not_reached_text(agent: AgentProgress) -> str:
    """The state of an agent that is not where it was to be, and why."""
    step = agent.step
    return f"{state_text(step.current_state)} (target {step.final}): {step.reason}"


def summary(plan: Plan, agents: Sequence[AgentProgress]) -> list[tuple[str, bool | None]]:
    """Sentences about all agents; each with whether it is good, if that is known."""
    failed = sum(agent.step.has_failed for agent in agents)
    requested = sum(agent.step.outcome == "told" for agent in agents)
    final = "down" if plan.command == "down" else "up"
    if plan.selection is Selection.NOT_AS_CONFIGURED:
        final = "as configured"
    lines: list[tuple[str, bool | None]] = []
    if requested:
        action = f"{plan.command} requested"
        if plan.hosts_without_restart:
            action = "stopped, then up requested"
        lines.append((f"{pluralize(requested, 'agent')}: {action}; not waited for", None))
    reached = len(agents) - failed - requested
    if reached or failed:
        verb = "is" if len(agents) == 1 else "are"
        text = f"{reached} of {pluralize(len(agents), 'agent')} {verb} {final}"
        lines.append((text, not failed))
    return lines


def interrupted_text(
    agents: Sequence[AgentProgress],
    started: Sequence[AgentProgress],
    not_started: Sequence[AgentProgress],
) -> str:
    """Say what goes on at the managers once nobody waits any more, and what does not.

    Args:
        agents: All.
        started: Those that had been stopped only, and whose start is requested now.
        not_started: Those whose manager has not accepted that.
    """
    pending = [agent for agent in agents if agent.is_pending]
    others = [agent for agent in pending if agent not in started and agent not in not_started]
    requested = [agent for agent in others if agent.requested_at is not None]
    to_start = [a for a in requested if a.restarting and not _is_starting(a)] + list(started)
    starting = [a for a in requested if a.stage == "up" and a not in to_start]
    stopping = [a for a in requested if a.stage == "down" and a not in to_start]
    parts = []
    if to_start:
        pronoun = "it" if len(to_start) == 1 else "they"
        parts.append(f"Still stopping: {_names(to_start)}; {pronoun} will be started afterwards.")
    if starting:
        parts.append(f"Still starting: {_names(starting)}.")
    if stopping:
        parts.append(f"Still stopping: {_names(stopping)}.")
    if len(requested) < len(others):
        parts.append("Requests were being sent; some managers may have got theirs.")
    if not_started:
        names = " ".join(agent.instance_id for agent in not_started)
        parts.append(
            f"Stopping, and will NOT be started afterwards: {names}. "
            f"To start them: hostmanager up {names}"
        )
    return " ".join(parts or ["Everything was done already."])


def _is_starting(agent: AgentProgress) -> bool:
    return agent.step.state in ("start", "start_at", "wait_start")


def _names(agents: Sequence[AgentProgress]) -> str:
    return join_names([agent.instance_id for agent in agents], 10)
