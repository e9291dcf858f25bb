"""Asks several managers at the same time, or one, within a time limit.

A call waits for ever for an answer, so each host is asked in a thread of its own, which nobody has
to wait for: a silent host costs its time limit once.
"""

import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from hostmanager.client.errors import FailureKind, ManagerError
from hostmanager.client.managers.manager_client import ManagerClient, OperationResult

_T = TypeVar("_T")


def run_parallel(
    jobs: Mapping[str, Callable[[], _T]], limit: float | None
) -> dict[str, _T | ManagerError]:
    """Run one job per host, all at the same time.

    Args:
        jobs: By host; each may raise `ManagerError`.
        limit: Seconds for all; None: each ends by itself.

    Returns:
        The result, or why there is none, by host.
    """
    finished: queue.SimpleQueue[tuple[str, _T | BaseException]] = queue.SimpleQueue()

    def work(host: str, job: Callable[[], _T]) -> None:
        try:
            finished.put((host, job()))
        except BaseException as error:
            finished.put((host, error))

    for host, job in jobs.items():
        threading.Thread(target=work, args=(host, job), daemon=True).start()
    results: dict[str, _T | ManagerError] = {}
    deadline = None if limit is None else time.monotonic() + limit
    while len(results) < len(jobs):
        try:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            host, result = finished.get(timeout=left)
        except queue.Empty:
            break
        if isinstance(result, BaseException) and not isinstance(result, ManagerError):
            raise result
        results[host] = result
    timeout = ManagerError(FailureKind.TIMEOUT, f"no answer within {limit or 0:g} s")
    return {host: results.get(host, timeout) for host in jobs}


def run_with_limit(limit: float, job: Callable[[], _T]) -> _T:
    """Run a job within a time limit.

    Raises:
        ManagerError: From the job, or because it took longer.
    """
    result = run_parallel({"": job}, limit)[""]
    if isinstance(result, ManagerError):
        raise result
    return result


def fetch_sessions(
    clients: Mapping[str, ManagerClient], answer_timeout: float
) -> dict[str, dict[str, Any] | ManagerError]:
    """Get the `manager` session of each host, all at the same time."""
    return run_parallel({host: c.session for host, c in clients.items()}, answer_timeout)


def ask(manager: ManagerClient, operation: str, limit: float, /, **params: Any) -> OperationResult:
    """Run an operation of a manager, as `ManagerClient.run`, and wait no longer than `limit` seconds.

    Raises:
        ManagerError: No answer, or none in time.
    """
    return run_with_limit(limit, lambda: manager.run(operation, limit, **params))


def ask_pages(
    manager: ManagerClient, operation: str, limit: float, /, **params: Any
) -> Iterator[OperationResult]:
    """Run an operation whose answer comes in pages: the newest first, each asked for when it is due.

    Raises:
        ManagerError: No answer, or none in time.
    """
    while True:
        result = ask(manager, operation, limit, **params)
        yield result
        params["before"] = result.data.get("older")
        if params["before"] is None:
            return
