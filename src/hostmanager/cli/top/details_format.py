"""What the details of an agent or a host say: pairs of a word and a text. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

from hostmanager.cli.text import ago, format_time
from hostmanager.cli.top.model import ListItem
from hostmanager.client.status.model import AgentStatus, Severity, last_exit_text, next_attempt
from hostmanager.util.text import format_duration, join_names, pluralize

DetailRow = tuple[str, str]


def detail_rows(item: ListItem, now: float) -> list[DetailRow]:
    """All that is known, what is wrong first; nothing is cut."""
    found = _of_host(item, now) if item.row is None else _of_agent(item, item.row, now)
    return [(word, text) for word, text in found if text]


def _of_agent(item: ListItem, row: AgentStatus, now: float) -> Iterator[DetailRow]:
    wanted = f", wanted {row.target}" if row.target and row.target != row.state else ""
    yield "state", f"{row.state}{wanted}{_grade(item.severity)}"
    for reason in row.reasons:
        yield "why", reason
    yield from _of_trouble(item)
    yield "message", "" if row.get("message") in row.reasons else str(row.get("message") or "")
    yield "next", next_attempt(row.child, now)
    yield "last exit", _last_exit(row, now)
    pid = f"pid {row.get('pid')}" if row.get("pid") else ""
    uptime = f"for {format_duration(row.get('uptime'))}" if row.get("uptime") is not None else ""
    yield "running", ", ".join(part for part in (pid, uptime) if part)
    if row.get("restarts") is not None:
        yield "restarts", f"{row.get('restarts')}, stability {row.get('stability')} (1 is best)"
    manage = f", manage: {row.entry.manage}" if row.entry and row.entry.manage else ""
    yield "class", f"{row.agent_class}{manage}"
    yield "container", _container(row.get("container"))
    yield "output", str(row.get("output") or "")


def _of_host(item: ListItem, now: float) -> Iterator[DetailRow]:
    host = item.snapshot.host
    manager = host.host.manager or "none"
    running = "" if host.error or not host.process else f", process {host.process}"
    yield "manager", f"{manager}{running}{_grade(item.severity)}"
    for reason in host.reasons:
        yield "why", reason
    yield from _of_trouble(item)
    agents = [row for row in host.agents if row.is_managed]
    bad = [row.instance_id for row in agents if row.severity >= Severity.WARNING]
    yield "agents", str(len(agents)) + (f", to look at: {join_names(bad, 20)}" if bad else "")
    for source, (ok, when, text) in (host.data.get("config_parse_status") or {}).items():
        verdict = "fine" if ok else "CANNOT BE USED"
        yield "config", f"{source}: {verdict}, {format_time(when, now)}: {text}"
    orphans = host.data.get("orphans") or {}
    names = [str(orphan.get("service", key)) for key, orphan in orphans.items()]
    yield (
        "orphans",
        f"{pluralize(len(names), 'container')}: {join_names(names, 20)}" if names else "",
    )
    tags = host.data.get("new_tags") or {}
    yield "new tags", ", ".join(f"{name} {tag}" for name, tag in tags.items())


def _of_trouble(item: ListItem) -> Iterator[DetailRow]:
    """How old it all is, if it is old."""
    if item.snapshot.is_stale and item.snapshot.age < float("inf"):
        yield "stale", f"this was asked for {format_duration(item.snapshot.age)} ago"


def _grade(severity: Severity) -> str:
    return f" ({severity.word})" if severity > Severity.INFO else ""


def _last_exit(row: AgentStatus, now: float) -> str:
    ended: Mapping[str, Any] = row.get("last_exit") or {}
    parts = [last_exit_text(row.child or {})]
    if ended.get("time") is not None:
        parts.append(f"{format_time(ended['time'], now)} ({ago(ended['time'], now)})")
    if ended.get("ran_for") is not None:
        parts.append(f"after {format_duration(ended['ran_for'])}")
    if ended:
        parts.append("as it was told" if ended.get("expected") else "unexpected")
    return ", ".join(part for part in parts if part)


def _container(told: Any) -> str:
    if isinstance(told, Mapping):
        return ", ".join(f"{key} {value}" for key, value in told.items() if value not in (None, ""))
    return str(told or "")
