"""What is known of a host at one moment, for another thread to read.

Records, samples and the like are frozen, so taking a view on the loop is copying references: some
microseconds for each instance. The text for Prometheus is made from it elsewhere.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from hostmanager.agent.metrics.event_counts import Histogram
from hostmanager.agent.monitoring.resource_usage import Usage
from hostmanager.agent.parts import ManagerParts
from hostmanager.core.events import Timestamp
from hostmanager.core.health import Health
from hostmanager.core.record import InstanceRecord


@dataclass(frozen=True, slots=True)
class HostView:
    """What is known of a host; see the table of metrics for what it means."""

    now: Timestamp
    host: str
    supervising: bool
    router_connected: bool
    router_registrations: int
    records: Mapping[str, InstanceRecord]
    health: Mapping[str, Health | None]
    usage: Mapping[str, Usage]
    off_target: Mapping[str, float]
    silenced: frozenset[str]
    exits: Mapping[tuple[str, str], int]
    start_to_ready: Histogram
    requests: Mapping[tuple[str, str], Histogram]
    configs: Mapping[str, tuple[bool, float, str]] = field(default_factory=dict)
    orphans: int = 0
    targets_kept: bool = True
    journal_writable: bool = True
    journal_waiting_entries: int = 0
    journal_lost_entries: int = 0
    log_daemon_running: bool | None = None
    log_daemon_starts: int = 0


def take_view(parts: ManagerParts) -> HostView:
    """Take a view of a host; on its loop."""
    ids = list(parts.snapshot)
    usage = {i: parts.resources.usage(i) for i in ids}
    off_target = {i: parts.off_target_times.since(i) for i in ids}
    counts, sink = parts.event_counts, parts.log_daemon
    return HostView(
        now=parts.clock.now(),
        host=parts.settings.host,
        supervising=parts.host.running,
        router_connected=parts.router_absence.is_connected,
        router_registrations=parts.router_absence.registrations,
        records=dict(parts.snapshot),
        health={i: parts.health.health(i) for i in ids},
        usage={i: used for i, used in usage.items() if used is not None},
        off_target={i: since for i, since in off_target.items() if since is not None},
        silenced=frozenset(parts.target_store.silences()),
        exits=dict(counts.exits),
        start_to_ready=counts.start_to_ready.copy(),
        requests={key: histogram.copy() for key, histogram in counts.requests.items()},
        configs={**parts.host.tracker.parse_status, **parts.compose.status()},
        orphans=len(parts.compose.orphans()),
        targets_kept=not parts.target_store.not_saved,
        journal_writable=parts.journal.error is None,
        journal_waiting_entries=parts.journal.waiting,
        journal_lost_entries=parts.journal.lost,
        log_daemon_running=None if sink is None else sink.running,
        log_daemon_starts=0 if sink is None else sink.starts,
    )
