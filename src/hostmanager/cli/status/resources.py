"""The columns of `status --wide`: how agents work, and what they use of their hosts."""

from collections.abc import Mapping
from typing import Any

from rich.text import Text

from hostmanager.cli.status.column import Column
from hostmanager.client.status.model import AgentStatus
from hostmanager.core.health import Health
from hostmanager.util.text import format_bytes

COLUMNS = (
    Column("agent", min_width=12),
    Column("class", min_width=8),
    Column("state"),
    Column("health"),
    Column("cpu", "right"),
    Column("memory", "right"),
    Column("peak", "right"),
    Column("procs", "right"),
    Column("threads", "right"),
    Column("files", "right"),
    Column("read", "right"),
    Column("written", "right"),
)

_STYLES: Mapping[str, str] = {
    Health.OK: "green",
    Health.STARTING: "yellow",
    Health.DEGRADED: "yellow",
    Health.FAILED: "bold red",
    Health.NO_HEARTBEAT: "bold red",
    Health.UNREGISTERED: "bold red",
}


def cells(agent: AgentStatus, name: Text) -> list[Text]:
    """The cells of one agent; what is not known, or not measured yet, is blank.

    Args:
        agent: The agent.
        name: Its name as the other table shows it.
    """
    used: Mapping[str, Any] = agent.get("resources") or {}
    return [
        name,
        Text(agent.agent_class, "dim"),
        Text(agent.state_text),
        health_cell(agent),
        cpu_cell(agent),
        *(_size(used.get(key)) for key in ("memory", "memory_peak")),
        *(_number(used.get(key)) for key in ("processes", "threads", "open_files")),
        *(_size(used.get(key)) for key in ("read_bytes", "written_bytes")),
    ]


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


def _number(value: int | None) -> Text:
    return Text("" if value is None else str(value))
