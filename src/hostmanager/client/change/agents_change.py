"""Carries out `up`, `down` and `restart` for faces that show the progress as a list."""

from collections.abc import Callable

from hostmanager.client.change.executor import PlanExecutor
from hostmanager.client.change.prepared import ProgressRow
from hostmanager.client.change.progress import AgentProgress
from hostmanager.client.change.progress_text import (
    interrupted_text,
    not_reached_text,
    pending_text,
    reached_text,
)
from hostmanager.client.change.stops import lost_reason_text


class AgentsChange:
    """Of `up`, `down` and `restart`."""

    def __init__(self, executor: PlanExecutor) -> None:
        self._executor = executor
        self._is_over = self._is_cancelled = False
        self._only_stopped: list[AgentProgress] = []

    @property
    def needs_password(self) -> str:
        """The refusal of a manager that another password would allow; empty: none."""
        return self._executor.needs_password

    def execute(self, refresh: Callable[[], None]) -> None:
        """Carry it out."""
        try:
            self._executor.execute(refresh)
        finally:
            self._is_over = True

    def cancel(self) -> None:
        """Wait no longer; what was only stopped so far is requested to start now."""
        self._is_cancelled = True
        self._only_stopped = self._executor.stopped_not_started()
        self._executor.cancel()

    def rows(self) -> list[ProgressRow]:
        """How far each agent is; first those for which nothing could be requested."""
        refused = [
            ProgressRow(r.agent.host, r.agent.instance_id, "failed", f"refused: {r.reason}")
            for r in self._executor.plan.refused
        ]
        return refused + [self._row(agent) for agent in self._executor.progress]

    def _row(self, agent: AgentProgress) -> ProgressRow:
        state, text = "pending", " ".join(pending_text(agent))
        if agent.step.has_failed:
            state, text = "failed", not_reached_text(agent)
        elif agent.step.outcome == "reached":
            state, text = "done", ": ".join(filter(None, reached_text(agent)))
        elif self._is_over:
            state = "left"
        return ProgressRow(agent.host, agent.instance_id, state, text, tuple(agent.step.last_lines))

    def notices(self) -> list[str]:
        """What to know besides."""
        executor = self._executor
        texts = [*executor.notices, *(f"{h}: {text}" for h, text in executor.warnings.items())]
        if executor.hosts_without_reason:
            texts.append(lost_reason_text(executor.hosts_without_reason))
        if self._is_over and self._is_cancelled:
            started = [agent for agent in self._only_stopped if agent.is_pending]
            texts.append(interrupted_text(executor.progress, started, []))
        return texts
