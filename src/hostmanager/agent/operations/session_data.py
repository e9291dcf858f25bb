"""The session data of the `manager` operation: a view of the snapshot (contract, section 5).

Computed when a client asks, never kept: `SessionData` is a dictionary that renders itself
whenever it is read.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hostmanager.agent.host import Host
from hostmanager.core.events import Timestamp
from hostmanager.core.messages import messages_for
from hostmanager.core.model import InstanceSpec, Kind, Target
from hostmanager.core.policy import stability
from hostmanager.core.record import STOPPING_STATES, InstanceRecord, State
from hostmanager.drivers.process import ProcessState
from hostmanager.logd import paths as names

NEXT_ACTION = {
    State.DOWN: "down",
    State.INOPERABLE: "?",
    State.BACKOFF: "start_at",
    State.STARTING: "wait_start",
    State.UP: "up",
    State.UNOBSERVED: "?",
    State.STOPPING: "wait_dead",
    State.TERMINATING: "wait_dead",
    State.KILLING: "wait_dead",
}

SHOWN_LINES = 5
"""Lines of output in a child state: a client gets all of them each second."""


def child_state(
    life: InstanceRecord, now: Timestamp, output: Path | None, condition: ProcessState | None = None
) -> dict[str, Any]:
    """Show one instance as clients know it, and what they may want to know beyond that.

    All times are Unix times or lengths in seconds.
    """
    alive = life.run.pid is not None
    return {
        "instance_id": life.spec.instance_id,
        "agent_class": agent_class(life.spec),
        "target_state": life.target.value,
        "next_action": next_action(life),
        "stability": stability(life.failures.exit_times, now.monotonic),
        "operable": life.spec.inoperable_reason is None and life.state is not State.UNOBSERVED,
        "restart_required": life.restart_required,
        "fingerprint": life.spec.fingerprint if life.spec.kind is Kind.HOST else None,
        "pid": life.run.pid or None,  # the engine has none for what it is about to start again
        "started_at": life.run.started_at.wall if alive and life.run.started_at else None,
        "uptime": now.monotonic - life.run.started_at.monotonic
        if alive and life.run.started_at
        else None,
        "restarts": life.failures.restarts,
        "restarting": life.request.restart_of is not None,
        "last_exit": last_exit(life),
        "next_attempt_at": next_attempt_at(life, now),
        "process_state": None if condition is None else condition.name,
        "message": _sentences(
            message(life, now), life.observation.notice or "", process_notice(life, condition)
        ),
        "output": None if output is None else str(output),
        # A pattern: to see which there are, a disk would have to answer.
        "output_rotated": None if output is None else f"{output}.[0-9]*",
        "container": None,
    }


def service_state(host: Host, life: InstanceRecord, now: Timestamp) -> dict[str, Any]:
    """Show an instance that is a compose service."""
    shown = child_state(life, now, None)
    shown["container"] = host.compose.container(life.spec)
    if life.spec.instance_id == host.restarts.waiting_router_id:
        shown["restarting"] = True
        shown["message"] = _sentences("It runs the router: it is restarted last.", shown["message"])
    return shown


def next_action(life: InstanceRecord) -> str:
    """What clients call its current state (contract, section 1)."""
    if life.spec.has_no_service:
        return "?"
    if life.state is State.UP and life.observation.engine_restarting:
        return "start_at"  # by the engine, not by us; it is waiting all the same
    return NEXT_ACTION[life.state]


def agent_class(spec: InstanceSpec) -> str:
    """The class with its suffix: ``[d]``, or ``[d?]`` while no compose file has its service."""
    if spec.kind is Kind.HOST or spec.is_unmanaged:
        return spec.agent_class
    return spec.agent_class + ("[d]" if spec.service is not None else "[d?]")


def last_exit(life: InstanceRecord) -> dict[str, Any] | None:
    """How the latest run ended."""
    if life.last_exit is None:
        return None
    status = life.last_exit.status
    return {
        "code": status.code,
        "signal": status.signal_name,
        "time": life.last_exit.at.wall,
        "expected": life.last_exit.expected,
        "ran_for": life.last_exit.ran_for,
        "output": list(life.last_output[-SHOWN_LINES:]),
    }


def next_attempt_at(life: InstanceRecord, now: Timestamp) -> float | None:
    """When a waiting instance is launched again."""
    if life.state is not State.BACKOFF or life.deadline is None:
        return None
    return now.wall + max(0.0, life.deadline - now.monotonic)


def message(life: InstanceRecord, now: Timestamp) -> str:
    """What a person should know about it now; empty when all is as it should be."""
    if life.state is State.STOPPING:
        return _stopping(life, now)
    if life.spec.inoperable_reason is not None:
        return life.spec.inoperable_reason
    if life.error is not None:
        return life.error
    if (
        life.state in (State.BACKOFF, State.STARTING)
        and life.failures.consecutive
        and life.last_exit
    ):
        count = (
            f", {life.failures.consecutive} failures in a row"
            if life.failures.consecutive > 1
            else ""
        )
        reason = life.failures.backoff.reason if life.state is State.BACKOFF else ""
        return _sentences(f"It {life.last_exit.status}{count}.", reason)
    return _restart(life) or (_outdated(life) if life.restart_required else "")


def _restart(life: InstanceRecord) -> str:
    """What is to be said of a restart that has not begun, or is not made."""
    if life.needs_preparation:
        return "It is restarted as soon as its image is here; it is being looked for, or pulled."
    if life.request.restart_denied is not None:
        return (
            f"It was not restarted: {life.request.restart_denied.rstrip('.')}. It goes on as it is."
        )
    return ""


def _outdated(life: InstanceRecord) -> str:
    if life.observation.image_outdated:
        return "There is another image of that name by now; restart it to use that."
    where = "compose file" if life.spec.kind is Kind.DOCKER else "site config"
    return f"Its entry in the {where} has changed since it was started; restart it."


def _stopping(life: InstanceRecord, now: Timestamp) -> str:
    left = max(0.0, (life.deadline or now.monotonic) - now.monotonic)
    then = "" if life.target is not Target.UP else " It is started again then."
    what = messages_for(life.spec)
    return f"{what.stop_requested}; {what.next_stage} in {left:.0f} s.{then}"


def process_notice(life: InstanceRecord, condition: ProcessState | None) -> str:
    """What a person should know of the process itself: that it cannot react, and why."""
    if condition is None or condition.signals_blocked_reason is None:
        return ""
    if condition.name == "zombie" and not condition.is_persistent:
        return ""  # its end is about to be told
    why = condition.signals_blocked_reason[0].upper() + condition.signals_blocked_reason[1:]
    if life.state in (State.STOPPING, State.TERMINATING):
        asked = "SIGINT" if life.state is State.STOPPING else "SIGTERM"
        return f"{why}, so it cannot react to {asked}."
    if life.state in STOPPING_STATES or not condition.is_persistent:
        return ""
    if condition.name == "stopped":
        return f"{why} and does nothing until it is continued: kill -CONT {life.run.pid}"
    return f"{why}."


def _sentences(*parts: str) -> str:
    return " ".join(part for part in parts if part)


class LiveSessionData(dict[str, Any]):
    """Session data that is always true: rendered anew by every read of the whole."""

    def __init__(self, render: Callable[[], dict[str, Any]]) -> None:
        super().__init__()
        self._render = render

    def items(self) -> Any:
        """Read all entries."""
        return self._render().items()

    def keys(self) -> Any:
        """Read the names of all entries."""
        return self._render().keys()

    def values(self) -> Any:
        """Read the values of all entries."""
        return self._render().values()

    def get(self, key: str, default: Any = None) -> Any:
        """Read one entry."""
        return self._render().get(key, default)

    def __getitem__(self, key: str) -> Any:
        return self._render()[key]

    def __contains__(self, key: object) -> bool:
        return key in self._render()

    def __iter__(self) -> Iterator[str]:
        return iter(self._render())

    def __len__(self) -> int:
        return len(self._render())

    def __bool__(self) -> bool:
        return True


def session_data(host: Host) -> dict[str, Any]:
    """Render the session data of the manager operation."""
    now = host.clock.now()
    folder = host.settings.output_dir

    def condition(life: InstanceRecord) -> ProcessState | None:
        if life.spec.kind is not Kind.HOST:
            return None
        return host.process_states.get(life.spec.instance_id, life.run.pid, now.monotonic)

    return {
        "child_states": [
            service_state(host, life, now)
            if life.spec.kind is Kind.DOCKER
            else child_state(
                life, now, Path(names.log_file(str(folder), instance_id)), condition(life)
            )
            for instance_id, life in host.snapshot.items()
        ],
        "config_parse_status": {
            name: list(how)
            for name, how in (*host.parse_status.items(), *host.compose.status().items())
        },
        "orphans": host.compose.orphans(),
        "new_tags": host.compose.new_tags(host.snapshot),
        "not_kept": host.target_store.not_kept,
    }
