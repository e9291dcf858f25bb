"""Carries out what managers do by themselves once requested: a task at each of some places."""

import argparse
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial

from hostmanager.client.change.prepared import ProgressRow
from hostmanager.client.change.stops import lost_reason_text
from hostmanager.client.errors import ClientError, ManagerError
from hostmanager.client.managers.manager_client import ManagerClient, OperationResult
from hostmanager.client.managers.multi_host import TargetManagers

RESULT_INTERVAL = 0.2
"""Seconds between two checks whether nobody waits any more."""

MAX_MESSAGES = 10
"""Messages of a task that are kept."""

ShowMessage = Callable[[str], None]

Task = Callable[[ShowMessage], OperationResult]
"""What is done at one place; it gets what shows a message."""


class TasksChange:
    """One task at each of some places, all at the same time.

    Attributes:
        needs_password: The refusal of a manager that another password would allow; empty: none.
    """

    def __init__(
        self,
        tasks: Mapping[tuple[str, str], Task],
        limit: float,
        *,
        managers: Sequence[ManagerClient] = (),
        going_on: str = "",
    ) -> None:
        """Prepare.

        Args:
            tasks: By host and name of the part.
            limit: Seconds that all may take.
            managers: Those that may not keep the reason.
            going_on: What goes on once nobody waits any more.
        """
        self.needs_password = ""
        self._tasks = tasks
        self._limit = limit
        self._managers = managers
        self._going_on = going_on
        self._rows = {key: ProgressRow(*key, "pending", "requested") for key in tasks}
        self._results = queue.SimpleQueue[tuple[tuple[str, str], ProgressRow]]()
        self._cancelled = threading.Event()

    def execute(self, refresh: Callable[[], None]) -> None:
        """Have all done, and wait for them."""
        for key, task in self._tasks.items():
            threading.Thread(target=self._run, args=(key, task), daemon=True).start()
        try:
            self._wait(refresh)
        except BaseException:
            self.cancel()
            raise
        finally:
            self._leave_pending()

    def _wait(self, refresh: Callable[[], None]) -> None:
        deadline = time.monotonic() + self._limit
        while any(row.state == "pending" for row in self._rows.values()):
            if self._cancelled.is_set() or time.monotonic() > deadline:
                return
            try:
                key, row = self._results.get(timeout=RESULT_INTERVAL)
            except queue.Empty:
                continue
            self._rows[key] = row
            refresh()

    def _run(self, key: tuple[str, str], task: Task) -> None:
        messages = deque[str](maxlen=MAX_MESSAGES)

        def show(text: str) -> None:
            messages.append(text)
            row = ProgressRow(*key, "pending", text, tuple(messages))
            self._results.put((key, row))

        unreachable = False
        try:
            result = task(show)
        except (ManagerError, ClientError) as error:
            result, unreachable = OperationResult(False, str(error)), error.unreachable
            if isinstance(error, ManagerError) and error.needs_password:
                self.needs_password = str(error)
        except Exception as error:  # else it would be waited for until the end
            result = OperationResult(False, f"{type(error).__name__}: {error}")
        state, text = ("done" if result.ok else "failed"), result.text or "done"
        row = ProgressRow(*key, state, text, tuple(messages), unreachable)
        self._results.put((key, row))

    def _leave_pending(self) -> None:
        is_late = not self._cancelled.is_set()
        text = (
            f"not finished within {self._limit:g} s" if is_late else "nobody waits for it any more"
        )
        for key, row in self._rows.items():
            if row.state == "pending":
                left = f"{text}; last message: {row.text}" if row.output else text
                self._rows[key] = ProgressRow(*key, "left", left, row.output, is_late)

    def cancel(self) -> None:
        """Wait no longer."""
        self._cancelled.set()

    def rows(self) -> list[ProgressRow]:
        """How far each is."""
        return list(self._rows.values())

    def notices(self) -> list[str]:
        """What to know besides."""
        hosts = [manager.host for manager in self._managers if manager.loses_reason]
        is_left = any(row.state == "left" for row in self._rows.values())
        texts = [self._going_on if is_left else "", lost_reason_text(hosts) if hosts else ""]
        return [text for text in texts if text]


def tasks_at_managers(
    targets: TargetManagers,
    hosts: Collection[str],
    job: Callable[[ManagerClient, ShowMessage], OperationResult],
    args: argparse.Namespace,
    *,
    errors: Mapping[str, ManagerError],
    going_on: str,
) -> Callable[[], TasksChange] | None:
    """Make what has managers do something, each within `args.timeout`, and two answers.

    Args:
        targets: The managers.
        hosts: Those of which it is requested; none: there is nothing to do.
        job: What each is to do.
        args: The command line.
        errors: Why nothing is requested of others; these are results, too.
        going_on: What goes on once nobody waits any more.
    """
    if not hosts:
        return None
    tasks: dict[tuple[str, str], Task] = {
        (host, ""): partial(_fail, errors[host])
        if host in errors
        else partial(job, targets.managers[host])
        for host in targets.hosts
        if host in errors or host in hosts
    }
    managers = [targets.managers[host] for host in hosts]
    return lambda: TasksChange(
        tasks, args.timeout + 2 * args.answer_time, managers=managers, going_on=going_on
    )


def _fail(error: ManagerError, _show: ShowMessage) -> OperationResult:
    raise error
