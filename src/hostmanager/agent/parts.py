"""The parts of a manager: made here, and nowhere else, each gets what it needs of the others."""

from random import Random

from hostmanager.agent import audit
from hostmanager.agent.compose.protocol import ComposeBackend
from hostmanager.agent.daemon.journald import log_fields
from hostmanager.agent.host import Host
from hostmanager.agent.metrics.event_counts import EventCounts
from hostmanager.agent.monitoring.health_monitor import HealthChange, HealthMonitor
from hostmanager.agent.monitoring.off_target import OffTargetTimes
from hostmanager.agent.monitoring.resource_usage import ResourceSampler
from hostmanager.agent.monitoring.router_absence import RouterAbsence
from hostmanager.agent.operator_messages import OperatorMessages
from hostmanager.agent.restarts import RestartCoordinator
from hostmanager.agent.settings import ManagerSettings
from hostmanager.agent.targets.store import TargetStore
from hostmanager.core.events import OperatorMessage
from hostmanager.core.health import Health
from hostmanager.core.model import Kind
from hostmanager.core.protocols import Clock, Driver
from hostmanager.core.supervisor import Supervisor
from hostmanager.drivers.process import LogDaemonSink, ProcessStateCache
from hostmanager.journal import Entry, Journal, subscribe


class ManagerParts:
    """The parts of a manager.

    Args:
        settings: What the command line and the site config amount to.
        driver: Runs the agents that are processes.
        clock: Time.
        random: For the pauses between launches.
        journal: Takes what happens.
        messages: Sentences for operators.
        compose: Knows the compose services; None: there are no compose files.

    Attributes:
        supervisor: All instances.
        snapshot: What is known of them.
        host: Takes requests.
        restarts: Takes requests for restarts.
        target_store: What operators have requested.
        health: The health of the agents by their heartbeats.
        resources: What they use of the host.
        process_states: What the kernel says of their processes.
        off_target_times: Since when they are not at their target.
        router_absence: When the router was away.
        event_counts: What has happened so far, in numbers.
        log_daemon: What writes the output of agents; None: they do it themselves.
    """

    def __init__(
        self,
        settings: ManagerSettings,
        driver: Driver,
        clock: Clock,
        random: Random,
        *,
        journal: Journal,
        messages: OperatorMessages,
        compose: ComposeBackend | None = None,
    ) -> None:
        self.settings, self.driver, self.clock = settings, driver, clock
        self.journal, self.messages = journal, messages
        self.compose = compose or ComposeBackend()
        drivers = {Kind.HOST: driver, Kind.DOCKER: self.compose.driver}
        self.supervisor = Supervisor(drivers, clock, settings.policy, random, self._report)
        self.snapshot = self.supervisor.snapshot
        self.event_counts = EventCounts()
        subscribe(self.snapshot, self._on_entry, lambda: clock.now().wall)
        self.off_target_times = OffTargetTimes(self.snapshot, clock)
        self.router_absence = RouterAbsence(journal, clock.now)
        self.process_states = ProcessStateCache()
        self.target_store = TargetStore(settings.state_dir / "wanted.json", clock)
        self.host = Host(
            settings,
            self.supervisor,
            self.compose,
            self.target_store,
            journal=journal,
            emit_message=messages.emit,
        )
        self.restarts = RestartCoordinator(
            self.supervisor,
            self.target_store,
            running=lambda: self.host.running,
            router=lambda: self.compose.runs_router(self.settings.router, self.snapshot),
            emit_message=messages.emit,
        )
        self.health = HealthMonitor(
            self.snapshot, clock, self.supervisor.guard, self._on_health_change
        )
        gate = self.supervisor.start_gate
        gate.health, gate.listen_for = self.health.health, self.health.listen_for
        self.health.on_remote_beat = gate.heard
        self.resources = ResourceSampler(self.snapshot, clock, self.supervisor.guard)
        self.log_daemon: LogDaemonSink | None = None

    def _report(self, instance_id: str, message: OperatorMessage) -> None:
        self.messages.report(instance_id, message, self.snapshot.get(instance_id))

    def _on_entry(self, entry: Entry) -> None:
        self.journal.append(entry)
        self.event_counts.on_entry(entry)
        self.messages.note(entry)

    def _on_health_change(self, change: HealthChange) -> None:
        instance_id = change.instance_id
        record, run = self.snapshot.get(instance_id), self.health.run(instance_id)
        audit.record_health(self.journal, change)
        self.event_counts.on_health(change, record, run)
        self.supervisor.start_gate.changed()
        if change.text:
            pid = record.run.pid if record else None
            with log_fields(instance=instance_id, event="health", pid=pid):
                self.messages.emit(f"{instance_id}: {change.text}")
        hangs = change.after is Health.NO_HEARTBEAT
        if record is not None and hangs and record.spec.settings.heartbeat_action == "restart":
            self.messages.emit(f"{instance_id}: is restarted, as its settings say")
            self.supervisor.restart(instance_id)
