"""The columns of `status --wide`: how agents work, and what they use of their hosts."""

from collections.abc import Callable, Mapping
from typing import Any

from rich.text import Text

from hostmanager.cli.status.cells import Column, name_cell, text_or_blank
from hostmanager.client.status.model import AgentStatus
from hostmanager.core.health import Health
from hostmanager.util.text import format_bytes

_STYLES: Mapping[str, str] = {
    Health.OK: "green",
    Health.STARTING: "yellow",
    Health.DEGRADED: "yellow",
    Health.FAILED: "bold red",
    Health.NO_HEARTBEAT: "bold red",
    Health.UNREGISTERED: "bold red",
}


def health_cell(agent: AgentStatus) -> Text:
    """How it works; blank if that is not known."""
    health = str(agent.get("health") or "")
    return Text(health.replace("_", " "), _STYLES.get(health, "dim"))


def cpu_cell(agent: AgentStatus) -> Text:
    """Its share of a processor; blank if that was not measured yet."""
    cpu = (agent.get("resources") or {}).get("cpu")
    return Text("" if cpu is None else f"{cpu * 100:.1f} %")


def memory_cell(agent: AgentStatus) -> Text:
    """Its memory; blank likewise."""
    return _size((agent.get("resources") or {}).get("memory"))


def _size(value: float | None) -> Text:
    return Text("" if value is None else format_bytes(int(value)))


def _used(heading: str, key: str, convert: Callable[[Any], Text], rank: int) -> Column:
    """A column of one of the resources; what is not known, or not measured yet, is blank."""
    return Column(
        heading,
        lambda agent, _: convert((agent.get("resources") or {}).get(key)),
        "right",
        rank=rank,
    )


def _number(value: int | None) -> Text:
    return Text(text_or_blank(value))


COLUMNS = (
    Column("agent", name_cell, min_width=12),
    Column("class", lambda agent, _: Text(agent.agent_class, "dim"), min_width=8, rank=9),
    Column("state", lambda agent, _: Text(agent.state_text)),
    Column("health", lambda agent, _: health_cell(agent), rank=1),
    Column("cpu", lambda agent, _: cpu_cell(agent), "right", rank=2),
    _used("memory", "memory", _size, 3),
    _used("peak", "memory_peak", _size, 4),
    _used("procs", "processes", _number, 6),
    _used("threads", "threads", _number, 5),
    _used("files", "open_files", _number, 7),
    _used("read", "read_bytes", _size, 8),
    _used("written", "written_bytes", _size, 8),
)
