"""The requests that were made with keys: each runs in a thread, and has a sentence about it."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from hostmanager.client.change.executor import PlanExecutor
from hostmanager.client.change.plan import Plan, make_plan
from hostmanager.client.errors import ClientError, ManagerError
from hostmanager.client.status.model import AgentStatus, HostStatus, state_text
from hostmanager.client.text import format_time
from hostmanager.util.text import join_names, pluralize

MAX_REQUESTS_SHOWN = 3
"""Agents that one sentence names."""

CANCEL_GRACE = 1.0
"""Seconds in which an executor notices that it was cancelled."""


@dataclass(slots=True)
class UserRequest:
    """One request.

    Attributes:
        command: ``up``, ``down`` or ``restart``.
        what: The agents, in words.
        when: When it was made (Unix time).
        plan: Its plan; None: not made yet.
        error: Why it failed as a whole; empty if it did not.
        done: Whether it has ended.
    """

    command: str
    what: str
    when: float = field(default_factory=time.time)
    plan: Plan | None = None
    error: str = ""
    done: bool = False

    @property
    def has_failed(self) -> bool:
        """Whether not all of it was done."""
        plan = self.plan
        if self.error or plan is None:
            return bool(self.error)
        return bool(plan.refused) or any(step.has_failed for step in plan.steps)

    def text(self) -> str:
        """The sentence."""
        mark = "!! " if self.has_failed else ""
        return f"{mark}{format_time(self.when, self.when)} {self.command} {self.what}: {self._outcome_text()}"

    def _outcome_text(self) -> str:
        if self.error:
            return self.error
        if self.plan is None:
            return "planning ..."
        parts = [*self._refusals(), *self._failures(), *self._pending(), *self._done()]
        if self.plan.unchanged:
            names = join_names(
                [agent.instance_id for agent in self.plan.unchanged], MAX_REQUESTS_SHOWN
            )
            state = "left down" if self.command == "restart" else f"already {self.command}"
            parts.append(f"{names} {state}" if self.plan.steps else state)
        return "; ".join(parts) or "nothing to do: no manager controls it"

    @property
    def _is_about_several(self) -> bool:
        plan = self.plan
        return plan is not None and len(plan.steps) + len(plan.refused) + len(plan.unchanged) > 1

    def _refusals(self) -> list[str]:
        refused = self.plan.refused if self.plan else ()
        pairs = [(r.agent.instance_id, r.reason) for r in refused]
        return _by_reason("refused", pairs, named=self._is_about_several)

    def _failures(self) -> list[str]:
        steps = self.plan.steps if self.plan else ()
        failed = [(s.agent.instance_id, s.reason) for s in steps if s.has_failed]
        return _by_reason("NOT done", failed, named=self._is_about_several)

    def _pending(self) -> list[str]:
        steps = self.plan.steps if self.plan else ()
        under_way = [step for step in steps if step.outcome in ("pending", "told")]
        if not under_way:
            return []
        if len(under_way) == 1:
            step = under_way[0]
            if step.outcome == "pending":
                return ["sending the request ..."]
            reason = f" ({step.reason})" if step.reason else ""
            return [f"requested; now {state_text(step.current_state)}{reason} ..."]
        states = Counter(state_text(step.current_state) for step in under_way)
        counts = ", ".join(f"{number} {state}" for state, number in states.most_common())
        return [f"{pluralize(len(under_way), 'agent')} on the way: {counts} ..."]

    def _done(self) -> list[str]:
        steps = self.plan.steps if self.plan else ()
        reached = [step for step in steps if step.outcome == "reached"]
        if not reached:
            return []
        if len(steps) == 1:
            return [f"done, {reached[0].final}"]
        return [f"done: {len(reached)} of {len(steps)} {reached[0].final}"]


def _by_reason(word: str, pairs: Sequence[tuple[str, str]], *, named: bool) -> list[str]:
    """Give each reason once: a manager gives the same for all of one request."""
    names: dict[str, list[str]] = {}
    for name, reason in pairs:
        names.setdefault(reason.rstrip("."), []).append(name)
    return [
        f"{word}: {join_names(whose, MAX_REQUESTS_SHOWN)}: {reason}"
        if named
        else f"{word}: {reason}"
        for reason, whose in names.items()
    ]


class RequestRunner:
    """All requests, the newest last. Each runs in a thread of its own."""

    def __init__(self, make_executor: Callable[[Plan, Sequence[HostStatus]], PlanExecutor]) -> None:
        self.made: list[UserRequest] = []
        self._make_executor = make_executor
        self._running: list[tuple[threading.Thread, PlanExecutor]] = []

    def submit(
        self, command: str, what: str, hosts: Sequence[HostStatus], agents: Sequence[AgentStatus]
    ) -> UserRequest:
        """Start a request.

        Args:
            command: ``up``, ``down`` or ``restart``.
            what: The agents, in words.
            hosts: The status of the hosts.
            agents: The agents.
        """
        request = UserRequest(command, what)
        self.made.append(request)
        try:
            named = [agents[0].instance_id] if len(agents) == 1 else []
            request.plan = make_plan(command, hosts, agents, named)
            executor = self._make_executor(request.plan, hosts) if request.plan.steps else None
        except (ClientError, ManagerError) as failure:
            request.error, executor = str(failure), None
        if executor is None:
            request.done = True
            return request
        thread = threading.Thread(target=_execute, args=(request, executor), daemon=True)
        self._running.append((thread, executor))
        thread.start()
        return request

    def finish(self, limit: float) -> list[str]:
        """Cancel what is pending, and request `up` for what was only stopped so far.

        Returns:
            A sentence for each request that was pending.
        """
        open_ones = [request for request in self.made if not request.done]
        for _, executor in self._running:
            executor.cancel()
        # Twice: for a request that is under way, and for those that start agents again.
        until = time.monotonic() + 2 * limit + CANCEL_GRACE
        for thread, _ in self._running:
            thread.join(max(0.0, until - time.monotonic()))
        return [request.text() for request in open_ones]


def _execute(request: UserRequest, executor: PlanExecutor) -> None:
    try:
        executor.execute(lambda: None)
    except Exception as failure:  # it would be printed into the middle of the screen
        request.error = f"{type(failure).__name__}: {failure}"
    finally:
        request.done = True
