"""What was asked for with a key, and what came of it, in a sentence that grows with it."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from hostmanager.cli.exit_codes import CommandError
from hostmanager.cli.text import format_time
from hostmanager.client.change.executor import PlanExecutor
from hostmanager.client.change.plan import Plan, make_plan
from hostmanager.client.manager_client import ManagerError
from hostmanager.client.status.model import AgentStatus, HostStatus
from hostmanager.util.text import join_names, pluralize

MAX_REQUESTS_SHOWN = 3
"""Agents that are named in one sentence."""

CANCEL_GRACE = 1.0
"""Seconds in which one that carries out a request has noticed that it was given up."""


@dataclass(slots=True)
class ChangeRequest:
    """One request.

    Attributes:
        command: ``up``, ``down`` or ``restart``.
        what: Whom it is about, in words.
        when: When it was made (Unix time).
        plan: What was made of it; None: nothing yet.
        trouble: Why nothing came of it.
        done: Whether nothing more will become of it.
    """

    command: str
    what: str
    when: float = field(default_factory=time.time)
    plan: Plan | None = None
    trouble: str = ""
    done: bool = False

    @property
    def has_failed(self) -> bool:
        """Whether not all of it was done."""
        plan = self.plan
        if self.trouble or plan is None:
            return bool(self.trouble)
        return bool(plan.refused) or any(s.outcome in ("failed", "timeout") for s in plan.steps)

    def text(self) -> str:
        """The sentence."""
        mark = "!! " if self.has_failed else ""
        return f"{mark}{format_time(self.when, self.when)} {self.command} {self.what}: {self._outcome_text()}"

    def _outcome_text(self) -> str:
        if self.trouble:
            return self.trouble
        if self.plan is None:
            return "asking ..."
        parts = [*self._refusals(), *self._failures(), *self._open(), *self._reached()]
        if self.plan.unchanged:
            names = join_names([row.instance_id for row in self.plan.unchanged], MAX_REQUESTS_SHOWN)
            state = "down, left so" if self.command == "restart" else f"already {self.command}"
            parts.append(f"{names} {state}" if self.plan.steps else state)
        return "; ".join(parts) or "nothing to do: nobody manages it"

    @property
    def _is_about_several(self) -> bool:
        plan = self.plan
        return plan is not None and len(plan.steps) + len(plan.refused) + len(plan.unchanged) > 1

    def _refusals(self) -> list[str]:
        refused = self.plan.refused if self.plan else ()
        pairs = [(r.row.instance_id, r.reason) for r in refused]
        return _by_reason("refused", pairs, named=self._is_about_several)

    def _failures(self) -> list[str]:
        steps = self.plan.steps if self.plan else ()
        failed = [(s.row.instance_id, s.why) for s in steps if s.outcome in ("failed", "timeout")]
        return _by_reason("NOT done", failed, named=self._is_about_several)

    def _open(self) -> list[str]:
        steps = self.plan.steps if self.plan else ()
        under_way = [step for step in steps if step.outcome in ("pending", "told")]
        if not under_way:
            return []
        if len(under_way) == 1:
            step = under_way[0]
            if step.outcome == "pending":
                return ["telling its manager ..."]
            why = f" ({step.why})" if step.why else ""
            return [f"told; now {step.state or step.row.state}{why} ..."]
        states = Counter(step.state or step.row.state for step in under_way)
        told = ", ".join(f"{number} {state}" for state, number in states.most_common())
        return [f"{pluralize(len(under_way), 'agent')} on the way: {told} ..."]

    def _reached(self) -> list[str]:
        steps = self.plan.steps if self.plan else ()
        reached = [step for step in steps if step.outcome == "reached"]
        if not reached:
            return []
        if len(steps) == 1:
            return [f"done, {reached[0].final}"]
        return [f"done: {len(reached)} of {len(steps)} {reached[0].final}"]


def _by_reason(word: str, pairs: Sequence[tuple[str, str]], *, named: bool) -> list[str]:
    """Tell each reason once: a manager gives the same for all of one request."""
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
    """All that were made, the newest last. Each is carried out in a thread of its own."""

    def __init__(self, pursue: Callable[[Plan, Sequence[HostStatus]], PlanExecutor]) -> None:
        self.made: list[ChangeRequest] = []
        self._pursue = pursue
        self._running: list[tuple[threading.Thread, PlanExecutor]] = []

    def submit(
        self, command: str, what: str, found: Sequence[HostStatus], rows: Sequence[AgentStatus]
    ) -> ChangeRequest:
        """Begin one.

        Args:
            command: ``up``, ``down`` or ``restart``.
            what: Whom it is about, in words.
            found: What is known of the hosts.
            rows: The agents.
        """
        request = ChangeRequest(command, what)
        self.made.append(request)
        try:
            named = [rows[0].instance_id] if len(rows) == 1 else []
            request.plan = make_plan(command, found, rows, named)
            pursuit = self._pursue(request.plan, found) if request.plan.steps else None
        except (CommandError, ManagerError) as error:
            request.trouble, pursuit = str(error), None
        if pursuit is None:
            request.done = True
            return request
        thread = threading.Thread(target=_see_through, args=(request, pursuit), daemon=True)
        self._running.append((thread, pursuit))
        thread.start()
        return request

    def finish(self, limit: float) -> list[str]:
        """Wait for nothing any longer, but start again what was only ended so far.

        Returns:
            Sentences for those that were under way: what had become of them.
        """
        open_ones = [request for request in self.made if not request.done]
        for _, pursuit in self._running:
            pursuit.cancel()
        # What it asks just now, and then those that it tells up again: it has the words for both.
        until = time.monotonic() + 2 * limit + CANCEL_GRACE
        for thread, _ in self._running:
            thread.join(max(0.0, until - time.monotonic()))
        return [request.text() for request in open_ones]


def _see_through(request: ChangeRequest, pursuit: PlanExecutor) -> None:
    try:
        pursuit.execute(lambda: None)
    except Exception as error:  # it would be printed into the middle of the screen
        request.trouble = f"{type(error).__name__}: {error}"
    finally:
        request.done = True
