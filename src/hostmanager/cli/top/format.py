"""How an item looks: as a line of the list, and as labelled rows of its details. Pure.

Nothing is shown by a colour alone: a mark in front of a line says how bad it is, and whatever is
cut ends with an ellipsis.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.text import Text

from hostmanager.cli.status.cells import SEVERITY_STYLES
from hostmanager.cli.status.resources import cpu_cell, health_cell, memory_cell
from hostmanager.cli.status.table import WIDE
from hostmanager.cli.top.model import ListItem, SortOrder
from hostmanager.client.status.model import (
    AgentStatus,
    StatusSeverity,
    last_exit_sentence,
    next_attempt,
)
from hostmanager.client.text import format_time, sanitize
from hostmanager.core.health import Health
from hostmanager.util.text import format_duration, join_names, pluralize

DetailRow = tuple[str, str]
"""Label and text."""

SEVERITY_MARKS = {
    StatusSeverity.OK: " ",
    StatusSeverity.INFO: " ",
    StatusSeverity.WARNING: "~",
    StatusSeverity.UNKNOWN: "?",
    StatusSeverity.ERROR: "!",
}
"""In front of each line."""

STATE_WIDTH = 14  # stopping>down
UPTIME_WIDTH = 9
RESTARTS_WIDTH = 3
CLASS_WIDTH = 16
HEALTH_WIDTH = 12  # unregistered
CPU_WIDTH, MEMORY_WIDTH = 7, 8
WIDEST = 132
"""From this width on there is room for CPU and memory beside uptime and restarts. On narrower
terminals they take that place while the list is sorted by them."""

MIN_NOTE_WIDTH = 12
WIDE_NOTE = 45
"""Where the reason has less room, that of an agent in trouble takes the columns before it, too."""


@dataclass(frozen=True, slots=True)
class ColumnWidths:
    """The width of each column of the list, and of all together; 0: it is left out.

    Attributes:
        numbers: The columns of numbers: names, widths, and the text of an agent in each.
    """

    total: int
    host: int
    name: int
    agent_class: int
    note: int
    health: int
    numbers: tuple["NumberColumn", ...]

    @property
    def numbers_width(self) -> int:
        """The width of all columns of numbers, each with the space behind it."""
        return sum(column.width + 1 for column in self.numbers)

    @classmethod
    def fitted(
        cls, shown: Sequence[ListItem], width: int, order: SortOrder = SortOrder.SITE
    ) -> "ColumnWidths":
        """Fit them to what is shown, to its order, and to the width of the list."""
        hosts = max([len(item.host) for item in shown], default=0)
        names = max([len(item.key[1]) for item in shown], default=0)
        host = max(4, min(hosts, max(8, width // 8)))
        name = max(5, min(names, max(12, width // 4)))
        agent_class = CLASS_WIDTH if width >= WIDE else 0
        health = HEALTH_WIDTH if width >= WIDE else 0
        numbers: tuple[NumberColumn, ...] = RUN_COLUMNS
        if width >= WIDEST:
            numbers = RESOURCE_COLUMNS + RUN_COLUMNS
        elif order in (SortOrder.CPU, SortOrder.MEMORY):
            numbers = RESOURCE_COLUMNS
        fixed = 2 + STATE_WIDTH + 1 + sum(column.width + 1 for column in numbers)
        fixed += sum(column + 1 for column in (agent_class, health) if column)
        left = width - fixed - (host + 1) - (name + 1)
        if left < MIN_NOTE_WIDTH:
            name = max(5, name - (MIN_NOTE_WIDTH - left))
            left = width - fixed - (host + 1) - (name + 1)
        return cls(max(0, width), host, name, agent_class, max(0, left), health, numbers)


@dataclass(frozen=True, slots=True)
class NumberColumn:
    """A column of numbers: its name, its width, and what it shows of an agent."""

    name: str
    width: int
    text: Callable[[AgentStatus], str]


def _restarts_text(agent: AgentStatus) -> str:
    restarts = agent.get("restarts")
    return "" if restarts is None else str(restarts) if restarts < 1000 else "1k+"


RUN_COLUMNS = (
    NumberColumn("uptime", UPTIME_WIDTH, lambda agent: format_duration(agent.get("uptime"))),
    NumberColumn("rst", RESTARTS_WIDTH, _restarts_text),
)
RESOURCE_COLUMNS = (
    NumberColumn("cpu", CPU_WIDTH, lambda agent: cpu_cell(agent).plain),
    NumberColumn("memory", MEMORY_WIDTH, lambda agent: memory_cell(agent).plain),
)


def heading(widths: ColumnWidths) -> Text:
    """The names of the columns."""
    cells = [("host", widths.host), ("agent", widths.name)]
    if widths.agent_class:
        cells.append(("class", widths.agent_class))
    cells.append(("state>target", STATE_WIDTH))
    text = Text("  ", no_wrap=True)
    for word, width in cells:
        text.append_text(_cell(word, width)).append(" ")
    if widths.health:
        text.append_text(_cell("health", widths.health)).append(" ")
    for column in widths.numbers:
        text.append(f"{column.name:>{column.width}} ")
    return _crop(text.append_text(_cell("reason, or last exit", widths.note)), widths)


def row_text(item: ListItem, widths: ColumnWidths, now: float) -> Text:
    """One item."""
    style = SEVERITY_STYLES[item.severity]
    text = Text(f"{SEVERITY_MARKS[item.severity]} ", style, no_wrap=True)
    text.append_text(_cell(item.host, widths.host, style if item.agent is None else "")).append(" ")
    if item.agent is None:
        return _host_line(text, item, widths, now)
    agent = item.agent
    text.append_text(_cell(agent.instance_id, widths.name, style)).append(" ")
    if widths.agent_class:
        text.append_text(_cell(agent.agent_class, widths.agent_class)).append(" ")
    state = state_and_target(agent)
    if not widths.health and state == "up" and agent.get("health") == Health.STARTING:
        state = "up, starting"
    text.append_text(_cell(state, STATE_WIDTH, style)).append(" ")
    if item.severity >= StatusSeverity.WARNING and widths.note < WIDE_NOTE:
        room = widths.numbers_width + (widths.health and widths.health + 1) + widths.note
        return _crop(text.append_text(_cell(item.short_note(now), room, style)), widths)
    if widths.health:
        health = health_cell(agent)
        text.append_text(_cell(health.plain, widths.health, str(health.style))).append(" ")
    for column in widths.numbers:
        text.append(f"{column.text(agent):>{column.width}} ")
    return _crop(text.append_text(_cell(item.short_note(now), widths.note, style)), widths)


def _host_line(text: Text, item: ListItem, widths: ColumnWidths, now: float) -> Text:
    """A host has no columns of its own: its note takes all the room."""
    room = widths.name + 1 + STATE_WIDTH + 1 + widths.numbers_width + widths.note
    room += sum(column + 1 for column in (widths.agent_class, widths.health) if column)
    manager = item.snapshot.host.host.manager or "no manager"
    content = f"== {manager}: {item.short_note(now)}"
    return _crop(
        text.append_text(_cell(content, room, SEVERITY_STYLES[item.severity] or "bold")), widths
    )


def state_and_target(agent: AgentStatus) -> str:
    """The state, and the target if that differs."""
    if not agent.target or (agent.is_at_target and agent.target != "passive"):
        return agent.state_text
    return f"{agent.state_text}>{agent.target_text}"


def _crop(text: Text, widths: ColumnWidths) -> Text:
    """On a very narrow terminal, not even the columns fit."""
    text.truncate(widths.total, overflow="ellipsis")
    return text


def _cell(words: str, width: int, style: str = "") -> Text:
    text = Text(sanitize(words).replace("\n", " ").replace("\t", " "), style)
    text.truncate(width, overflow="ellipsis", pad=True)
    return text


def detail_rows(item: ListItem, now: float) -> list[DetailRow]:
    """Everything that is known, what is wrong first; nothing is cut, nothing stands twice."""
    rows = _host_rows(item, now) if item.agent is None else _agent_rows(item, item.agent, now)
    shown: list[DetailRow] = []
    for label, text in rows:
        if text and not any(text.rstrip(".") in earlier for _, earlier in shown):
            shown.append((label, text))
    return shown


def _agent_rows(item: ListItem, agent: AgentStatus, now: float) -> Iterator[DetailRow]:
    now = item.manager_time(now)
    target = f", target {agent.target_text}" if agent.target not in ("", agent.state) else ""
    yield "state", f"{agent.state_text}{target}{_severity_suffix(item.severity)}"
    for reason in agent.reasons:
        yield "reason", reason
    yield from _age_rows(item)
    yield (
        "message",
        "" if agent.get("message") in agent.reasons else str(agent.get("message") or ""),
    )
    yield "next", next_attempt(agent.child, now)
    yield "last exit", last_exit_sentence(agent.child, now)
    pid = f"pid {agent.get('pid')}" if agent.get("pid") else ""
    uptime = (
        f"for {format_duration(agent.get('uptime'))}" if agent.get("uptime") is not None else ""
    )
    yield "running", ", ".join(part for part in (pid, uptime) if part)
    if agent.get("restarts") is not None:
        yield "restarts", f"{agent.get('restarts')}, stability {agent.get('stability')} (1 is best)"
    manage = f", manage: {agent.entry.manage}" if agent.entry and agent.entry.manage else ""
    yield "health", _health_text(agent)
    yield "class", f"{agent.agent_class}{manage}"
    yield "container", _container_text(agent.get("container"))
    yield "output", str(agent.get("output") or "")


def _health_text(agent: AgentStatus) -> str:
    """How it works, its operations, and what it uses."""
    operations = [f"{name} {state}" for name, state in (agent.get("operations") or {}).items()]
    cpu, memory = cpu_cell(agent).plain, memory_cell(agent).plain
    parts = [health_cell(agent).plain, join_names(operations, 20)]
    parts += [f"{cpu} of a processor" if cpu else "", f"{memory} of memory" if memory else ""]
    return "; ".join(part for part in parts if part)


def _host_rows(item: ListItem, now: float) -> Iterator[DetailRow]:
    host = item.snapshot.host
    manager = host.host.manager or "none"
    running = "" if host.error or not host.process else f", process {host.process}"
    yield "manager", f"{manager}{running}{_severity_suffix(item.severity)}"
    for reason in host.reasons:
        yield "reason", reason
    yield from _age_rows(item)
    agents = [agent for agent in host.agents if agent.is_managed]
    bad = [agent.instance_id for agent in agents if agent.severity >= StatusSeverity.WARNING]
    yield "agents", str(len(agents)) + (f", not OK: {join_names(bad, 20)}" if bad else "")
    for source, (ok, when, text) in (host.data.get("config_parse_status") or {}).items():
        verdict = "OK" if ok else "CANNOT BE USED"
        yield "config", f"{source}: {verdict}, {format_time(when, now)}: {text}"
    orphans = host.data.get("orphans") or {}
    names = [str(orphan.get("service", key)) for key, orphan in orphans.items()]
    yield (
        "orphans",
        f"{pluralize(len(names), 'container')}: {join_names(names, 20)}" if names else "",
    )
    tags = host.data.get("new_tags") or {}
    yield "new tags", ", ".join(f"{name} {tag}" for name, tag in tags.items())


def _age_rows(item: ListItem) -> Iterator[DetailRow]:
    """The age of the status, if it is old."""
    if item.snapshot.is_stale and item.snapshot.age < float("inf"):
        yield "stale", f"this was requested {format_duration(item.snapshot.age)} ago"


def _severity_suffix(severity: StatusSeverity) -> str:
    return f" ({severity.word})" if severity > StatusSeverity.INFO else ""


def _container_text(container: Any) -> str:
    if isinstance(container, Mapping):
        return ", ".join(
            f"{key} {value}" for key, value in container.items() if value not in (None, "")
        )
    return str(container or "")
