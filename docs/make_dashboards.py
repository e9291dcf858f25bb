"""Write the dashboards for Grafana that are in the package, from one list of panels.

Run it with ``python docs/make_dashboards.py``. Each panel has its queries for Prometheus and for
InfluxDB; what only one of them knows has an empty list for the other.
"""

# ruff: noqa: E501 - queries are long

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from hostmanager.agent.metrics.codes import HEALTH_CODES, STATE_CODES, TARGET_CODES
from hostmanager.integrations import DIRECTORY

COMMAND = "python docs/make_dashboards.py"
PROMETHEUS, INFLUXDB = "prometheus", "influxdb"
FILES = {name: Path(DIRECTORY) / f"dashboard-{name}.json" for name in (PROMETHEUS, INFLUXDB)}

COLORS = {
    "up": "green",
    "ok": "green",
    "down": "text",
    "passive": "text",
    "unknown": "text",
    "starting": "blue",
    "stopping": "blue",
    "terminating": "blue",
    "killing": "purple",
    "waiting": "orange",
    "degraded": "orange",
    "unseen": "purple",
}
"""Of words; all others are red."""


@dataclass(frozen=True)
class Panel:
    """A panel: its queries are pairs of a query and a legend."""

    title: str
    kind: str
    prometheus: list[tuple[str, str]]
    influxdb: list[tuple[str, str]]
    unit: str = "short"
    width: int = 8
    help: str = ""
    words: Mapping[StrEnum, int] = field(default_factory=dict)


def influx(what: str, where: str = "", groups: str = "", fill: str = "none") -> str:
    """A query for InfluxDB over the time of the dashboard."""
    condition = " AND ".join(filter(None, (where, "$timeFilter")))
    by = f" GROUP BY {groups} fill({fill})" if groups else ""
    return f'SELECT {what} FROM "HostManager" WHERE {condition}{by}'


def influx_sum(name: str, function: str = "sum") -> str:
    """The sum (or the like) of the latest value of all hosts."""
    latest = influx(f'last("{name}") AS "value"', groups='"host"')
    return f'SELECT {function}("value") FROM ({latest})'


HOST, AGENT = 'instance=~"$host"', 'agent=~"$agent"'
I_HOST, I_AGENT = '"host" =~ /^$host$/', '"agent" =~ /^$agent$/'
I_BOTH = f"{I_HOST} AND {I_AGENT}"
BY_AGENT = 'time($__interval), "agent"'
BY_HOST = 'time($__interval), "host"'
BOTH = f"{HOST},{AGENT}"

SITE = [
    Panel(
        "Agents up",
        "stat",
        [('sum(hostmanager_agents_by_state{state="up"})', "up")],
        [(influx_sum("host_up"), "up")],
        width=4,
    ),
    Panel(
        "Not at their target",
        "stat",
        [("count(hostmanager_agent_off_target_timestamp_seconds) or vector(0)", "agents")],
        [(influx_sum("host_off_target"), "agents")],
        width=4,
    ),
    Panel(
        "Managers",
        "stat",
        [("count(hostmanager_supervising == 1)", "at work")],
        [(influx_sum("host_agents", "count"), "reporting")],
        width=4,
    ),
    Panel(
        "Agents by state",
        "timeseries",
        [("sum by (state) (hostmanager_agents_by_state) > 0", "{{state}}")],
        [
            (
                influx(
                    'mean("host_up") AS "up", mean("host_off_target") AS "off target"',
                    groups=BY_HOST,
                ),
                "$tag_host $col",
            )
        ],
        width=12,
    ),
    Panel(
        "Restarts after failures",
        "timeseries",
        [
            (
                "sum by (instance) (increase(hostmanager_agent_restarts_total[$__rate_interval]))",
                "{{instance}}",
            )
        ],
        [
            (
                influx('non_negative_difference(last("host_restarts"))', groups=BY_HOST),
                "$tag_host",
            )
        ],
        width=12,
    ),
    Panel(
        "Agents by health",
        "timeseries",
        [("sum by (health) (hostmanager_agents_by_health) > 0", "{{health}}")],
        [],
        width=12,
    ),
]

PER_HOST = [
    Panel(
        "State of each agent", "state-timeline",
        [(f"hostmanager_agent_state{{{HOST}}}", "{{agent}}")],
        [(influx('last("state")', I_HOST, BY_AGENT, "previous"), "$tag_agent")],
        width=24, words=STATE_CODES,
    ),
    Panel(
        "Health of each agent", "state-timeline",
        [(f"hostmanager_agent_health{{{HOST}}}", "{{agent}}")],
        [(influx('last("health")', I_HOST, BY_AGENT, "previous"), "$tag_agent")],
        width=24, words=HEALTH_CODES,
    ),
    Panel(
        "CPU of each agent, cores", "timeseries",
        [(f"rate(hostmanager_agent_cpu_seconds_total{{{HOST}}}[$__rate_interval])", "{{agent}}")],
        [(influx('mean("cpu")', I_HOST, BY_AGENT), "$tag_agent")],
        width=12,
    ),
    Panel(
        "Memory of each agent", "timeseries",
        [(f"hostmanager_agent_resident_memory_bytes{{{HOST}}}", "{{agent}}")],
        [(influx('mean("memory")', I_HOST, BY_AGENT), "$tag_agent")],
        unit="bytes", width=12,
    ),
    Panel(
        "From launch to first heartbeat", "timeseries",
        [(f"histogram_quantile(0.9, sum by (le) (rate(hostmanager_start_to_ready_seconds_bucket{{{HOST}}}[$__rate_interval])))", "90 %")],
        [], unit="s",
    ),
    Panel(
        "Duration of requests", "timeseries",
        [(f"sum by (operation) (rate(hostmanager_request_duration_seconds_sum{{{HOST}}}[$__rate_interval])) / sum by (operation) (rate(hostmanager_request_duration_seconds_count{{{HOST}}}[$__rate_interval]))", "{{operation}}")],
        [], unit="s",
    ),
    Panel(
        "Lag of the manager's event loop", "timeseries",
        [(f"hostmanager_loop_lag_seconds{{{HOST}}}", "{{instance}}")],
        [], unit="s",
    ),
    Panel(
        "CPU of the manager, cores", "timeseries",
        [(f"rate(process_cpu_seconds_total{{{HOST}}}[$__rate_interval]) and on (instance) hostmanager_supervising", "{{instance}}")],
        [(influx('non_negative_derivative(last("host_manager_cpu"), 1s)', I_HOST, BY_HOST), "$tag_host")],
        width=12,
    ),
    Panel(
        "Load of the host", "timeseries", [],
        [(influx('mean("host_load")', I_HOST, BY_HOST), "$tag_host")], width=12,
    ),
    Panel(
        "Router, journal, log daemon, targets", "state-timeline",
        [
            (f"hostmanager_router_connected{{{HOST}}}", "{{instance}} router"),
            (f"hostmanager_journal_writable{{{HOST}}}", "{{instance}} journal"),
            (f"hostmanager_log_daemon_running{{{HOST}}}", "{{instance}} log daemon"),
            (f"hostmanager_targets_kept{{{HOST}}}", "{{instance}} targets"),
        ],
        [], width=12,
    ),
]  # fmt: skip

PER_AGENT = [
    Panel(
        "State",
        "state-timeline",
        [(f"hostmanager_agent_state{{{BOTH}}}", "{{agent}}")],
        [(influx('last("state")', I_BOTH, BY_AGENT, "previous"), "$tag_agent")],
        words=STATE_CODES,
    ),
    Panel(
        "Target",
        "state-timeline",
        [(f"hostmanager_agent_target{{{BOTH}}}", "{{agent}}")],
        [(influx('last("target")', I_BOTH, BY_AGENT, "previous"), "$tag_agent")],
        words=TARGET_CODES,
    ),
    Panel(
        "Uptime",
        "timeseries",
        [(f"time() - hostmanager_agent_start_time_seconds{{{BOTH}}}", "{{agent}}")],
        [(influx('last("uptime")', I_BOTH, BY_AGENT), "$tag_agent")],
        unit="s",
    ),
    Panel(
        "Stability",
        "timeseries",
        [(f"hostmanager_agent_stability_ratio{{{BOTH}}}", "{{agent}}")],
        [(influx('mean("stability")', I_BOTH, BY_AGENT), "$tag_agent")],
        unit="percentunit",
    ),
    Panel(
        "Restarts",
        "timeseries",
        [(f"hostmanager_agent_restarts_total{{{BOTH}}}", "{{agent}}")],
        [(influx('last("restarts")', I_BOTH, BY_AGENT), "$tag_agent")],
    ),
    Panel(
        "Exits by reason",
        "timeseries",
        [(f"sum by (reason) (hostmanager_agent_exits_total{{{BOTH}}})", "{{reason}}")],
        [],
    ),
    Panel(
        "Threads and open files",
        "timeseries",
        [
            (f"hostmanager_agent_threads{{{BOTH}}}", "{{agent}} threads"),
            (f"hostmanager_agent_open_fds{{{BOTH}}}", "{{agent}} open files"),
        ],
        [(influx('last("threads")', I_BOTH, BY_AGENT), "$tag_agent threads")],
    ),
]

ROWS = {"Site": SITE, "Host $host": PER_HOST, "Agent $agent": PER_AGENT}


def mappings(words: Mapping[StrEnum, int]) -> list[dict[str, Any]]:
    """Words and colours in place of codes."""
    options = {
        str(code): {"text": word.value, "color": COLORS.get(word.value, "red"), "index": code}
        for word, code in words.items()
    }
    return [{"type": "value", "options": options}] if words else []


def targets(panel: Panel, source: str) -> list[dict[str, Any]]:
    """The queries of a panel."""
    queries = panel.prometheus if source == PROMETHEUS else panel.influxdb
    listed = []
    for number, (query, legend) in enumerate(queries):
        target: dict[str, Any] = {"refId": chr(ord("A") + number), "datasource": datasource(source)}
        if source == PROMETHEUS:
            target |= {"expr": query, "legendFormat": legend, "range": True}
        else:
            shown = {"query": query, "alias": legend, "rawQuery": True}
            target |= {**shown, "resultFormat": "time_series"}
        listed.append(target)
    return listed


def datasource(source: str) -> dict[str, str]:
    """The data source that is chosen at the top."""
    return {"type": source, "uid": "${datasource}"}


def panels(source: str) -> Iterator[dict[str, Any]]:
    """Rows and panels, placed from left to right."""
    number, y = 1, 0
    for title, listed in ROWS.items():
        yield {
            **{"id": number, "type": "row", "title": title, "collapsed": False, "panels": []},
            "gridPos": {"x": 0, "y": y, "w": 24, "h": 1},
        }
        number, y, x, height = number + 1, y + 1, 0, 0
        for panel in listed:
            queries = targets(panel, source)
            if not queries:
                continue
            if x + panel.width > 24:
                x, y, height = 0, y + height, 0
            size = 4 if panel.kind == "stat" else 8
            yield {
                **{"id": number, "type": panel.kind, "title": panel.title},
                "datasource": datasource(source),
                "gridPos": {"x": x, "y": y, "w": panel.width, "h": size},
                "fieldConfig": {
                    "defaults": {"unit": panel.unit, "mappings": mappings(panel.words)},
                    "overrides": [],
                },
                "targets": queries,
            }
            number, x, height = number + 1, x + panel.width, max(height, size)
        y += height


def variables(source: str) -> list[dict[str, Any]]:
    """What can be chosen at the top."""
    if source == PROMETHEUS:
        hosts = "label_values(hostmanager_supervising, instance)"
        agents = 'label_values(hostmanager_agent_info{instance=~"$host"}, agent)'
    else:
        hosts = 'SHOW TAG VALUES FROM "HostManager" WITH KEY = "host"'
        agents = f'SHOW TAG VALUES FROM "HostManager" WITH KEY = "agent" WHERE {I_HOST}'
    chosen = {"name": "datasource", "label": "Data source", "type": "datasource", "query": source}
    many = {
        **{"type": "query", "datasource": datasource(source), "refresh": 2, "sort": 1},
        **{"multi": True, "includeAll": True},
        "current": {"text": ["All"], "value": ["$__all"]},
    }
    return [
        chosen,
        {"name": "host", "label": "Host", "query": hosts, **many},
        {"name": "agent", "label": "Agent", "query": agents, **many},
    ]


def dashboard(source: str) -> dict[str, Any]:
    """The dashboard for a data source."""
    return {
        "uid": f"hostmanager-{source}",
        "title": "OCS host managers" + (" (InfluxDB)" if source == INFLUXDB else ""),
        "description": f"Made by {COMMAND} of HostManager; see its docs/metrics.md.",
        "tags": ["ocs", "hostmanager"],
        "schemaVersion": 39,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "browser",
        "templating": {"list": variables(source)},
        "annotations": {"list": []},
        "links": [],
        "panels": list(panels(source)),
    }


def text(source: str) -> str:
    """The file of a dashboard."""
    return json.dumps(dashboard(source), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for source, path in FILES.items():
        path.write_text(text(source), encoding="utf-8")
        print(f"{path} written", file=sys.stderr)
