"""Changes that users have confirmed: carried out in threads, whether or not a browser follows them.

A job is ``pending`` until it gets one of the few places, then ``running``, and ends ``done``,
``failed`` (not all of it was done) or ``cancelled`` (nobody waits any more; what was
requested of managers is done all the same). It stays addressable for a day; then, and when the
server ends, it is forgotten: the journals of the managers keep what was requested, by whom and why.
"""

import logging
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from hostmanager.client.change.plan_text import PlanLine
from hostmanager.client.change.prepared import PreparedChange, ProgressRow, RunningChange

MAX_RUNNING = 8
"""Jobs that are carried out at the same time; others wait."""

MAX_JOBS = 100
"""Jobs that are kept; the one that ended first goes."""

KEPT_FOR = 24 * 3600.0
"""Seconds that a job that has ended is kept."""

SHOWN_FOR = 600.0
"""Seconds after its end that a job is mentioned beside the buttons of an agent."""

PROGRESS_INTERVAL = 0.25
"""Seconds between two updates of the progress of a job."""

log = logging.getLogger(__name__)


class TooManyJobsError(Exception):
    """As many jobs as are kept have not ended yet."""


class JobState(StrEnum):
    """How far a job is."""

    PENDING = "pending"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(slots=True, eq=False)
class Job:
    """One confirmed change.

    Attributes:
        action: What is done, as `PreparedChange.action`.
        title: The same in one clause.
        lines: What was announced.
        hosts: The hosts that are concerned.
        requester: Who confirmed it.
        reason: Why; may be empty.
        owner: The session that confirmed it.
        address: Of the form that was confirmed.
        when: Unix time.
        id: Its address; nobody can guess it.
        state: How far it is.
        rows: How far it is at each place.
        notices: What to know besides.
        error: Why it failed as a whole; empty if it did not.
        needs_password: A refusal that another password would have helped against; else empty.
        version: Grows with each change.
        ended: Monotonic time; None: it has not.
        answered: Is set when a manager has answered.
        finished: Is set when it has ended.
    """

    action: str
    title: str
    lines: Sequence[PlanLine]
    hosts: Sequence[str]
    requester: str
    reason: str
    owner: str = field(repr=False)
    address: str
    when: float
    id: str = field(default_factory=lambda: secrets.token_urlsafe(12))
    state: JobState = JobState.PENDING
    rows: Sequence[ProgressRow] = ()
    notices: Sequence[str] = ()
    error: str = ""
    needs_password: str = ""
    version: int = 0
    ended: float | None = None
    answered: threading.Event = field(default_factory=threading.Event, repr=False)
    finished: threading.Event = field(default_factory=threading.Event, repr=False)
    _running: RunningChange | None = field(default=None, repr=False)
    _is_cancelled: bool = False

    @property
    def is_finished(self) -> bool:
        """Whether it has ended."""
        return self.state not in (JobState.PENDING, JobState.RUNNING)

    def count(self, state: str) -> int:
        """The number of places in this state."""
        return sum(row.state == state for row in self.rows)

    @property
    def was_refused(self) -> bool:
        """Whether nothing at all was done for want of a password."""
        return (
            bool(self.needs_password)
            and self.is_finished
            and self.count("failed") == len(self.rows)
        )


class Jobs:
    """All jobs. `submit`, `find`, `about` and `cancel` are for one thread, that of the server.

    Args:
        on_end: Called when a job has ended, in its thread, or in that which cancels it.
        clock: Monotonic time, in seconds.
    """

    def __init__(
        self,
        on_end: Callable[[Job], None] = lambda job: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.on_end = on_end
        self._clock = clock
        self._jobs: dict[str, Job] = {}
        self._latest: dict[tuple[str, str], Job] = {}
        self._waiting = deque[Job]()
        self._begun = 0  # and not ended
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._jobs)

    def submit(
        self,
        change: PreparedChange,
        running: RunningChange,
        *,
        requester: str,
        reason: str,
        owner: str,
        address: str = "",
    ) -> Job:
        """Begin to carry out a change: `running` is what its `start` made.

        Raises:
            TooManyJobsError: Too many have not ended yet; nothing was begun.
        """
        self._make_room()
        job = Job(
            change.action,
            change.title,
            change.lines,
            change.hosts,
            requester,
            reason,
            owner,
            address,
            time.time(),
            rows=running.rows(),
            _running=running,
        )
        self._jobs[job.id] = job
        self._latest |= {(row.host, row.name): job for row in job.rows}
        self._waiting.append(job)
        self._begin_waiting()
        return job

    def find(self, job_id: str) -> Job | None:
        """The job of an address, unless it was forgotten."""
        self._forget_old()
        return self._jobs.get(job_id)

    def about(self, host: str, name: str) -> tuple[Job, ProgressRow] | None:
        """The latest job about an agent, unless it is long over, and how far it is there."""
        job = self._latest.get((host, name))
        if job is None or (job.ended is not None and self._clock() - job.ended > SHOWN_FOR):
            return None
        rows = [row for row in job.rows if (row.host, row.name) == (host, name)]
        return (job, rows[0]) if rows else None

    def cancel(self, job: Job) -> None:
        """Wait no longer for a job; one that has not begun never does."""
        with self._lock:
            job._is_cancelled = True
            is_begun = job not in self._waiting
            if not is_begun:
                self._waiting.remove(job)
            elif job._running is not None:
                job._running.cancel()
        if not is_begun:
            job.notices = ["It was cancelled before anything was sent."]
            job.rows = [
                ProgressRow(row.host, row.name, "left", "nothing was sent") for row in job.rows
            ]
            self._end(job)

    def close(self, limit: float) -> None:
        """Wait no longer for any: what was only stopped to be restarted is requested to start now.

        Args:
            limit: Seconds that managers have to take that.
        """
        for job in self._jobs.values():
            self.cancel(job)
        until = time.monotonic() + limit
        for job in self._jobs.values():
            job.finished.wait(max(0.0, until - time.monotonic()))

    def _begin_waiting(self) -> None:
        """Begin as many jobs as there are places; only one that has a place has a thread."""
        failed = []
        with self._lock:
            while self._waiting and self._begun < MAX_RUNNING:
                job = self._waiting.popleft()
                job.state = JobState.RUNNING
                try:
                    threading.Thread(target=self._run, args=(job,), daemon=True).start()
                except RuntimeError as error:  # no more threads
                    job.error = f"It could not be started, and nothing was sent: {error}."
                    failed.append(job)
                else:
                    self._begun += 1
        for job in failed:
            self._end(job)

    # --- in the thread of a job -------------------------------------------------------------

    def _run(self, job: Job) -> None:
        assert job._running is not None
        self._execute(job, job._running)
        with self._lock:
            self._begun -= 1
        self._begin_waiting()
        self._end(job)

    def _execute(self, job: Job, running: RunningChange) -> None:
        updated_at = 0.0

        def refresh() -> None:
            nonlocal updated_at
            if running.needs_password:
                job.needs_password = running.needs_password
            job.answered.set()
            if self._clock() - updated_at >= PROGRESS_INTERVAL:
                updated_at = self._clock()
                _update_rows(job, running)

        try:
            running.execute(refresh)
        except Exception as error:
            log.exception("job %s (%s) failed", job.id, job.title)
            job.error = f"It failed unexpectedly ({type(error).__name__}: {error})."
        _update_rows(job, running)

    def _end(self, job: Job) -> None:
        with self._lock:
            job.needs_password = job._running.needs_password if job._running else ""
            job._running = None  # it knows a password
            job.ended = self._clock()
            job.state = _final_state(job)
            job.version += 1
        job.answered.set()
        job.finished.set()
        self.on_end(job)

    # --- keeping ----------------------------------------------------------------------------

    def _make_room(self) -> None:
        self._forget_old()
        if len(self._jobs) < MAX_JOBS:
            return
        finished = [job for job in self._jobs.values() if job.ended is not None]
        if not finished:
            raise TooManyJobsError
        self._forget(min(finished, key=lambda job: job.ended or 0.0))

    def _forget_old(self) -> None:
        now = self._clock()
        for job in list(self._jobs.values()):
            if job.ended is not None and now - job.ended > KEPT_FOR:
                self._forget(job)

    def _forget(self, job: Job) -> None:
        del self._jobs[job.id]
        self._latest = {key: latest for key, latest in self._latest.items() if latest is not job}


def _update_rows(job: Job, running: RunningChange) -> None:
    """Take over how far it is."""
    rows, notices = running.rows(), running.notices()
    if (rows, notices) != (job.rows, job.notices):
        job.rows, job.notices = rows, notices
        job.version += 1


def _final_state(job: Job) -> JobState:
    if job.error:
        return JobState.FAILED
    if job.count("done") == len(job.rows):
        return JobState.DONE
    return JobState.CANCELLED if job._is_cancelled else JobState.FAILED
