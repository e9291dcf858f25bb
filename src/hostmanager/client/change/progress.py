"""Judges how far an agent has come on its way to its target. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hostmanager.client.change.plan import STABLE_AFTER, AgentChange
from hostmanager.client.status.model import MAX_LAST_LINES, last_exit_text, next_attempt
from hostmanager.util.text import format_duration

MAX_CRASHES = 2
"""Unexpected exits after which an agent is reported as not staying up."""

OTHER_TARGET_GRACE = 4.0
"""Seconds; see `AgentProgress.other_target_grace`."""

OUTPUT_WAIT = 1.0
"""Seconds to wait for the last output of an agent that does not stay up."""


@dataclass(slots=True)
class AgentProgress:
    """The progress of one agent.

    Attributes:
        step: Its change.
        stage: The target that was requested last: ``down`` or ``up``.
        requested_at: When its manager accepted that (monotonic clock); None: not yet.
        crashes: Times of its unexpected exits since then.
        other_target_grace: Seconds after which another target than ours means that another client
            requested it. Until then it is an old one: of a manager that is starting, or of one
            that takes a second to act, as the HostManager of OCS does.
        up_since: Since when it has been up without a break (monotonic clock).
        uptime: Seconds that it has been up; None: it is not.
        restarting: Whether its manager has yet to replace the run that it restarts.
        wait_ready: Whether it counts as up only once it has registered with the router; else as
            soon as it has stayed up for a moment.
        note: What is wrong with one that is up; empty: nothing.
    """

    step: AgentChange
    stage: str
    requested_at: float | None = None
    crashes: set[float] = field(default_factory=set)
    other_target_grace: float = OTHER_TARGET_GRACE
    up_since: float | None = None
    uptime: float | None = None
    restarting: bool = False
    wait_ready: bool = True
    note: str = ""
    _last_crash: float | None = None
    _crash_limit_at: float | None = None
    _reason: str = ""  # why it was last not up: once it is up again, there is no message

    @classmethod
    def of(cls, step: AgentChange) -> "AgentProgress":
        """Begin with the first stage of a step."""
        stage = "down" if step.stop_first else step.final
        crash = _crash_time(step.agent.child)
        return cls(step, stage, restarting=step.by_manager, _last_crash=crash)

    @property
    def host(self) -> str:
        """Its host."""
        return self.step.agent.host

    @property
    def instance_id(self) -> str:
        """Its instance-id."""
        return self.step.agent.instance_id

    @property
    def is_pending(self) -> bool:
        """Whether the agent is still waited for."""
        return self.step.outcome in ("pending", "told")

    @property
    def is_last_stage(self) -> bool:
        """Whether the present stage is the final target."""
        return self.stage == self.step.final

    @property
    def may_still_die(self) -> bool:
        """Whether the agent came up: it is followed until the command ends."""
        return self.step.outcome == "reached" and self.step.final == "up"

    def fail(self, reason: str, outcome: str = "failed") -> None:
        """Record that it does not reach its target."""
        self.step.outcome = outcome
        self.step.reason = reason

    def succeed(self) -> None:
        """Record that it has reached its target."""
        self.step.outcome = "reached"
        self.step.reason = ""
        self.step.last_lines = []

    def requested(self, now: float) -> None:
        """Record that its manager has accepted the present stage."""
        self.requested_at = now
        self.step.outcome = "told"
        self.up_since = None

    def observe(self, child: Mapping[str, Any] | None, now: float, wall: float) -> bool:
        """Take in a status; returns whether the stage is reached.

        Args:
            child: The status that its manager gave after the request; None: it is not tracked
                any more.
            now: Monotonic clock.
            wall: Unix time.
        """
        step = self.step
        if child is None:
            step.state = "gone"
            if self.stage == "up":
                self.fail("its manager does not know it any more")
            return self.stage == "down"
        self._record(child, wall)
        if self._is_done(child):
            step.state = "done"
            return True
        return self._has_reached_stage(child, now)

    def _record(self, child: Mapping[str, Any], wall: float) -> None:
        """Take over what its manager reports of it."""
        step = self.step
        step.state = str(child["next_action"])
        step.reason = _reason_text(child, wall)
        if step.state != "up" and child.get("message"):
            self._reason = str(child["message"]).rstrip(".")
        last_exit = child.get("last_exit") or {}
        if not last_exit.get("expected", True):
            step.last_lines = list(last_exit.get("output") or [])[-MAX_LAST_LINES:]

    def _has_reached_stage(self, child: Mapping[str, Any], now: float) -> bool:
        step, target = self.step, child["target_state"]
        if target in ("up", "down") and target != self.stage:
            requested_at = self.requested_at
            if requested_at is not None and now - requested_at >= self.other_target_grace:
                self.fail(f"another client has set its target to {target} meanwhile")
            return False
        if step.state == "?" or (child.get("given_up") and self.stage == "up"):
            self.fail(step.reason or "its manager cannot operate it")
            return False
        if self.restarting and not self._is_replaced(child):
            return False
        return step.state == "down" if self.stage == "down" else self._stays_up(child, now)

    def observe_later(self, child: Mapping[str, Any] | None, wall: float) -> None:
        """Take in a status of one that came up: it fails if it has died since."""
        crash = _crash_time(child)
        if child is None or crash is None or crash == self._last_crash:
            return
        last_exit = child["last_exit"]
        self.step.state = str(child["next_action"])
        self.step.last_lines = list(last_exit.get("output") or [])[-MAX_LAST_LINES:]
        ran_for = last_exit.get("ran_for")
        when = f" after {format_duration(ran_for)}" if ran_for else ""
        cause = last_exit_text(child)
        attempt = next_attempt(child, wall)
        self.fail(
            f"it came up, and exited with {cause}{when}" + (f"; {attempt}" if attempt else "")
        )

    def _is_done(self, child: Mapping[str, Any]) -> bool:
        """Whether it is a one-shot that has run since it was requested up."""
        done, before = child.get("done"), self.step.agent.get("done")
        if not done or self.stage != "up":
            return False
        return not before or bool(done["time"] != before["time"])

    def _is_replaced(self, child: Mapping[str, Any]) -> bool:
        """Whether there is another run than the one that is to be restarted."""
        if child.get("restarting"):
            return False
        self.restarting = False
        if self.step.state == "up" and _run_id(child) == _run_id(self.step.agent.child or {}):
            self.fail(self.step.reason or "its manager has not restarted it")
            return False
        return True

    def _stays_up(self, child: Mapping[str, Any], now: float) -> bool:
        crash = _crash_time(child)
        if crash is not None and crash != self._last_crash:
            self.crashes.add(crash)
            self._last_crash = crash
            self.up_since = None
        if len(self.crashes) >= MAX_CRASHES:
            self._crash_limit_at = now if self._crash_limit_at is None else self._crash_limit_at
            if not self.step.last_lines and now - self._crash_limit_at < OUTPUT_WAIT:
                return False
            reason = self.step.reason or self._reason or "it dies again and again"
            self.fail(f"it does not stay up: {reason}")
        if self.step.state != "up":
            self.up_since = self.uptime = None
            return False
        self.up_since = now if self.up_since is None else self.up_since
        self.uptime = child.get("uptime") or now - self.up_since
        health = child.get("health") if self.wait_ready else None
        return self._is_ready(str(health)) if health else self.uptime >= STABLE_AFTER

    def _is_ready(self, health: str) -> bool:
        """Whether an agent whose process runs works; one whose health cannot be known is not awaited."""
        if health in ("no_heartbeat", "unregistered"):
            self.fail(self.step.reason or f"its health is {health}")
        if health == "starting":
            self.step.reason = self.step.reason or "it has not registered with the router yet"
        self.note = self.step.reason if health in ("degraded", "failed") else ""
        settled = health == "unknown" and (self.uptime or 0.0) >= STABLE_AFTER
        return settled or health in ("ok", "degraded", "failed")


def _run_id(child: Mapping[str, Any]) -> tuple[Any, Any]:
    return child.get("pid"), (child.get("container") or {}).get("id")


def _crash_time(child: Mapping[str, Any] | None) -> float | None:
    """The time of its latest unexpected exit."""
    last_exit = (child or {}).get("last_exit")
    return None if not last_exit or last_exit.get("expected") else last_exit.get("time")


def _reason_text(child: Mapping[str, Any], wall: float) -> str:
    parts = [str(child.get("message") or ""), next_attempt(child, wall)]
    return "; ".join(part.rstrip(".") for part in parts if part)
