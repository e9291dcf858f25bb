"""The status of hosts and agents. Plain data.

Each status has a severity and the reasons for it, in sentences, so that every view can put first
what is wrong. `findings` makes them.
"""

import re
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from hostmanager.client.errors import ManagerError, router_error
from hostmanager.client.site_model import SiteEntry, SiteHost
from hostmanager.client.text import ago, format_time
from hostmanager.util.text import format_duration, pluralize

MAX_LAST_LINES = 5
"""Lines of output that views show of an agent that died."""

SUFFIX = re.compile(r"\[(d|d\?|docker)\]$")
_STATE_TEXTS = {
    "start": "starting",
    "wait_start": "starting",
    "wait_dead": "stopping",
    "start_at": "restarting",
}


class StatusSeverity(IntEnum):
    """How bad a status is."""

    OK = 0
    INFO = 1  # worth a note, nothing is wrong
    WARNING = 2  # at its target, but something is not as it should be
    UNKNOWN = 3  # its manager does not answer
    ERROR = 4  # not at its target

    @property
    def word(self) -> str:
        """As programs get it."""
        return {"INFO": "note", "ERROR": "wrong"}.get(self.name, self.name.lower())


@dataclass(frozen=True, slots=True)
class AgentStatus:
    """The status of one agent.

    Attributes:
        host: Its host.
        instance_id: Its id.
        child: Its child state, as its manager reports it (contract, section 5); None if there is
            none.
        entry: Its entry in the site config; None if there is none.
        state: As clients get it; ``-`` if no manager controls it, ``?`` if it is unknown.
        severity: How bad that is.
        reasons: What is wrong or worth knowing, the worst first.
        now: Unix time by its manager's clock, when it answered; None: it did not.
        severity_before_silence: How bad it would be if it were not silenced; None: it is not.
    """

    host: str
    instance_id: str
    child: Mapping[str, Any] | None = None
    entry: SiteEntry | None = None
    state: str = "?"
    severity: StatusSeverity = StatusSeverity.OK
    reasons: tuple[str, ...] = ()
    now: float | None = None
    severity_before_silence: StatusSeverity | None = None

    @property
    def state_text(self) -> str:
        """The state in plain words."""
        return "done" if self.is_done else state_text(self.state)

    @property
    def is_done(self) -> bool:
        """Whether it is a one-shot that has ended well."""
        return is_done(self.child)

    @property
    def is_manual(self) -> bool:
        """Whether its manager starts and stops it only when somebody asks for it."""
        return bool((self.get("settings") or {}).get("manual"))

    @property
    def target_text(self) -> str:
        """Its target in plain words; empty if unknown."""
        return "manual" if self.is_manual and self.target == "passive" else self.target

    @property
    def agent_class(self) -> str:
        """Its class by its manager, else by the site config."""
        if self.child is not None:
            return str(self.child["agent_class"])
        return self.entry.agent_class if self.entry else ""

    @property
    def short_class(self) -> str:
        """Its class without the suffix for docker."""
        return SUFFIX.sub("", self.agent_class)

    @property
    def target(self) -> str:
        """Its target; empty if unknown."""
        return str(self.child["target_state"]) if self.child else ""

    @property
    def is_managed(self) -> bool:
        """Whether a manager controls it, or is to."""
        return self.child is not None or (
            self.entry is not None and (self.entry.spec is not None or self.entry.broken)
        )

    @property
    def is_at_target(self) -> bool:
        """Whether its state is its target."""
        return self.child is not None and self.target in ("passive", self.state)

    @property
    def severity_unsilenced(self) -> StatusSeverity:
        """How bad it is, silenced or not."""
        silent = self.severity_before_silence
        return self.severity if silent is None else silent

    @property
    def is_silenced(self) -> bool:
        """Whether nobody wants to hear of it now."""
        return bool(self.get("silenced"))

    @property
    def is_silenced_problem(self) -> bool:
        """Whether something is wrong with it that nobody wants to hear of now."""
        return self.is_silenced and self.severity_unsilenced >= StatusSeverity.WARNING

    def get(self, name: str) -> Any:
        """A field of its child state; None if it is missing, as with other managers than ours."""
        return self.child.get(name) if self.child else None


@dataclass(frozen=True, slots=True)
class HostStatus:
    """The status of one host.

    Attributes:
        host: The host in the site config.
        error: Why its manager gave no answer; None if it answered.
        process: Status of the `manager` process, as `running`.
        data: The session's data; empty unless the process runs, or is stopping agents.
        agents: Its agents.
        severity: How bad the status of the host itself is, its agents aside.
        reasons: Why.
    """

    host: SiteHost
    error: ManagerError | None = None
    process: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)
    agents: tuple[AgentStatus, ...] = ()
    severity: StatusSeverity = StatusSeverity.OK
    reasons: tuple[str, ...] = ()

    @property
    def worst(self) -> StatusSeverity:
        """The worst of the host and its agents."""
        return max((self.severity, *(agent.severity for agent in self.agents)))


def state_text(state: str) -> str:
    """Say a state in plain words; `up`, `down` and ``?`` are as they are."""
    return _STATE_TEXTS.get(state, state)


def is_done(child: Mapping[str, Any] | None) -> bool:
    """Whether it is a one-shot that has ended well, and does not run again."""
    return bool(child and child.get("done")) and child["next_action"] == "down"  # type: ignore[index]


def is_running(child: Mapping[str, Any] | None) -> bool:
    """Whether an agent runs or is about to, so that a request could stop it.

    One that waits to be started again counts; one that its manager stops already does not.
    """
    if child is None:
        return False
    state = child["next_action"]
    if state == "wait_dead":
        return bool(child["target_state"] == "up" or child.get("restarting"))
    if state == "?":
        return bool(child.get("pid") or child.get("container"))
    return bool(state != "down")


def last_exit_text(child: Mapping[str, Any]) -> str:
    """How it exited last: ``code 3``, ``SIGKILL``; empty if it never did."""
    last_exit = child.get("last_exit")
    if not last_exit:
        return ""
    if last_exit.get("signal"):
        return str(last_exit["signal"])
    return "code unknown" if last_exit.get("code") is None else f"code {last_exit['code']}"


def last_exit_sentence(child: Mapping[str, Any] | None, now: float) -> str:
    """How it exited last, when, and after which time; empty if it never did."""
    last_exit: Mapping[str, Any] = (child or {}).get("last_exit") or {}
    parts = [last_exit_text(child or {})]
    if last_exit.get("time") is not None:
        parts.append(f"{format_time(last_exit['time'], now)} ({ago(last_exit['time'], now)})")
    if last_exit.get("ran_for") is not None:
        parts.append(f"after {format_duration(last_exit['ran_for'])}")
    if last_exit:
        parts.append("expected" if last_exit.get("expected") else "unexpected")
    return ", ".join(part for part in parts if part)


def next_attempt(child: Mapping[str, Any] | None, now: float) -> str:
    """When it is started again; empty if that is not planned."""
    at = child.get("next_attempt_at") if child else None
    return "" if at is None else f"next attempt in {format_duration(max(0.0, at - now))}"


def severity_counts(agents: Iterable[AgentStatus]) -> Iterator[tuple[StatusSeverity, str]]:
    """How many of the managed agents are not OK: ``2 wrong``, the worst first."""
    agents = [agent for agent in agents if agent.is_managed]
    severities = [agent.severity for agent in agents]
    if number := severities.count(StatusSeverity.ERROR):
        yield StatusSeverity.ERROR, f"{number} wrong"
    if number := severities.count(StatusSeverity.UNKNOWN):
        yield StatusSeverity.UNKNOWN, f"{number} unknown"
    if number := severities.count(StatusSeverity.WARNING):
        yield StatusSeverity.WARNING, pluralize(number, "warning")
    if number := sum(agent.is_silenced_problem for agent in agents):
        yield StatusSeverity.INFO, f"{number} silenced but not OK"


def are_ok(agents: Iterable[AgentStatus]) -> list[AgentStatus]:
    """The managed agents with which nothing is wrong, not even something that is silenced."""
    return [
        agent
        for agent in agents
        if agent.is_managed
        and agent.severity <= StatusSeverity.INFO
        and not agent.is_silenced_problem
    ]


def host_severity_counts(hosts: Iterable[HostStatus]) -> Iterator[tuple[StatusSeverity, str]]:
    """How many hosts are not OK themselves, their agents aside: ``1 wrong``, the worst first."""
    hosts = list(hosts)
    severities = [host.severity for host in hosts if host.error is None]
    if number := severities.count(StatusSeverity.ERROR):
        yield StatusSeverity.ERROR, f"{number} wrong"
    if number := len(unreachable(hosts)):
        yield StatusSeverity.ERROR, f"{number} silent"
    if number := severities.count(StatusSeverity.WARNING):
        yield StatusSeverity.WARNING, f"{number} with warnings"


def unreachable(hosts: Iterable[HostStatus]) -> list[HostStatus]:
    """The hosts whose manager did not answer."""
    return [host for host in hosts if host.error is not None]


def no_router(hosts: Iterable[HostStatus]) -> ManagerError | None:
    """The error of the router, if that alone is why no manager answered."""
    return router_error([host.error for host in hosts if host.host.manager is not None])


def silence_text(silence: Mapping[str, Any], now: float | None) -> str:
    """How long an agent is silenced still, by whom and why.

    Args:
        silence: As its manager reports it.
        now: Unix time by its manager's clock; None: by ours.
    """
    left = format_duration(max(0.0, silence["until"] - (time.time() if now is None else now)))
    author = f" by {silence['requested_by']}" if silence["requested_by"] else ""
    why = f": {silence['reason']}" if silence["reason"] else ""
    return f"silenced for another {left}{author}{why}"
