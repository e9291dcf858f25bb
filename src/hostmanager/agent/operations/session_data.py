"""The session data of the `manager` operation: a view of the snapshot (contract, section 5).

Computed when a client reads it, never kept: `LiveSessionData` is a dictionary that renders itself
whenever it is read.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import lru_cache
from typing import Any

from hostmanager.agent.host import Host
from hostmanager.agent.monitoring.health_monitor import HealthMonitor
from hostmanager.agent.site_tracker import SITE_CONFIG_KEY
from hostmanager.core.events import Timestamp
from hostmanager.core.messages import messages_for
from hostmanager.core.model import InstanceSpec, Kind, Target
from hostmanager.core.policy import stability
from hostmanager.core.record import STOPPING_STATES, Completion, InstanceRecord, State
from hostmanager.core.request_origin import REQUEST_PARAMS, RequestOrigin
from hostmanager.drivers.process import ProcessState
from hostmanager.logd.paths import log_file
from hostmanager.siteconfig.arguments import visible_arguments
from hostmanager.siteconfig.settings import changed_at_launch, settings_data
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

NO_ORIGIN = RequestOrigin()

MAX_OUTPUT_LINES = 5
"""Lines of output in a child state: a client gets all of them each second."""


MAX_CACHED = 4096
"""Instances; a host has fewer."""

# Half of the time of rendering, each second for each client.
_settings_data = lru_cache(MAX_CACHED)(settings_data)
_log_file = lru_cache(MAX_CACHED)(log_file)


def child_state(
    record: InstanceRecord,
    now: Timestamp,
    output: str | None,
    process_state: ProcessState | None = None,
) -> dict[str, Any]:
    """Show one instance as clients know it, and what they may want to know beyond that.

    All times are Unix times or lengths in seconds.
    """
    run, spec = record.run, record.spec
    started_at = run.started_at if run.pid is not None else None
    notices = (record.observation.notice or "", process_notice(record, process_state))
    return {
        "instance_id": spec.instance_id,
        "agent_class": agent_class(spec),
        "target_state": record.target.value,
        "next_action": next_action(record),
        "stability": stability(record.failures.exit_times, now.monotonic),
        "operable": spec.inoperable_reason is None and record.state is not State.UNOBSERVED,
        "restart_required": record.restart_required,
        "fingerprint": spec.fingerprint if spec.kind is Kind.HOST else None,
        "manage": None if spec.is_unmanaged else f"{spec.kind}/{spec.initial_target}",
        "arguments": visible_arguments(spec.arguments),
        "pid": run.pid or None,  # the engine has none for what it is about to start again
        "started_at": started_at and started_at.wall,
        "uptime": started_at and now.monotonic - started_at.monotonic,
        "restarts": record.failures.restarts,
        "restarting": record.request.restart_of is not None,
        "given_up": record.state is State.GIVEN_UP,
        "last_exit": last_exit(record),
        "next_attempt_at": next_attempt_at(record, now),
        "process_state": None if process_state is None else process_state.name,
        "message": _join(message(record, now), *notices),
        "output": output,
        # A pattern: to list them, a disk would have to respond.
        "output_rotated": None if output is None else f"{output}.[0-9]*",
        "container": None,
        "built": False,
        "settings": _settings_data(spec.settings),
        "done": None if record.completion is None else _completion(record, record.completion),
    }


def service_state(host: Host, record: InstanceRecord, now: Timestamp) -> dict[str, Any]:
    """Show an instance that is a compose service."""
    shown = child_state(record, now, None)
    shown["container"] = host.compose.container(record.spec)
    shown["built"] = record.spec.service is not None and record.spec.service.built
    if record.spec.has_no_service and (orphan := host.compose.orphan_of(record.spec.instance_id)):
        shown["message"] = _join(
            shown["message"],
            f"Its container {orphan} runs on, as an orphan: `hostmanager orphans --remove` ends it, "
            "and so does a reload without this entry.",
        )
    if record.spec.instance_id == host.restarts.waiting_router_id:
        shown["restarting"] = True
        shown["message"] = _join("It runs the router: it is restarted last.", shown["message"])
    return shown


def target_origin(host: Host, record: InstanceRecord) -> dict[str, Any]:
    """Where its target comes from: a request, an option of the manager, or the site config."""
    instance_id = record.spec.instance_id
    requested = host.target_store.target(instance_id) is record.target
    origin = (host.target_store.origin(instance_id) if requested else None) or NO_ORIGIN
    is_forced = host.forced_target == record.target and record.target is not configured(record)
    is_forced = is_forced and record.completion is None
    other_source = "option" if is_forced else "config"
    return {
        "target_source": "request" if requested else other_source,
        "target_by": origin.requested_by or None,
        "target_level": origin.level,
        "target_reason": origin.reason or None,
        "target_since": origin.at,
        "off_target_since": host.off_target_times.since(instance_id),
    }


def configured(record: InstanceRecord) -> Target:
    """The target that its latest entry names."""
    return (record.request.replacement or record.spec).default_target


def health_data(monitor: HealthMonitor, instance_id: str, now: Timestamp) -> dict[str, Any]:
    """What the heartbeats of an agent tell; all None for what does not run, or is not followed."""
    health, run = monitor.health(instance_id), monitor.run(instance_id)
    if health is None or run is None:
        return {"health": None, "ready_at": None, "heartbeat_age": None, "operations": None}
    heard_at = run.heard_at
    return {
        "health": health.value,
        "ready_at": run.ready_at and run.ready_at.wall,
        "heartbeat_age": None if heard_at is None else now.monotonic - heard_at,
        "operations": {name: state.value for name, state in run.operations.items()},
    }


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


def next_attempt_at(record: InstanceRecord, now: Timestamp) -> float | None:
    """When a waiting instance is launched again."""
    if record.state is not State.BACKOFF or record.deadline is None:
        return None
    return now.wall + max(0.0, record.deadline - now.monotonic)


def message(record: InstanceRecord, now: Timestamp) -> str:
    """What a person should know about it now; empty when all is as it should be."""
    if record.state is State.STOPPING:
        return _stopping_message(record, now)
    if record.spec.inoperable_reason is not None:
        return record.spec.inoperable_reason
    if record.error is not None:
        return record.error
    failures, is_waiting = record.failures, record.state is State.BACKOFF
    if (is_waiting or record.state is State.STARTING) and failures.consecutive and record.last_exit:
        count = f", {failures.consecutive} failures in a row" if failures.consecutive > 1 else ""
        reason = failures.backoff.reason if is_waiting else ""
        return _join(f"It {record.last_exit.status}{count}.", reason)
    return _restart_message(record)


def _restart_message(record: InstanceRecord) -> str:
    denied = record.request.restart_denied
    if record.needs_preparation:
        return "It is restarted as soon as its image is here; it is being looked for, or pulled."
    if denied is not None:
        return f"It was not restarted: {denied.rstrip('.')}. It goes on as it is."
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


def process_notice(record: InstanceRecord, state: ProcessState | None) -> str:
    """What a person should know of the process itself: that it cannot react, and why."""
    if state is None or state.signals_blocked_reason is None:
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


def _join(*sentences: str) -> str:
    return " ".join(filter(None, sentences))


class LiveSessionData(dict[str, Any]):
    """Session data that is always current: rendered anew by every read of the whole."""

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


def encode_live(session: Any) -> dict[str, Any]:
    """What `encoded` of OCS's session returns, without its walk through the data.

    That is for what may be no JSON, such as numpy's, and takes as long as rendering it. What is
    rendered here is JSON.
    """
    data, session.data = session.data, {}
    try:
        encoded: dict[str, Any] = type(session).encoded(session)
    finally:
        session.data = data
    return encoded | {"data": dict(data.items())}


def session_data(host: Host) -> dict[str, Any]:
    """Render the session data of the manager operation."""
    now = host.clock.now()
    directory = str(host.settings.output_dir)
    silences = host.target_store.silences()

    def show(instance_id: str, record: InstanceRecord) -> dict[str, Any]:
        shown = show_record(instance_id, record)
        shown |= health_data(host.health, instance_id, now)
        silence = silences.get(instance_id)
        shown["silenced"] = None if silence is None else asdict(silence)
        shown["resources"] = host.resources.as_data(instance_id)
        show_order(shown, instance_id)
        shown["message"] = _join(shown["message"], host.health.message(instance_id))
        return shown

    def show_order(shown: dict[str, Any], instance_id: str) -> None:
        gate = host.supervisor.start_gate
        shown["waiting_for"] = list(gate.waiting_for(instance_id))
        wait = gate.waits.get(instance_id)
        shown["start_wait"] = None if wait is None else asdict(wait)
        if shown["waiting_for"]:
            names = join_names([gate.name(other) for other in shown["waiting_for"]])
            shown["next_action"] = "start"
            shown["message"] = f"waiting for {names} to be ready"
        elif others := host.supervisor.stop_gate.waiting_for(instance_id):
            shown["next_action"] = "wait_dead"
            shown["message"] = f"waiting for {join_names(others)} to stop first"

    def show_record(instance_id: str, record: InstanceRecord) -> dict[str, Any]:
        origin = target_origin(host, record)
        if record.spec.kind is Kind.DOCKER:
            return service_state(host, record, now) | origin
        state = host.process_states.get(instance_id, record.run.pid, now.monotonic)
        shown = child_state(record, now, _log_file(directory, instance_id), state)
        return shown | origin

    parse_status = {**host.tracker.parse_status, **host.compose.status()}
    notices = {SITE_CONFIG_KEY: host.tracker.notice} if host.tracker.notice else {}
    return {
        "child_states": [show(i, record) for i, record in host.snapshot.items()],
        "config_parse_status": {name: list(status) for name, status in parse_status.items()},
        "config_warnings": {**notices, **host.compose.warnings()},
        "orphans": host.compose.orphans(),
        "new_tags": host.compose.new_tags(host.snapshot),
        "not_kept": host.target_store.not_kept,
        "request_params": list(REQUEST_PARAMS),
        "now": now.wall,  # ages are computed with this clock, not with that of a client
    }
