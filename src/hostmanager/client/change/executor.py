"""Seeing a plan through: tell the managers, watch the agents, say what became of each."""

import argparse
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from hostmanager.cli.exit_codes import FAILED, INTERRUPTED, OK, UNREACHABLE
from hostmanager.cli.output import Output
from hostmanager.client.change.plan import Plan
from hostmanager.client.change.progress import AgentProgress
from hostmanager.client.manager_client import (
    FailureKind,
    ManagerClient,
    ManagerError,
    OperationResult,
    make_clients,
    run_parallel,
)
from hostmanager.client.poller import Answer, SessionPoller
from hostmanager.client.site_model import Site
from hostmanager.client.status.model import HostStatus
from hostmanager.core.requests import ALL
from hostmanager.util.text import end_sentence

INTERVAL = 0.4
"""Seconds between two looks at the agents of a host."""

LOOK = 0.1
"""Seconds between two pictures of the progress."""

BEGIN_PATIENCE = 0.5

START_TIMEOUT = 10.0
"""Seconds that a manager may take to begin again: it reads the site config then."""

ENDING = "its manager still ends its agents"
"""Why one that was told to stop has not begun again."""

NOT_STARTED = "its manager has not begun again yet"

TRANSITIONAL = ("starting", "stopping")
"""What a `manager` process is while it can neither be begun nor be told anything."""

log = logging.getLogger(__name__)

Told = tuple[str, list[AgentProgress], OperationResult | ManagerError]


class _TooLateError(Exception):
    """The time was over, or nobody waits any more, before a manager could be told anything."""


class PlanExecutor:
    """One run of `up`, `down` or `restart`."""

    def __init__(
        self, site: Site, plan: Plan, found: Sequence[HostStatus], args: argparse.Namespace
    ) -> None:
        self.plan = plan
        self.progress = [AgentProgress.of(step) for step in plan.steps]
        ending = {host.host.name for host in found if host.process == "stopping"}
        for course in self.progress:
            host = course.step.row.host
            if host in plan.managers_to_start:
                course.patience = START_TIMEOUT
                course.step.why = ENDING if host in ending else NOT_STARTED
        self._args = args
        hosts = dict.fromkeys(step.row.host for step in plan.steps)
        self._managers = make_clients(site, args, hosts)
        self._silent: set[str] = set()
        self._not_kept: dict[str, str] = {}
        self._outcomes: queue.SimpleQueue[Told] = queue.SimpleQueue()
        self._pulse: SessionPoller | None = None
        self._looked: dict[str, Answer | None] = {}
        self._sorted: dict[str, tuple[Mapping[str, Any], Mapping[str, Any]]] = {}
        self._until = 0.0
        self._cancelled = False
        self.notices: list[str] = []

    def run(self, screen: Output) -> int:
        """Do it all; the exit status."""
        from hostmanager.cli.progress_view import ProgressView  # noqa: PLC0415 - rich

        view = ProgressView(self, screen)
        again: list[AgentProgress] = []
        lost: list[AgentProgress] = []
        try:
            with view:
                try:
                    self.execute(view.refresh)
                except BaseException:  # before anything is printed: the terminal may be gone
                    lost = (
                        self._stopped_not_started()
                    )  # for somebody who does not wait for that either
                    again, lost = self._start_halfway()
                    raise
        except KeyboardInterrupt:
            view.interrupted(again, lost)
            return INTERRUPTED
        view.result()
        for host, text in self._not_kept.items():
            screen.warn(f"{host}: {text}")
        return self._code()

    def execute(self, refresh: Callable[[], None]) -> None:
        """Tell them, and watch them until all are there or the time is over.

        Args:
            refresh: Called whenever something may have become of one of them.
        """
        try:
            self._tell_first()
            refresh()
            self._follow(refresh)
        finally:
            if self._pulse is not None:
                self._pulse.stop()

    def cancel(self) -> None:
        """Do not wait any longer; what was to be started again is told so now."""
        self._cancelled = True
        self._until = 0.0

    # --- telling ----------------------------------------------------------------------------

    def _tell_first(self) -> None:
        """Tell all hosts the first stage, at the same time."""
        self._until = time.monotonic() + self._args.timeout
        if self._cancelled:  # before it began: somebody typed faster than this thread came to be
            self._until = 0.0
        # A manager that is to begin again has to end what it ends first: nobody waits for that.
        self._tell_later(
            [c for c in self.progress if c.step.row.host in self.plan.managers_to_start]
        )
        by_host = self._by_host(
            c for c in self.progress if c.step.row.host not in self.plan.managers_to_start
        )
        work = {host: self._telling(host, courses) for host, courses in by_host.items()}
        for host, answer in run_parallel(work, self._args.answer_time).items():
            self._take_answer(host, by_host[host], answer)

    def _telling(
        self, host: str, courses: Sequence[AgentProgress]
    ) -> Callable[[], OperationResult]:
        manager = self._managers[host]
        requests = [[course.step.row.instance_id, course.stage] for course in courses]
        limit = self._args.answer_time
        if courses[0].step.by_manager:  # then all of its host are
            ids = [instance_id for instance_id, _ in requests]
            return lambda: manager.run("restart", limit, instances=ids)
        if host in self.plan.managers_to_start:
            return lambda: self._start_manager(manager, requests)
        return lambda: manager.run("update", limit, requests=requests)

    def _tell_later(self, courses: Sequence[AgentProgress]) -> None:
        """Tell hosts the next stage, without waiting for them."""
        for host, group in self._by_host(courses).items():
            work = self._telling(host, group)
            threading.Thread(target=self._tell, args=(host, group, work), daemon=True).start()

    def _tell(
        self, host: str, courses: list[AgentProgress], work: Callable[[], OperationResult]
    ) -> None:
        try:
            self._outcomes.put((host, courses, work()))
        except ManagerError as error:
            self._outcomes.put((host, courses, error))
        except _TooLateError:
            log.debug("host %s: given up before its manager could be told", host)

    def _take_answer(
        self, host: str, courses: Iterable[AgentProgress], answer: OperationResult | ManagerError
    ) -> None:
        if isinstance(answer, ManagerError) and answer.kind is not FailureKind.REFUSED:
            self._silent.add(host)
        if isinstance(answer, OperationResult) and answer.data.get("not_kept"):
            self._not_kept[host] = str(answer.data["not_kept"])
        refusals = _refusals(answer)
        if isinstance(answer, OperationResult) and answer.data.get("router"):
            self.notices.append(
                f"{answer.data['router']} on {host} runs the router: it is restarted last; "
                "nobody answers until it is back."
            )
        for course in courses:
            why = refusals.get(course.step.row.instance_id, refusals.get(ALL))
            if why is not None:
                course.fail(why)
            else:
                course.requested(time.monotonic())

    def _start_manager(self, manager: ManagerClient, requests: list[list[str]]) -> OperationResult:
        """Begin the manager process again, with nothing up but what is asked for.

        One that was told to stop just now ends its agents first; until then, it cannot begin.
        If somebody else was faster to wake it, it is told as any other. Nothing is begun once
        this was given up: the one who gives up has the words for it, and knows why.
        """
        while True:
            status = manager.session().get("status")
            if time.monotonic() > self._until:
                raise _TooLateError
            if status == "running":
                return manager.run("update", self._args.answer_time, requests=requests)
            if status not in TRANSITIONAL:
                try:
                    manager.start("manager", requests=[["all", "down"], *requests])
                    return _begun(manager)
                except ManagerError:
                    if manager.session().get("status") not in (*TRANSITIONAL, "running"):
                        raise  # else somebody else was faster
            time.sleep(LOOK)

    # --- following --------------------------------------------------------------------------

    def _follow(self, refresh: Callable[[], None]) -> None:
        """Look at the agents until all are there, or the time is over."""
        if not any(self._is_awaited(course) for course in self.progress):
            return
        hosts = self._by_host(self.progress)
        asked = {host: man for host, man in self._managers.items() if host in hosts}
        self._pulse = SessionPoller(asked, INTERVAL, self._args.answer_time)
        while any(self._is_awaited(course) for course in self.progress):
            if time.monotonic() > self._until:
                self._give_up()
                break
            self._pulse.wait_for_update(LOOK)
            self._look(self._pulse)
            refresh()

    def _is_awaited(self, course: AgentProgress) -> bool:
        """Whether something of it is to be waited for: without waiting, only what comes first."""
        if not course.is_pending:
            return False
        last = course.stage == course.step.final and course.requested_at is not None
        return not (last and self._args.no_wait)

    def _look(self, pulse: SessionPoller) -> None:
        while not self._outcomes.empty():
            self._take_answer(*self._outcomes.get())
        next_stage: list[AgentProgress] = []
        for host, courses in self._by_host(self.progress).items():
            open_ones = [course for course in courses if course.is_pending]
            if not open_ones:
                pulse.stop(host)
            answer = pulse.answer(host)
            if answer is not None and answer is self._looked.get(host):
                continue  # nothing new: with many hosts, each answer would mean a look at all
            self._looked[host] = answer
            told = [course for course in open_ones if course.requested_at is not None]
            next_stage += [course for course in told if self._see(pulse, host, course)]
        self._tell_later(next_stage)

    def _see(self, pulse: SessionPoller, host: str, course: AgentProgress) -> bool:
        """Look at one agent; tells whether it is to be told the next stage."""
        assert course.requested_at is not None
        answer = pulse.answer(host, course.requested_at)
        if isinstance(answer, ManagerError):
            course.step.why = str(answer)
            self._silent.add(host)
            return False
        if answer is None or answer.get("status") != "running":
            return False
        self._silent.discard(host)
        child = self._children(host, answer).get(course.step.row.instance_id)
        if not course.observe(child, time.monotonic(), time.time()):
            return False
        if course.stage == course.step.final:
            course.succeed()
            return False
        course.stage, course.requested_at = course.step.final, None
        return True

    def _children(self, host: str, answer: Mapping[str, Any]) -> Mapping[str, Any]:
        """What an answer says of each agent: sorted out once for each answer, not each agent."""
        before = self._sorted.get(host)
        if before is not None and before[0] is answer:
            return before[1]
        states = (answer.get("data") or {}).get("child_states", [])
        children = {child["instance_id"]: child for child in states}
        self._sorted[host] = answer, children
        return children

    def _give_up(self) -> None:
        """The time is over. What was to be started again is told so: it is when it has ended."""
        late = [course for course in self.progress if course.is_pending]
        again, lost = self._start_halfway()
        for course in late:
            answer = self._looked.get(course.step.row.host)
            if course.requested_at is None and isinstance(answer, ManagerError):
                course.step.why = str(answer)
                self._silent.add(course.step.row.host)
            then = " It is started when it has ended." if course in again else ""
            then = " It was NOT told up again." if course in lost else then
            if course.restarting and course.requested_at is not None:
                then = " Its manager completes the restart; if it dies, the next one does."
            why = course.step.why or f"it is {course.step.state or course.step.row.state}"
            if self._cancelled and course.requested_at is None:  # nobody tells it any more
                course.fail(f"{why.rstrip('.')}; it may not have been told {course.stage}.")
            elif self._cancelled and course in lost:
                course.fail(f"{why.rstrip('.')}.{then}")
            elif self._cancelled:
                course.step.why = f"{why.rstrip('.')}.{then}"  # under way: nothing has failed
            else:
                course.fail(
                    f"not within {self._args.timeout:g} s: {end_sentence(why)}{then}", "timeout"
                )

    def _stopped_not_started(self) -> list[AgentProgress]:
        """Those that are being ended, and are to be started after that."""
        return [c for c in self.progress if c.is_pending and c.stage != c.step.final]

    def _start_halfway(self) -> tuple[list[AgentProgress], list[AgentProgress]]:
        """Whatever was only to be ended first is told up now; it is started when it has ended.

        Returns:
            Those that were told so, and those whose manager did not take it.
        """
        halfway = self._stopped_not_started()
        for course in halfway:
            course.stage = course.step.final
        by_host = self._by_host(halfway)
        work = {host: self._telling(host, courses) for host, courses in by_host.items()}
        answers = run_parallel(work, self._args.answer_time) if work else {}
        told = {host for host, a in answers.items() if not isinstance(a, ManagerError) and a.ok}
        again = [course for course in halfway if course.step.row.host in told]
        return again, [course for course in halfway if course not in again]

    # --- the rest ---------------------------------------------------------------------------

    @staticmethod
    def _by_host(courses: Iterable[AgentProgress]) -> dict[str, list[AgentProgress]]:
        found: dict[str, list[AgentProgress]] = {}
        for course in courses:
            found.setdefault(course.step.row.host, []).append(course)
        return found

    def _code(self) -> int:
        outcomes = {course.step.outcome for course in self.progress}
        if self._silent:
            return UNREACHABLE
        return FAILED if outcomes & {"failed", "timeout", "pending"} else OK


def _refusals(answer: OperationResult | ManagerError) -> Mapping[str, str]:
    """Why a manager does not do what it was told, by instance-id, or for `ALL`."""
    if isinstance(answer, ManagerError):
        return {ALL: str(answer)}
    if "restarting" in answer.data:  # of a restart, it says so of each
        return {**answer.data.get("left", {}), **answer.data.get("refused", {})}
    return {} if answer.ok else {ALL: answer.text}


def _begun(manager: ManagerClient) -> OperationResult:
    """Tell whether it goes on: what it cannot do, it says at once."""
    until = time.monotonic() + BEGIN_PATIENCE
    session: dict[str, Any] = {}
    while time.monotonic() < until and session.get("status") != "running":
        session = manager.session()
        if session.get("status") == "done":
            texts = [str(text) for _, text in session.get("messages") or []]
            return OperationResult(
                bool(session.get("success")), texts[-1] if texts else "it ended at once"
            )
        time.sleep(LOOK)
    return OperationResult(True, "begun")
