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
from enum import StrEnum
from importlib.metadata import version

from hostmanager import __version__
from hostmanager.agent.metrics.codes import HEALTH_CODES, STATE_CODES, TARGET_CODES
from hostmanager.agent.metrics.event_counts import Histogram
from hostmanager.agent.metrics.view import HostView
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
        help: What it says, a phrase.
        labels: The names of its labels.
        read: Takes the samples from a view.
        is_histogram: Whether its samples are histograms.
    """

    name: str
    help: str
    labels: tuple[str, ...]
    read: Callable[[HostView], Iterable[Sample]]
    is_histogram: bool = False

    @property
    def kind(self) -> str:
        """``gauge``, ``counter`` or ``histogram``."""
        if self.is_histogram:
            return "histogram"
        return "counter" if self.name.endswith("_total") else "gauge"


def _host(name: str, help_text: str) -> Metric:
    """A figure of the whole host, which a view has under that name; None: there is none."""

    def samples(view: HostView) -> Iterable[Sample]:
        value = getattr(view, name.removesuffix("_total"))
        return () if value is None else (((), float(value)),)

    return Metric(f"{PREFIX}_{name}", help_text, (), samples)


def _agent(
    name: str, help_text: str, read: Callable[[HostView, str, InstanceRecord], float | None]
) -> Metric:
    """A figure of each agent; None: it has none."""

    def samples(view: HostView) -> Iterable[Sample]:
        for instance_id, record in view.records.items():
            value = read(view, instance_id, record)
            if value is not None:
                yield (instance_id,), float(value)

    return Metric(f"{PREFIX}_agent_{name}", help_text, ("agent",), samples)


def _usage(name: str, attribute: str, help_text: str) -> Metric:
    """A figure of what each agent used when it was sampled last, an attribute of `Usage`."""

    def value(view: HostView, instance_id: str, _: InstanceRecord) -> float | None:
        return getattr(view.usage.get(instance_id), attribute, None)

    return _agent(name, help_text, value)


def _count(
    name: str, words: Iterable[StrEnum], read: Callable[[HostView, str, InstanceRecord], StrEnum]
) -> Metric:
    """How many agents there are of each kind; 0 for those that do not occur."""
    names = [word.value for word in words]

    def samples(view: HostView) -> Iterable[Sample]:
        counts = Counter(read(view, i, record).value for i, record in view.records.items())
        return [((word,), float(counts[word])) for word in names]

    return Metric(f"{PREFIX}_agents_by_{name}", f"Agents by {name}", (name,), samples)


def _started_at(view: HostView, _: str, record: InstanceRecord) -> float | None:
    run = record.run
    return run.started_at.wall if run.pid is not None and run.started_at is not None else None


def _health(view: HostView, instance_id: str, _: InstanceRecord) -> Health:
    return view.health.get(instance_id) or Health.UNKNOWN


def _build(_: HostView) -> Iterable[Sample]:
    yield (__version__, version("ocs"), platform.python_version()), 1.0


LOOP_LAG = f"{PREFIX}_loop_lag_seconds"
LOOP_LAG_HELP = (
    "How long the manager's event loop took to react to this scrape; while it hangs, all other "
    "figures are missing"
)

_AGENT_METRICS = (
    Metric(
        f"{PREFIX}_agent_info",
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
        lambda *agent: HEALTH_CODES[_health(*agent)],
    ),
    _agent(
        "off_target_timestamp_seconds",
        "Since when an agent is not at its target, Unix time; missing while it is",
        lambda v, i, _: v.off_target.get(i),
    ),
    _agent("silenced", "Whether an agent is silenced", lambda v, i, _: i in v.silenced),
    _agent("restarts_total", "Restarts after failures", lambda _, __, r: r.failures.restarts),
    Metric(
        f"{PREFIX}_agent_exits_total",
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
        "cpu_seconds",
        "CPU time of all processes of an agent since its start",
    ),
    _usage("resident_memory_bytes", "memory", "Resident memory of all processes of an agent"),
    _usage("processes", "processes", "Processes of an agent"),
    _usage("threads", "threads", "Threads of all processes of an agent"),
    _usage("open_fds", "open_files", "Open file descriptors of all processes of an agent"),
    _usage("read_bytes_total", "read_bytes", "Bytes that an agent has read from disks"),
    _usage("written_bytes_total", "written_bytes", "Bytes that an agent has written to disks"),
)

_HOST_METRICS = (
    Metric(
        f"{PREFIX}_build_info",
        "Versions of the host manager, of ocs and of Python, as labels; always 1",
        ("version", "ocs_version", "python_version"),
        _build,
    ),
    _count("state", State, lambda _, __, r: r.state),
    _count("target", Target, lambda _, __, r: r.target),
    _count("health", Health, _health),
    Metric(
        f"{PREFIX}_start_to_ready_seconds",
        "From the launch of an agent to its first heartbeat",
        (),
        lambda view: [((), view.start_to_ready)],
        is_histogram=True,
    ),
    Metric(
        f"{PREFIX}_request_duration_seconds",
        "How long requests of clients took, by operation and result (done, failed)",
        ("operation", "result"),
        lambda view: list(view.requests.items()),
        is_histogram=True,
    ),
    _host("supervising", "Whether the manager process runs, so that agents are started again"),
    _host("router_connected", "Whether the manager is registered with the router"),
    _host("router_registrations_total", "How often it was registered with the router"),
    Metric(
        f"{PREFIX}_config_valid",
        "Whether a file could be used when it was read last: [SCF] is the site config, others are "
        "compose files",
        ("file",),
        lambda view: [((name,), float(ok)) for name, (ok, _, _) in view.configs.items()],
    ),
    Metric(
        f"{PREFIX}_config_read_timestamp_seconds",
        "When a file was read last, Unix time",
        ("file",),
        lambda view: [((name,), at) for name, (_, at, _) in view.configs.items()],
    ),
    _host("orphans", "Containers of services that are in no compose file any more"),
    _host("targets_kept", "Whether the requested targets are on the disk"),
    _host("journal_writable", "Whether the journal can be written"),
    _host("journal_waiting_entries", "Entries of the journal that are not written yet"),
    _host("journal_lost_entries_total", "Entries of the journal that were lost"),
    _host(
        "log_daemon_running",
        "Whether the log daemon, which writes the output of agents, runs",
    ),
    _host(
        "log_daemon_starts_total",
        "How often a log daemon was started, or found running",
    ),
    Metric(
        f"{PREFIX}_manager_info",
        "Key of the host in the site config, as a label; always 1",
        ("host",),
        lambda view: [((view.host,), 1.0)],
    ),
)

METRICS = (*_AGENT_METRICS, *_HOST_METRICS)
"""All that is read from a view; beside them there is `LOOP_LAG`."""
