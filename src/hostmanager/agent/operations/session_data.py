"""The session data of the `manager` operation: a view of the snapshot (contract, section 5).

Computed when a client reads it, never kept: `LiveSessionData` renders itself whenever it is
read.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

from hostmanager.agent.monitoring.health_monitor import HealthMonitor
from hostmanager.agent.operations.child_state import join, lasting_state, passing_state
from hostmanager.agent.parts import ManagerParts
from hostmanager.agent.site_tracker import SITE_CONFIG_KEY
from hostmanager.agent.targets.silences import Silence
from hostmanager.core.events import Timestamp
from hostmanager.core.model import Kind, Target
from hostmanager.core.record import InstanceRecord
from hostmanager.core.request_origin import REQUEST_PARAMS, RequestOrigin
from hostmanager.logd.paths import log_file
from hostmanager.util.text import join_names

NO_ORIGIN = RequestOrigin()

NO_HEALTH = dict.fromkeys(("health", "ready_at", "heartbeat_age", "operations"))


def show_service(shown: dict[str, Any], parts: ManagerParts, record: InstanceRecord) -> None:
    """Add what is known of a compose service beyond its record."""
    shown["container"] = parts.compose.container(record.spec)
    shown["built"] = record.spec.service is not None and record.spec.service.built
    if record.spec.has_no_service and (orphan := parts.compose.orphan_of(record.spec.instance_id)):
        shown["message"] = join(
            shown["message"],
            f"Its container {orphan} keeps running, as an orphan: `hostmanager orphans --remove` ends it, "
            "and so does a reload without this entry.",
        )
    if record.spec.instance_id == parts.restarts.waiting_router_id:
        shown["restarting"] = True
        shown["message"] = join("It runs the router: it is restarted last.", shown["message"])


def target_origin(parts: ManagerParts, record: InstanceRecord) -> dict[str, Any]:
    """Where its target comes from: a request, an option of the manager, or the site config."""
    instance_id, forced = record.spec.instance_id, parts.host.forced_target
    requested = parts.target_store.target(instance_id) is record.target
    origin = (parts.target_store.origin(instance_id) if requested else None) or NO_ORIGIN
    is_forced = record.target == forced and record.target is not configured(record)
    other_source = "option" if is_forced and record.completion is None else "config"
    return {
        "target_source": "request" if requested else other_source,
        "target_by": origin.requested_by or None,
        "target_level": origin.level,
        "target_reason": origin.reason or None,
        "target_since": origin.at,
    }


def configured(record: InstanceRecord) -> Target:
    """The target that its latest entry names."""
    return (record.request.replacement or record.spec).default_target


def health_data(monitor: HealthMonitor, instance_id: str, now: Timestamp) -> dict[str, Any]:
    """What the heartbeats of an agent tell; nothing of one that does not run, or is not followed."""
    health, run = monitor.health(instance_id), monitor.run(instance_id)
    if health is None or run is None:
        return {}
    heard_at = run.heard_at
    return {
        "health": health.value,
        "ready_at": run.ready_at and run.ready_at.wall,
        "heartbeat_age": None if heard_at is None else now.monotonic - heard_at,
        "operations": {name: state.value for name, state in run.operations.items()},
    }


class LiveSessionData(Mapping[str, Any]):
    """Session data that is always current: rendered anew by every read.

    Args:
        render: Renders it.
    """

    def __init__(self, render: Callable[[], dict[str, Any]]) -> None:
        self.render = render

    def __getitem__(self, key: str) -> Any:
        return self.render()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.render())

    def __len__(self) -> int:
        return len(self.render())


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
    return encoded | {"data": data.render()}


class ChildStates:
    """The child states of a host; of each, what has not changed is kept from one request to the next.

    A client of a large site may ask as often as it can: with 500 agents, nearly all are as they
    were.
    """

    def __init__(self) -> None:
        self._lasting: dict[str, tuple[InstanceRecord, tuple[Any, ...], dict[str, Any]]] = {}

    def render(self, parts: ManagerParts, now: Timestamp) -> list[dict[str, Any]]:
        """Show all instances."""
        silences = parts.target_store.silences()
        if len(self._lasting) > len(parts.snapshot):  # some are gone
            self._lasting = {i: kept for i, kept in self._lasting.items() if i in parts.snapshot}
        return [
            self._show(parts, record, now, silences.get(instance_id))
            for instance_id, record in parts.snapshot.items()
        ]

    def _show(
        self, parts: ManagerParts, record: InstanceRecord, now: Timestamp, silence: Silence | None
    ) -> dict[str, Any]:
        instance_id = record.spec.instance_id
        shown = self._lasting_state(parts, record, silence).copy()
        if record.spec.kind is Kind.DOCKER:
            shown |= passing_state(record, now, None)
            show_service(shown, parts, record)
        else:
            state = parts.process_states.get(instance_id, record.run.pid, now.monotonic)
            shown |= passing_state(record, now, state)
        shown["off_target_since"] = parts.off_target_times.since(instance_id)
        if health := health_data(parts.health, instance_id, now):
            shown |= health
        show_order(shown, parts, instance_id)
        if text := parts.health.message(instance_id):
            shown["message"] = join(shown["message"], text)
        return shown

    def _lasting_state(
        self, parts: ManagerParts, record: InstanceRecord, silence: Silence | None
    ) -> dict[str, Any]:
        """What is shown of an instance until one of the things changes that it depends on."""
        instance_id, store = record.spec.instance_id, parts.target_store
        usage = parts.resources.usage(instance_id)
        target, origin = store.target(instance_id), store.origin(instance_id)
        wait = parts.supervisor.start_gate.waits.get(instance_id)
        depends_on = (target, origin, parts.host.forced_target, silence, usage, wait)
        kept = self._lasting.get(instance_id)
        if kept is not None and kept[0] is record and kept[1] == depends_on:
            return kept[2]
        is_process = record.spec.kind is not Kind.DOCKER
        output = log_file(str(parts.settings.output_dir), instance_id) if is_process else None
        shown = lasting_state(record, output) | target_origin(parts, record)
        shown["silenced"] = None if silence is None else asdict(silence)
        shown["resources"] = None if usage is None else asdict(usage)
        shown["start_wait"] = None if wait is None else asdict(wait)
        shown |= {"waiting_for": [], **NO_HEALTH}
        self._lasting[instance_id] = record, depends_on, shown
        return shown


def show_order(shown: dict[str, Any], parts: ManagerParts, instance_id: str) -> None:
    """Add for which others an instance waits, to be started or stopped."""
    gate = parts.supervisor.start_gate
    if waiting_for := gate.waiting_for(instance_id):
        names = join_names([gate.name(other) for other in waiting_for])
        shown["waiting_for"] = list(waiting_for)
        shown["next_action"] = "start"
        shown["message"] = f"waiting for {names} to be ready"
    elif others := parts.supervisor.stop_gate.waiting_for(instance_id):
        shown["next_action"] = "wait_dead"
        shown["message"] = f"waiting for {join_names(others)} to stop first"


def session_data(parts: ManagerParts, child_states: ChildStates | None = None) -> dict[str, Any]:
    """Render the session data of the manager operation.

    Args:
        parts: The parts of the manager.
        child_states: From an earlier request; default: everything is rendered anew.
    """
    now = parts.clock.now()
    parse_status = {**parts.host.tracker.parse_status, **parts.compose.status()}
    notices = {SITE_CONFIG_KEY: parts.host.tracker.notice} if parts.host.tracker.notice else {}
    return {
        "child_states": (child_states or ChildStates()).render(parts, now),
        "config_parse_status": {name: list(status) for name, status in parse_status.items()},
        "config_warnings": {**notices, **parts.compose.warnings()},
        "orphans": parts.compose.orphans(),
        "new_tags": parts.compose.new_tags(parts.snapshot),
        "not_kept": parts.target_store.not_saved,
        "own_faults": _own_faults(parts),
        "request_params": list(REQUEST_PARAMS),
        "now": now.wall,  # ages are computed with this clock, not with that of a client
    }


def _own_faults(parts: ManagerParts) -> list[str]:
    """What is wrong with files and helpers of the manager itself, a sentence each."""

    def is_running(instance_id: str) -> bool:
        record = parts.snapshot.get(instance_id)
        return record is not None and record.run.pid is not None

    faults = [parts.journal.error] if parts.journal.error else []
    return faults + ([] if parts.log_daemon is None else parts.log_daemon.faults(is_running))
