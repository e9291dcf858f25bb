"""One instance as clients know it (contract, section 5): what its record says."""

from typing import Any

from hostmanager.core.events import Timestamp
from hostmanager.core.messages import messages_for
from hostmanager.core.model import InstanceSpec, Kind, Target
from hostmanager.core.policy import stability
from hostmanager.core.record import STOPPING_STATES, Completion, InstanceRecord, State
from hostmanager.drivers.process import ProcessState
from hostmanager.siteconfig.arguments import visible_arguments
from hostmanager.siteconfig.reported_settings import settings_data
from hostmanager.siteconfig.settings import changed_at_launch
from hostmanager.util.text import join_names

NEXT_ACTION = {
    State.DOWN: "down",
    State.INOPERABLE: "?",
    State.BACKOFF: "start_at",
    State.GIVEN_UP: "down",
    State.STARTING: "wait_start",
    State.UP: "up",
    State.UNOBSERVED: "?",
    State.STOPPING: "wait_dead",
    State.TERMINATING: "wait_dead",
    State.KILLING: "wait_dead",
}

MAX_OUTPUT_LINES = 5
"""Lines of output in a child state: a client gets all of them each second."""


def child_state(
    record: InstanceRecord,
    now: Timestamp,
    output: str | None,
    process_state: ProcessState | None = None,
) -> dict[str, Any]:
    """Show one instance as clients know it, and what they may want to know beyond that.

    All times are Unix times or lengths in seconds.
    """
    return lasting_state(record, output) | passing_state(record, now, process_state)


def lasting_state(record: InstanceRecord, output: str | None) -> dict[str, Any]:
    """What is shown of an instance until its record changes: all but `passing_state`."""
    run, spec = record.run, record.spec
    started_at = run.started_at if run.pid is not None else None
    return {
        "instance_id": spec.instance_id,
        "agent_class": agent_class(spec),
        "target_state": record.target.value,
        "next_action": next_action(record),
        "stability": 1.0,
        "operable": spec.inoperable_reason is None and record.state is not State.UNOBSERVED,
        "restart_required": record.restart_required,
        "fingerprint": spec.fingerprint if spec.kind is Kind.HOST else None,
        "manage": None if spec.is_unmanaged else f"{spec.kind}/{spec.initial_target}",
        "arguments": visible_arguments(spec.arguments),
        "pid": run.pid or None,  # the engine has none for what it is about to start again
        "started_at": started_at and started_at.wall,
        "uptime": None,
        "restarts": record.failures.restarts,
        "restarting": record.request.restart_of is not None,
        "given_up": record.state is State.GIVEN_UP,
        "last_exit": last_exit(record),
        "next_attempt_at": None,
        "process_state": None,
        "message": join(message(record), record.observation.notice or ""),
        "output": output,
        # A pattern: to list them, a disk would have to respond.
        "output_rotated": None if output is None else f"{output}.[0-9]*",
        "container": None,
        "built": False,
        "settings": settings_data(spec.settings),
        "done": None if record.completion is None else _completion(record, record.completion),
    }


def passing_state(
    record: InstanceRecord, now: Timestamp, process_state: ProcessState | None
) -> dict[str, Any]:
    """What is shown of an instance and changes with time."""
    run, passing = record.run, dict[str, Any]()
    if record.failures.exit_times:
        passing["stability"] = stability(record.failures.exit_times, now.monotonic)
    if run.pid is not None and run.started_at is not None:
        passing["uptime"] = now.monotonic - run.started_at.monotonic
    if record.state is State.BACKOFF and record.deadline is not None:
        passing["next_attempt_at"] = now.wall + max(0.0, record.deadline - now.monotonic)
    process_text = ""
    if process_state is not None:
        passing["process_state"] = process_state.name
        process_text = process_notice(record, process_state)
    if process_text or record.state is State.STOPPING:
        text = message(record, now)
        passing["message"] = join(text, record.observation.notice or "", process_text)
    return passing


def next_action(record: InstanceRecord) -> str:
    """What clients call its current state (contract, section 1)."""
    if record.spec.has_no_service:
        return "?"
    if record.state is State.UP and record.observation.engine_restarting:
        return "start_at"  # by the engine, not by the manager; it is waiting all the same
    return NEXT_ACTION[record.state]


def agent_class(spec: InstanceSpec) -> str:
    """The class with its suffix: ``[d]``, or ``[d?]`` while no compose file has its service."""
    if spec.kind is Kind.HOST or spec.is_unmanaged:
        return spec.agent_class
    return spec.agent_class + ("[d]" if spec.service is not None else "[d?]")


def last_exit(record: InstanceRecord) -> dict[str, Any] | None:
    """How the latest run ended."""
    if record.last_exit is None:
        return None
    status = record.last_exit.status
    return {
        "code": status.code,
        "signal": status.signal_name,
        "time": record.last_exit.at.wall,
        "expected": record.last_exit.expected,
        "ran_for": record.last_exit.ran_for,
        "output": list(record.last_output[-MAX_OUTPUT_LINES:]),
    }


def _completion(record: InstanceRecord, completion: Completion) -> dict[str, Any]:
    """That a one-shot is done: when, and whether its entry has changed since."""
    ran_with, current = completion.fingerprint, record.spec.fingerprint
    return {"time": completion.at, "changed_since": bool(ran_with) and ran_with != current}


def message(record: InstanceRecord, now: Timestamp | None = None) -> str:
    """What a person should know about it now; empty when all is as it should be.

    While it is being stopped that changes with time, and is empty without.
    """
    if record.state is State.STOPPING:
        return "" if now is None else _stopping_message(record, now)
    if record.spec.inoperable_reason is not None:
        return record.spec.inoperable_reason
    if record.error is not None:
        return record.error
    failures, is_waiting = record.failures, record.state is State.BACKOFF
    if (is_waiting or record.state is State.STARTING) and failures.consecutive and record.last_exit:
        count = f", {failures.consecutive} failures in a row" if failures.consecutive > 1 else ""
        reason = failures.backoff.reason if is_waiting else ""
        return join(f"It {record.last_exit.status}{count}.", reason)
    return _restart_message(record)


def _restart_message(record: InstanceRecord) -> str:
    denied = record.request.restart_denied
    if record.needs_preparation:
        return "It is restarted as soon as its image is here, which is being looked for or pulled."
    if denied is not None:
        return f"It was not restarted: {denied.rstrip('.')}. It keeps running as it is."
    if not record.restart_required:
        return ""
    if record.observation.image_outdated:
        return "There is another image of that name by now; restart it to use that."
    before = record.run.settings
    keys = changed_at_launch(before, record.spec.settings) if before is not None else []
    keys += record.observation.settings_at_restart
    if keys:
        verb = "have" if len(keys) > 1 else "has"
        return f"{join_names(keys, quote=True)} {verb} changed since it was started; restart it."
    file = "compose file" if record.spec.kind is Kind.DOCKER else "site config"
    return f"Its entry in the {file} has changed since it was started; restart it."


def _stopping_message(record: InstanceRecord, now: Timestamp) -> str:
    left = max(0.0, (record.deadline or now.monotonic) - now.monotonic)
    next_start = "" if record.target is not Target.UP else " It is started again then."
    messages = messages_for(record.spec)
    return f"{messages.stop_requested}; {messages.next_stage} in {left:.0f} s.{next_start}"


def process_notice(record: InstanceRecord, state: ProcessState) -> str:
    """What a person should know of the process itself: that it cannot react, and why."""
    if state.signals_blocked_reason is None:
        return ""
    if state.name == "zombie" and not state.is_persistent:
        return ""  # its end is about to be reported
    reason = state.signals_blocked_reason[0].upper() + state.signals_blocked_reason[1:]
    if record.state in (State.STOPPING, State.TERMINATING):
        signal = "SIGINT" if record.state is State.STOPPING else "SIGTERM"
        return f"{reason}, so it cannot react to {signal}."
    if record.state in STOPPING_STATES or not state.is_persistent:
        return ""
    if state.name == "stopped":
        command = f"`kill -CONT {record.run.pid}` on its host"
        return f"{reason} and does nothing until it is continued ({command}) or restarted."
    return f"{reason}."


def join(*sentences: str) -> str:
    """Put sentences together; empty ones are left out."""
    return " ".join(filter(None, sentences))
