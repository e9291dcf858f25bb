"""The table of all metrics: name, kind, labels, what it means, and where the value comes from.

Names and units follow Prometheus' conventions: base units, counters end in ``_total``. The label
``agent`` is an instance-id; the labels `instance` and `job` are Prometheus' own, so they are not
used. An agent has some fifteen series, and as many more as it has had reasons of exits.

docs/metrics.md is made from this table.
"""

import platform
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.metadata import version

from hostmanager import __version__
from hostmanager.agent.metrics.codes import HEALTH_CODES, STATE_CODES, TARGET_CODES
from hostmanager.agent.metrics.event_counts import Histogram
from hostmanager.agent.metrics.view import HostView
from hostmanager.agent.monitoring.resource_usage import Usage
from hostmanager.core.health import Health
from hostmanager.core.model import Target
from hostmanager.core.policy import stability
from hostmanager.core.record import InstanceRecord, State

PREFIX = "hostmanager"

Sample = tuple[tuple[str, ...], float | Histogram]
"""The values of the labels, and the figure."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric.

    Attributes:
        name: Its name; that of a counter ends in ``_total``.
        kind: ``gauge``, ``counter`` or ``histogram``.
        help: What it says, a phrase.
        labels: The names of its labels.
        read: Takes the samples from a view.
    """

    name: str
    kind: str
    help: str
    labels: tuple[str, ...]
    read: Callable[[HostView], Iterable[Sample]]


def _host(
    name: str, help_text: str, read: Callable[[HostView], float | None], kind: str = "gauge"
) -> Metric:
    """A figure of the whole host; None: there is none."""

    def samples(view: HostView) -> Iterable[Sample]:
        value = read(view)
        return () if value is None else (((), float(value)),)

    return Metric(f"{PREFIX}_{name}", kind, help_text, (), samples)


def _agent(
    name: str,
    help_text: str,
    read: Callable[[HostView, str, InstanceRecord], float | None],
    kind: str = "gauge",
) -> Metric:
    """A figure of each agent; None: it has none."""

    def samples(view: HostView) -> Iterable[Sample]:
        for instance_id, record in view.records.items():
            value = read(view, instance_id, record)
            if value is not None:
                yield (instance_id,), float(value)

    return Metric(f"{PREFIX}_agent_{name}", kind, help_text, ("agent",), samples)


def _usage(
    name: str, help_text: str, read: Callable[[Usage], float | None], kind: str = "gauge"
) -> Metric:
    """A figure of what each agent used when it was sampled last."""

    def value(view: HostView, instance_id: str, _: InstanceRecord) -> float | None:
        usage = view.usage.get(instance_id)
        return None if usage is None else read(usage)

    return _agent(name, help_text, value, kind)


def _count(
    name: str, help_text: str, words: Iterable[str], read: Callable[[HostView], Counter[str]]
) -> Metric:
    """How many agents there are of each kind; 0 for those that do not occur."""
    names = tuple(words)

    def samples(view: HostView) -> Iterable[Sample]:
        counts = read(view)
        return [((word,), float(counts[word])) for word in names]

    return Metric(f"{PREFIX}_agents_by_{name}", "gauge", help_text, (name,), samples)


def _started_at(view: HostView, _: str, record: InstanceRecord) -> float | None:
    run = record.run
    return run.started_at.wall if run.pid is not None and run.started_at is not None else None


def _health(view: HostView, instance_id: str) -> Health:
    return view.health.get(instance_id) or Health.UNKNOWN


def _build(_: HostView) -> Iterable[Sample]:
    yield (__version__, version("ocs"), platform.python_version()), 1.0


_BUILD_INFO = Metric(
    f"{PREFIX}_build_info",
    "gauge",
    "Versions of the host manager, of ocs and of Python, as labels; always 1",
    ("version", "ocs_version", "python_version"),
    _build,
)

LOOP_LAG = f"{PREFIX}_loop_lag_seconds"
LOOP_LAG_HELP = (
    "How long the manager's event loop took to react to this scrape; while it hangs, all other "
    "figures are missing"
)

_AGENT_METRICS = (
    Metric(
        f"{PREFIX}_agent_info",
        "gauge",
        "Class and kind (host, docker) of each agent, as labels; always 1",
        ("agent", "agent_class", "kind"),
        lambda view: [
            ((i, r.spec.agent_class, r.spec.kind.value), 1.0) for i, r in view.records.items()
        ],
    ),
    _agent(
        "state",
        "State of each agent, see the table of codes",
        lambda _, __, r: STATE_CODES[r.state],
    ),
    _agent(
        "target",
        "Target of each agent: 0 down, 1 up, 2 passive",
        lambda _, __, r: TARGET_CODES[r.target],
    ),
    _agent(
        "health",
        "Health of each agent by its heartbeats, see the table of codes",
        lambda v, i, _: HEALTH_CODES[_health(v, i)],
    ),
    _agent(
        "off_target_timestamp_seconds",
        "Since when an agent is not at its target, Unix time; missing while it is",
        lambda v, i, _: v.off_target.get(i),
    ),
    _agent("silenced", "Whether an agent is silenced", lambda v, i, _: i in v.silenced),
    _agent(
        "restarts_total", "Restarts after failures", lambda _, __, r: r.failures.restarts, "counter"
    ),
    Metric(
        f"{PREFIX}_agent_exits_total",
        "counter",
        "Runs that ended, by reason",
        ("agent", "reason"),
        lambda view: [(key, float(count)) for key, count in view.exits.items()],
    ),
    _agent(
        "start_time_seconds",
        "Start of the present run, Unix time; missing while none runs",
        _started_at,
    ),
    _agent(
        "stability_ratio",
        "From 0 (it has just failed) to 1 (not within two minutes)",
        lambda v, _, r: stability(r.failures.exit_times, v.now.monotonic),
    ),
    _usage(
        "cpu_seconds_total",
        "CPU time of all processes of an agent since its start",
        lambda u: u.cpu_seconds,
        "counter",
    ),
    _usage(
        "resident_memory_bytes", "Resident memory of all processes of an agent", lambda u: u.memory
    ),
    _usage("processes", "Processes of an agent", lambda u: u.processes),
    _usage("threads", "Threads of all processes of an agent", lambda u: u.threads),
    _usage(
        "open_fds", "Open file descriptors of all processes of an agent", lambda u: u.open_files
    ),
    _usage(
        "read_bytes_total",
        "Bytes that an agent has read from disks",
        lambda u: u.read_bytes,
        "counter",
    ),
    _usage(
        "written_bytes_total",
        "Bytes that an agent has written to disks",
        lambda u: u.written_bytes,
        "counter",
    ),
)

_HOST_METRICS = (
    _BUILD_INFO,
    _count(
        "state",
        "Agents by state",
        [s.value for s in State],
        lambda v: Counter(r.state.value for r in v.records.values()),
    ),
    _count(
        "target",
        "Agents by target",
        [t.value for t in Target],
        lambda v: Counter(r.target.value for r in v.records.values()),
    ),
    _count(
        "health",
        "Agents by health",
        [h.value for h in Health],
        lambda v: Counter(_health(v, i).value for i in v.records),
    ),
    Metric(
        f"{PREFIX}_start_to_ready_seconds",
        "histogram",
        "From the launch of an agent to its first heartbeat",
        (),
        lambda view: [((), view.start_to_ready)],
    ),
    Metric(
        f"{PREFIX}_request_duration_seconds",
        "histogram",
        "How long requests of clients took, by operation and result (done, failed)",
        ("operation", "result"),
        lambda view: list(view.requests.items()),
    ),
    _host(
        "supervising",
        "Whether the manager process runs, so that agents are started again",
        lambda v: v.supervising,
    ),
    _host(
        "router_connected",
        "Whether the manager is registered with the router",
        lambda v: v.router.connected,
    ),
    _host(
        "router_registrations_total",
        "How often it was registered with the router",
        lambda v: v.router.registrations,
        "counter",
    ),
    Metric(
        f"{PREFIX}_config_valid",
        "gauge",
        "Whether a file could be used when it was read last: [SCF] is the site config, others are "
        "compose files",
        ("file",),
        lambda view: [((name,), float(ok)) for name, (ok, _, _) in view.configs.items()],
    ),
    Metric(
        f"{PREFIX}_config_read_timestamp_seconds",
        "gauge",
        "When a file was read last, Unix time",
        ("file",),
        lambda view: [((name,), at) for name, (_, at, _) in view.configs.items()],
    ),
    _host(
        "orphans",
        "Containers of services that are in no compose file any more",
        lambda v: v.orphans,
    ),
    _host(
        "targets_kept", "Whether the requested targets are on the disk", lambda v: v.targets_kept
    ),
    _host("journal_writable", "Whether the journal can be written", lambda v: v.journal_writable),
    _host(
        "journal_waiting_entries",
        "Entries of the journal that are not written yet",
        lambda v: v.journal_waiting,
    ),
    _host(
        "journal_lost_entries_total",
        "Entries of the journal that were lost",
        lambda v: v.journal_lost,
        "counter",
    ),
    _host(
        "log_daemon_running",
        "Whether the log daemon, which writes the output of agents, runs",
        lambda v: v.log_daemon_running,
    ),
    _host(
        "log_daemon_starts_total",
        "How often a log daemon was started, or found running",
        lambda v: v.log_daemon_starts,
        "counter",
    ),
    Metric(
        f"{PREFIX}_manager_info",
        "gauge",
        "Key of the host in the site config, as a label; always 1",
        ("host",),
        lambda view: [((view.host,), 1.0)],
    ),
)

METRICS = (*_AGENT_METRICS, *_HOST_METRICS)
"""All that is read from a view; beside them there is `LOOP_LAG`."""
