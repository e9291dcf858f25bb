"""Carries out a plan: sends the requests to the managers, watches the agents, notes outcomes.

Knows no face: `execute` calls back whenever something may have changed, and what came of it
stands in `progress`, `notices` and `warnings`.
"""

import argparse
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from hostmanager.client.change.plan import Plan
from hostmanager.client.change.progress import AgentProgress
from hostmanager.client.change.request_result import (
    ChangeResult,
    refusals_by_id,
    wait_started,
)
from hostmanager.client.errors import ManagerError
from hostmanager.client.managers.credentials import make_clients
from hostmanager.client.managers.manager_client import ManagerClient, OperationResult
from hostmanager.client.managers.parallel import run_parallel
from hostmanager.client.site_model import Site
from hostmanager.client.status.model import HostStatus
from hostmanager.client.watch.poller import SessionOrError, SessionPoller
from hostmanager.core.requests import ALL
from hostmanager.util.grouping import group_pairs
from hostmanager.util.text import end_sentence

AGENT_POLL_INTERVAL = 0.4
"""Seconds between two requests for the status of a host."""

RESULT_INTERVAL = 0.1
"""Seconds between two checks for results."""

MANAGER_START_TIMEOUT = 10.0
"""Seconds that a `manager` process may take to start: it reads the site config then."""

STILL_STOPPING = "its manager is still stopping its agents"

NOT_STARTED = "its manager has not started again yet"

TRANSITIONAL = ("starting", "stopping")
"""States of a `manager` process in which it can neither be started nor take requests."""

log = logging.getLogger(__name__)


class _ExpiredError(Exception):
    """The time was over, or the change was cancelled, before a request could be sent."""


class PlanExecutor:
    """One run of `up`, `down` or `restart`.

    Attributes:
        plan: What it carries out.
        progress: Of each agent.
        notices: What the user should know meanwhile.
        warnings: What managers warned of, by host.
        unreachable: Hosts whose manager does not answer.
        needs_password: The refusal of a manager that another password would allow; empty: none.
        interrupted: Once `execute` was interrupted: what was only stopped so far, and is requested
            to start; and that of which the request did not come through.
    """

    def __init__(
        self, site: Site, plan: Plan, hosts: Sequence[HostStatus], args: argparse.Namespace
    ) -> None:
        self.plan = plan
        self.progress = [AgentProgress.of(step) for step in plan.steps]
        self.notices: list[str] = []
        self.warnings: dict[str, str] = {}
        self.unreachable: set[str] = set()
        self.needs_password = ""
        self.interrupted: tuple[Sequence[AgentProgress], Sequence[AgentProgress]] = ((), ())
        stopping = {host.host.name for host in hosts if host.process == "stopping"}
        for agent in self.progress:
            agent.wait_ready = not getattr(args, "no_wait_ready", False)
            if agent.host in plan.managers_to_start:
                agent.other_target_grace = MANAGER_START_TIMEOUT
                agent.step.reason = STILL_STOPPING if agent.host in stopping else NOT_STARTED
        self._args = args
        self._managers = make_clients(site, args, dict.fromkeys(a.host for a in self.progress))
        self._results: queue.SimpleQueue[tuple[str, list[AgentProgress], ChangeResult]] = (
            queue.SimpleQueue()
        )
        self._observed: dict[str, SessionOrError | None] = {}
        self._child_cache: dict[str, tuple[Mapping[str, Any], Mapping[str, Any]]] = {}
        self._deadline = 0.0
        self._cancelled = False

    @property
    def has_failed(self) -> bool:
        """Whether at least one agent has not reached its target."""
        return any(a.step.has_failed or a.step.outcome == "pending" for a in self.progress)

    @property
    def hosts_without_reason(self) -> list[str]:
        """Hosts whose manager did what was requested, but does not keep the reason for it."""
        return [host for host, manager in self._managers.items() if manager.loses_reason]

    def execute(self, refresh: Callable[[], None]) -> None:
        """Send the requests, and watch the agents until all are there or the time is over.

        Args:
            refresh: Called whenever something may have become of one of them.
        """
        self._deadline = time.monotonic() + self._args.timeout
        if self._cancelled:  # before this thread had started
            self._deadline = 0.0
        try:
            self._send_first_stage()
            refresh()
            if any(self._is_awaited(agent) for agent in self.progress):
                self._watch(refresh)
        except BaseException:
            # A second interruption must find out what was not started.
            self.interrupted = (), self.stopped_not_started()
            self.interrupted = self.start_stopped()
            raise

    def cancel(self) -> None:
        """Stop waiting; `up` is requested now for what was stopped in order to be restarted."""
        self._cancelled = True
        self._deadline = 0.0

    def stopped_not_started(self) -> list[AgentProgress]:
        """The agents that were stopped by this client in order to be started afterwards."""
        return [agent for agent in self.progress if agent.is_pending and not agent.is_last_stage]

    def start_stopped(self) -> tuple[list[AgentProgress], list[AgentProgress]]:
        """Request `up` now for all that was only stopped so far; they start once they have ended.

        Returns:
            Those whose manager accepted that, and those whose manager did not.
        """
        stopped = self.stopped_not_started()
        for agent in stopped:
            agent.stage = agent.step.final
        jobs = {host: self._request(host, agents) for host, agents in _by_host(stopped).items()}
        results = run_parallel(jobs, self._args.answer_time) if jobs else {}
        accepted = {h for h, r in results.items() if isinstance(r, OperationResult) and r.ok}
        started = [agent for agent in stopped if agent.host in accepted]
        return started, [agent for agent in stopped if agent not in started]

    # --- requests ---------------------------------------------------------------------------

    def _send_first_stage(self) -> None:
        to_start = self.plan.managers_to_start
        # A manager that is to start again may have to stop agents first: nobody waits for that.
        self._send_in_background([a for a in self.progress if a.host in to_start])
        by_host = _by_host(a for a in self.progress if a.host not in to_start)
        jobs = {host: self._request(host, agents) for host, agents in by_host.items()}
        for host, result in run_parallel(jobs, self._args.answer_time).items():
            self._take_result(host, by_host[host], result)

    def _request(self, host: str, agents: Sequence[AgentProgress]) -> Callable[[], OperationResult]:
        """Make the request for the present stage of some agents of a host."""
        manager = self._managers[host]
        requests = [[agent.instance_id, agent.stage] for agent in agents]
        limit = self._args.answer_time
        if agents[0].step.by_manager:  # then all of its host are
            ids = [instance_id for instance_id, _ in requests]
            return lambda: manager.run("restart", limit, instances=ids)
        if host in self.plan.managers_to_start:
            return lambda: self._start_manager(manager, requests)
        return lambda: manager.run("update", limit, requests=requests)

    def _send_in_background(self, agents: Sequence[AgentProgress]) -> None:
        for host, group in _by_host(agents).items():
            job = self._request(host, group)
            threading.Thread(target=self._send, args=(host, group, job), daemon=True).start()

    def _send(
        self, host: str, agents: list[AgentProgress], job: Callable[[], OperationResult]
    ) -> None:
        try:
            self._results.put((host, agents, job()))
        except ManagerError as error:
            self._results.put((host, agents, error))
        except _ExpiredError:
            log.debug("host %s: cancelled before its manager got the request", host)

    def _take_result(
        self, host: str, agents: Iterable[AgentProgress], result: ChangeResult
    ) -> None:
        if isinstance(result, ManagerError) and result.unreachable:
            self.unreachable.add(host)
        if isinstance(result, ManagerError) and result.needs_password:
            self.needs_password = str(result)
        if isinstance(result, OperationResult) and result.data.get("not_kept"):
            self.warnings[host] = str(result.data["not_kept"])
        if isinstance(result, OperationResult) and result.data.get("router"):
            self.notices.append(
                f"{result.data['router']} on {host} runs the router: it is restarted last; "
                "nobody answers until it is back."
            )
        refusals = refusals_by_id(result)
        for agent in agents:
            reason = refusals.get(agent.instance_id, refusals.get(ALL))
            if reason is not None:
                agent.fail(reason)
            else:
                agent.requested(time.monotonic())

    def _start_manager(self, manager: ManagerClient, requests: list[list[str]]) -> OperationResult:
        """Start a `manager` process, with nothing up but what is requested.

        One that was stopped just now ends its agents first; until then, it cannot start. If
        another client is faster, it gets the requests as any other manager. Nothing is started
        once the change was given up: whoever gave it up has reported it.
        """
        while True:
            status = manager.session().get("status")
            if time.monotonic() > self._deadline:
                raise _ExpiredError
            if status == "running":
                return manager.run("update", self._args.answer_time, requests=requests)
            if status not in TRANSITIONAL:
                try:
                    manager.start("manager", requests=[["all", "down"], *requests])
                    return wait_started(manager)
                except ManagerError:
                    if manager.session().get("status") not in (*TRANSITIONAL, "running"):
                        raise  # else another client was faster
            time.sleep(RESULT_INTERVAL)

    # --- watching ---------------------------------------------------------------------------

    def _watch(self, refresh: Callable[[], None]) -> None:
        """Watch the agents until all are there, or the time is over."""
        poller = SessionPoller(self._managers, AGENT_POLL_INTERVAL, self._args.answer_time)
        try:
            while any(self._is_awaited(agent) for agent in self.progress):
                if time.monotonic() > self._deadline:
                    self._expire()
                    break
                poller.wait_for_update(RESULT_INTERVAL)
                self._observe_hosts(poller)
                refresh()
        finally:
            poller.stop()

    def _is_awaited(self, agent: AgentProgress) -> bool:
        """Whether an agent is waited for; with --no-wait, only until its last stage is requested."""
        is_requested = agent.is_last_stage and agent.requested_at is not None
        return agent.is_pending and not (is_requested and self._args.no_wait)

    def _observe_hosts(self, poller: SessionPoller) -> None:
        while not self._results.empty():
            self._take_result(*self._results.get())
        next_stage: list[AgentProgress] = []
        for host, agents in _by_host(self.progress).items():
            pending = [agent for agent in agents if agent.is_pending]
            came_up = [agent for agent in agents if agent.may_still_die]
            if not pending and not came_up:
                poller.stop(host)
            session = poller.latest(host)
            if session is not None and session is self._observed.get(host):
                continue  # nothing new: of many hosts, one answers at a time
            self._observed[host] = session
            self._observe_later(host, session, came_up)
            requested = [agent for agent in pending if agent.requested_at is not None]
            next_stage += [agent for agent in requested if self._observe(poller, agent)]
        self._send_in_background(next_stage)

    def _observe(self, poller: SessionPoller, agent: AgentProgress) -> bool:
        """Observe one agent; returns whether its next stage is to be requested."""
        assert agent.requested_at is not None
        session = poller.latest(agent.host, agent.requested_at)
        if isinstance(session, ManagerError):
            agent.step.reason = str(session)
            self.unreachable.add(agent.host)
            return False
        if session is None or session.get("status") != "running":
            return False
        self.unreachable.discard(agent.host)
        child = self._children(agent.host, session).get(agent.instance_id)
        if not agent.observe(child, time.monotonic(), time.time()):
            return False
        if agent.is_last_stage:
            agent.succeed()
            return False
        agent.stage, agent.requested_at = agent.step.final, None
        return True

    def _observe_later(
        self, host: str, session: SessionOrError | None, came_up: Iterable[AgentProgress]
    ) -> None:
        """See whether those that came up have died since: others are waited for anyway."""
        if session is None or isinstance(session, ManagerError):
            return
        if session.get("status") == "running":
            children = self._children(host, session)
            for agent in came_up:
                agent.observe_later(children.get(agent.instance_id), time.time())

    def _children(self, host: str, session: Mapping[str, Any]) -> Mapping[str, Any]:
        """The child state of each agent, by instance-id: made once for each session."""
        cached = self._child_cache.get(host)
        if cached is None or cached[0] is not session:
            states = (session.get("data") or {}).get("child_states", [])
            cached = session, {child["instance_id"]: child for child in states}
            self._child_cache[host] = cached
        return cached[1]

    def _expire(self) -> None:
        """The time is over: request `up` for what was only stopped, and say what is not there."""
        late = [agent for agent in self.progress if agent.is_pending]
        started, not_started = self.start_stopped()
        for agent in late:
            session = self._observed.get(agent.host)
            if agent.requested_at is None and isinstance(session, ManagerError):
                agent.step.reason = str(session)
                self.unreachable.add(agent.host)
            outlook = ""
            if agent.restarting and agent.requested_at is not None:
                outlook = " Its manager completes the restart; if it dies, the next one does."
            elif agent in started:
                outlook = " It will be started when it has ended."
            elif agent in not_started:
                outlook = " Its manager did NOT get the request to start it again."
            self._fail_late(agent, outlook, is_lost=agent in not_started)

    def _fail_late(self, agent: AgentProgress, outlook: str, *, is_lost: bool) -> None:
        reason = agent.step.reason or f"it is {agent.step.current_state}"
        if not self._cancelled:
            limit = f"{self._args.timeout:g} s"
            agent.fail(
                f"not {agent.step.final} within {limit}: {end_sentence(reason)}{outlook}", "timeout"
            )
        elif agent.requested_at is None:  # and nobody requests it any more
            agent.fail(f"{reason.rstrip('.')}; its manager may not have got the request.")
        elif is_lost:
            agent.fail(f"{reason.rstrip('.')}.{outlook}")
        else:  # under way: nothing has failed
            agent.step.reason = f"{reason.rstrip('.')}.{outlook}"


def _by_host(agents: Iterable[AgentProgress]) -> dict[str, list[AgentProgress]]:
    return group_pairs((agent.host, agent) for agent in agents)
