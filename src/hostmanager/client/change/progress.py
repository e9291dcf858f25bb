"""Judging how far an agent has come on its way to where it was told to be. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hostmanager.client.change.plan import STABLE_AFTER, AgentChange
from hostmanager.client.status.model import next_attempt

MAX_CRASHES = 2
"""Unexpected ends after which an agent is said not to stay up."""

PATIENCE = 4.0

LAST_LINES = 5

OUTPUT_WAIT = 1.0
"""Seconds that the last lines of one that does not stay up may take to be read."""


@dataclass(slots=True)
class AgentProgress:
    """One agent on its way.

    Attributes:
        step: What is to become of it.
        stage: What it was told last: ``down`` or ``up``.
        requested_at: When (monotonic clock); None: not yet.
        deaths: Times of its unexpected ends since it was told.
        patience: Seconds after which another target than ours means that somebody else said
            so. Until then it is an old one: of a manager that begins again, or of one that
            takes a second to do as it is told, as the HostManager of OCS does.
        up_since: Since when it was seen up without a break (monotonic clock).
        restarting: Whether its manager has yet to replace the run that it is to restart.
    """

    step: AgentChange
    stage: str
    requested_at: float | None = None
    deaths: set[float] = field(default_factory=set)
    up_since: float | None = None
    patience: float = PATIENCE
    restarting: bool = False
    _last_crash: float | None = None
    _given_up: float | None = None
    _reason: str = ""  # why it was not up when it was not: one that is up again says nothing

    @classmethod
    def of(cls, step: AgentChange) -> "AgentProgress":
        """Begin with the first stage of a step."""
        stage = "down" if step.stop_first else step.final
        return cls(step, stage, restarting=step.by_manager, _last_crash=_death(step.row.child))

    @property
    def is_pending(self) -> bool:
        """Whether it is still to be waited for."""
        return self.step.outcome in ("pending", "told")

    def fail(self, why: str, outcome: str = "failed") -> None:
        """It does not get there."""
        self.step.outcome = outcome
        self.step.why = why

    def succeed(self) -> None:
        """It is where it was to be."""
        self.step.outcome = "reached"
        self.step.why = ""
        self.step.last_lines = []

    def requested(self, now: float) -> None:
        """Its manager has taken the latest stage."""
        self.requested_at = now
        self.step.outcome = "told"
        self.up_since = None

    def observe(self, child: Mapping[str, Any] | None, now: float, wall: float) -> bool:
        """Look at it; tells whether the stage is reached.

        Args:
            child: What its manager says of it, asked after it was told; None: it is
                not tracked any more.
            now: Monotonic clock.
            wall: Unix time.
        """
        step = self.step
        if child is None:
            step.state = "gone"
            if self.stage == "up":
                self.fail("its manager does not know it any more")
            return self.stage == "down"
        step.state = str(child["next_action"])
        step.why = _why(child, wall)
        ended = child.get("last_exit") or {}
        if step.state != "up" and child.get("message"):
            self._reason = str(child["message"]).rstrip(".")
        if not ended.get("expected", True):
            step.last_lines = list(ended.get("output") or [])[-LAST_LINES:]
        target = child["target_state"]
        if target in ("up", "down") and target != self.stage:
            if self.requested_at is None or now - self.requested_at < self.patience:
                return False
            self.fail(f"somebody else has told it {target} meanwhile")
            return False
        if step.state == "?":
            self.fail(step.why or "its manager cannot operate it")
            return False
        if self.restarting and not self._is_replaced(child):
            return False
        return step.state == "down" if self.stage == "down" else self._stays_up(child, now)

    def _is_replaced(self, child: Mapping[str, Any]) -> bool:
        """Whether there is another run than the one that is to be restarted."""
        if child.get("restarting"):
            return False
        self.restarting = False
        if self.step.state == "up" and _run(child) == _run(self.step.row.child or {}):
            self.fail(self.step.why or "its manager has not restarted it")
            return False
        return True

    def _stays_up(self, child: Mapping[str, Any], now: float) -> bool:
        death = _death(child)
        if death is not None and death != self._last_crash:
            self.deaths.add(death)
            self._last_crash = death
            self.up_since = None
        if len(self.deaths) >= MAX_CRASHES:
            self._given_up = now if self._given_up is None else self._given_up
            if not self.step.last_lines and now - self._given_up < OUTPUT_WAIT:
                return False
            why = self.step.why or self._reason or "it dies again and again"
            self.fail(f"it does not stay up: {why}")
        if self.step.state != "up":
            self.up_since = None
            return False
        self.up_since = now if self.up_since is None else self.up_since
        return (child.get("uptime") or now - self.up_since) >= STABLE_AFTER


def _run(child: Mapping[str, Any]) -> tuple[Any, Any]:
    return child.get("pid"), (child.get("container") or {}).get("id")


def _death(child: Mapping[str, Any] | None) -> float | None:
    """When it ended unexpectedly last."""
    ended = (child or {}).get("last_exit")
    return None if not ended or ended.get("expected") else ended.get("time")


def _why(child: Mapping[str, Any], wall: float) -> str:
    parts = [str(child.get("message") or ""), next_attempt(child, wall)]
    return "; ".join(part.rstrip(".") for part in parts if part)
