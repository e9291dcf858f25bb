"""A site for the view without anybody to ask, and what is to be read on its screen."""

import html
import re
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from tests.support.http_bridge import child, session

from hostmanager.cli.top.app import TopApp
from hostmanager.cli.top.model import HostSnapshot, ListItem
from hostmanager.cli.top.requests import UserRequest
from hostmanager.client.change.plan import AgentChange, Plan
from hostmanager.client.errors import FailureKind, ManagerError
from hostmanager.client.logs.log_reader import LogLine
from hostmanager.client.site_model import SiteEntry, SiteHost
from hostmanager.client.status.findings import build_host_status
from hostmanager.client.status.model import AgentStatus
from hostmanager.core.model import InstanceSpec, Kind, Target

_CELL = 12.2


def entry(name: str) -> SiteEntry:
    spec = InstanceSpec(name, "FakeDataAgent", Kind.HOST, Target.UP)
    return SiteEntry(name, "FakeDataAgent", spec)


def agent(name: str, **more: Any) -> dict[str, Any]:
    """What our manager says of an agent that is up."""
    known = {"uptime": 75.0, "restarts": 0, "pid": 4711, "message": "", "last_exit": None}
    return child(name, **(known | {"next_attempt_at": None} | more))


def dying(name: str, **more: Any) -> dict[str, Any]:
    """One that exits with code 3 again and again."""
    ended = {"code": 3, "signal": None, "time": 1e9, "expected": False, "ran_for": 1.2}
    message = "It exited with code 3, 17 failures in a row."
    state = {"next_action": "start_at", "uptime": None, "restarts": 17, "message": message}
    return agent(name, **(state | {"last_exit": {**ended, "output": ["no device"]}} | more))


def host(name: str, *children: dict[str, Any], age: float = 0.0, **data: Any) -> HostSnapshot:
    """A host that answers."""
    entries = {c["instance_id"]: entry(c["instance_id"]) for c in children}
    known = SiteHost(name, f"hm-{name}", entries)
    return HostSnapshot(build_host_status(known, session(*children, **data)), age)


def dead(name: str, *agents: str) -> HostSnapshot:
    """One that does not."""
    known = SiteHost(name, f"hm-{name}", {a: entry(a) for a in agents})
    return HostSnapshot(
        build_host_status(known, ManagerError(FailureKind.TIMEOUT, "no answer for 7 s")), 7.0
    )


def usual() -> list[HostSnapshot]:
    return [
        host("daq1", agent("fake1"), agent("fake2", uptime=9.0)),
        host("daq2", agent("cam1"), dying("acu1")),
        dead("daq3", "far1"),
    ]


class FakeSource:
    """Knows what a test wants it to know, and records the changes requested of it."""

    def __init__(self, hosts: list[HostSnapshot]) -> None:
        self.hosts = hosts
        self.error = ""
        self.requests: list[UserRequest] = []
        self.changes: list[tuple[str, str, list[str]]] = []
        self.lines: list[list[LogLine] | ManagerError] = []
        self.entries: list[Mapping[str, Any]] | ManagerError = []
        self.blocked = threading.Event()
        self.blocked.set()

    def fetch(self) -> tuple[list[HostSnapshot], str]:
        return self.hosts, self.error

    def change(self, command: str, what: str, rows: Sequence[AgentStatus]) -> UserRequest:
        self.changes.append((command, what, [row.instance_id for row in rows]))
        steps = tuple(AgentChange(row, "down" if command == "down" else "up") for row in rows)
        self.requests.append(UserRequest(command, what, plan=Plan(command, steps)))
        return self.requests[-1]

    def reader(self, row: AgentStatus) -> Any:
        def read(_lines: int) -> list[LogLine]:
            self.blocked.wait(60)
            lines = self.lines.pop(0) if self.lines else []
            if isinstance(lines, ManagerError):
                raise lines
            return lines

        return read

    def history(self, item: ListItem, limit: int) -> list[Mapping[str, Any]]:
        if isinstance(self.entries, ManagerError):
            raise self.entries
        return list(self.entries)


def on_screen(app: TopApp) -> list[str]:
    """The lines that somebody in front of the terminal reads."""
    svg = re.sub(r"<text [^>]*-title[^>]*>[^<]*</text>", "", app.export_screenshot())
    results: dict[float, list[tuple[float, str]]] = {}
    for x, y, text in re.findall(r'<text [^>]*x="([\d.]+)" y="([\d.]+)"[^>]*>([^<]*)</text>', svg):
        results.setdefault(float(y), []).append((float(x), html.unescape(text)))
    lines = []
    for _, parts in sorted(results.items()):
        line = ""
        for x, text in sorted(parts):
            line = line.ljust(round(x / _CELL)) + text.replace("\xa0", " ")
        lines.append(line.rstrip())
    return lines
