"""Carrying out a change that was shown before: the same for agents, and for tasks of managers.

Faces that show progress as a list, such as the page of the site, need no more than this.
"""

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from hostmanager.client.change.executor import PlanExecutor
from hostmanager.client.change.progress import AgentProgress
from hostmanager.client.change.progress_text import (
    interrupted_text,
    not_reached_text,
    pending_text,
    reached_text,
)
from hostmanager.client.change.stops import lost_reason_text
from hostmanager.client.errors import ClientError, ManagerError
from hostmanager.client.managers.manager_client import OperationResult

RESULT_INTERVAL = 0.2
"""Seconds between two checks whether nobody waits any more."""

MAX_MESSAGES = 10
"""Messages of a task that are kept."""

Task = Callable[[Callable[[str], None]], OperationResult]
"""What is done at one place; it gets what shows a message."""


@dataclass(frozen=True, slots=True)
class ProgressRow:
    """How far it is at one place.

    Attributes:
        host: The host.
        name: Of the agent, or of another part; empty: the host itself.
        state: ``pending``, ``done``, ``failed``, or ``left``: nobody waits for it any more.
        text: The same in words.
        output: The last output of an agent that died, or messages of a task.
    """

    host: str
    name: str
    state: str
    text: str
    output: tuple[str, ...] = ()


class RunningChange(Protocol):
    """A change that is carried out."""

    @property
    def needs_password(self) -> str:
        """The refusal of a manager that another password would allow; empty: none."""

    def execute(self, refresh: Callable[[], None]) -> None:
        """Carry it out, and call `refresh` whenever something may have changed."""

    def cancel(self) -> None:
        """Wait no longer. What managers were requested is done all the same."""

    def rows(self) -> list[ProgressRow]:
        """How far it is."""

    def notices(self) -> list[str]:
        """What to know besides."""


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
        except BaseException:
            self._executor.start_stopped()
            raise
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


class TasksChange:
    """Of everything else: one task at each of some places, all at the same time."""

    def __init__(
        self,
        tasks: Mapping[tuple[str, str], Task],
        limit: float,
        *,
        going_on: str = "",
        refused: Sequence[ProgressRow] = (),
    ) -> None:
        """Prepare.

        Args:
            tasks: By host and name of the part.
            limit: Seconds that all may take.
            going_on: What goes on once nobody waits any more.
            refused: Where nothing is done.
        """
        self.needs_password = ""
        self._tasks = tasks
        self._limit = limit
        self._going_on = going_on
        self._refused = list(refused)
        self._rows = {key: ProgressRow(*key, "pending", "requested") for key in tasks}
        self._results = queue.SimpleQueue[tuple[tuple[str, str], ProgressRow]]()
        self._cancelled = threading.Event()

    def execute(self, refresh: Callable[[], None]) -> None:
        """Have all done, and wait for them."""
        for key, task in self._tasks.items():
            threading.Thread(target=self._run, args=(key, task), daemon=True).start()
        deadline = time.monotonic() + self._limit
        while any(row.state == "pending" for row in self._rows.values()):
            if self._cancelled.is_set() or time.monotonic() > deadline:
                break
            try:
                key, row = self._results.get(timeout=RESULT_INTERVAL)
            except queue.Empty:
                continue
            self._rows[key] = row
            refresh()
        self._leave_pending()

    def _run(self, key: tuple[str, str], task: Task) -> None:
        messages = deque[str](maxlen=MAX_MESSAGES)

        def show(text: str) -> None:
            messages.append(text)
            row = ProgressRow(*key, "pending", text, tuple(messages))
            self._results.put((key, row))

        try:
            result = task(show)
        except ManagerError as error:
            self.needs_password = str(error) if error.needs_password else self.needs_password
            result = OperationResult(False, error.text_with_hint)
        except ClientError as error:
            result = OperationResult(False, str(error))
        except Exception as error:  # else it would be waited for until the end
            result = OperationResult(False, f"{type(error).__name__}: {error}")
        state, text = ("done" if result.ok else "failed"), result.text or "done"
        self._results.put((key, ProgressRow(*key, state, text, tuple(messages))))

    def _leave_pending(self) -> None:
        text = "nobody waits for it any more"
        if not self._cancelled.is_set():
            text = f"not finished within {self._limit:g} s"
        for key, row in self._rows.items():
            if row.state == "pending":
                left = f"{text}; last message: {row.text}"
                self._rows[key] = ProgressRow(*key, "left", left, row.output)

    def cancel(self) -> None:
        """Wait no longer."""
        self._cancelled.set()

    def rows(self) -> list[ProgressRow]:
        """How far each is."""
        return [*self._refused, *self._rows.values()]

    def notices(self) -> list[str]:
        """What to know besides."""
        is_left = any(row.state == "left" for row in self._rows.values())
        return [self._going_on] if self._going_on and is_left else []
