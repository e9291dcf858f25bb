"""A site with managers that are killed at chosen points, and how it is looked at from outside."""

import contextlib
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, Self

from tests.crashpoints.library import Control
from tests.faults.process_observer import ProcessObserver
from tests.support import fork_server
from tests.support.clients import call
from tests.support.managers import OURS, Manager
from tests.support.processes import is_read, kill_all, processes
from tests.support.sites import Site, instance

BOUND = 90.0
"""Seconds in which everything is reached on a busy machine."""

QUIET = 0.25
"""Seconds without a call after which an action has had its effects."""

PAUSE = 0.03
"""Seconds between two looks at the counts."""

ASK_PAUSE = 0.1
"""Seconds between two questions: three processes have work with each."""

Targets = Mapping[str, str]


class ViolationError(AssertionError):
    """Something that must not be."""


class Subject:
    """A context manager.

    Args:
        site: Its site.
        library: The compiled library.
    """

    def __init__(self, site: Site, library: Path) -> None:
        self.site = site
        self.control = Control(site.directory / "control", library)
        fork_server.serve_also(self.control.environment)
        self.doubled: list[str] = []
        self.process_observer = ProcessObserver(site, self.doubled.append)
        self.manager: Manager | None = None
        self.log = site.directory / "manager.log"
        self._tracebacks = 0

    def __enter__(self) -> Self:
        self.process_observer.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.control.disarm()
        if self.manager is not None:
            self.manager.kill()
        self.process_observer.__exit__()
        kill_all(self.site)

    # --- the site file ----------------------------------------------------------------------

    def write(self, changed: bool = False) -> None:
        """Write the site file as it is before a reload, or as that is to find it."""
        entries = [instance("a"), instance("b", manage="down"), instance("c"), instance("e")]
        if changed:
            entries[0] = instance("a", agent_class="OtherTinyAgent")
            entries[2] = instance("d")
        self.site.write(*entries)

    # --- managers ---------------------------------------------------------------------------

    def start(self) -> Manager:
        """Start a manager, which may be killed at once."""
        self.manager = Manager(
            self.site, ("--stop-timeout", "5"), OURS, self.log, self.control.environment
        )
        return self.manager

    def alive(self) -> bool:
        """Whether there is a manager."""
        return self.manager is not None and self.manager.running()

    def ended(self) -> None:
        """Wait for the end of the manager."""
        assert self.manager is not None
        self.manager.process.wait(BOUND)

    def ask(self, action: str, operation: str, **params: Any) -> dict[str, Any] | None:
        """The session after a request; None: no answer, or it was refused."""
        with contextlib.suppress(LookupError, OSError, ValueError):
            status, _, session = call(self.site, action, operation, **params)
            return session if status == 0 else None
        return None

    def update(self, **params: Any) -> bool:
        """Whether an `update` was answered with success, and its targets are kept."""
        return self.succeeds("update", **params)

    def succeeds(self, task: str, **params: Any) -> bool:
        """Whether a task was answered with success, and what it asks for is kept."""
        if self.ask("start", task, **params) is None:
            return False
        result = self.ask("wait", task)
        return bool(result and result["success"] and not (result["data"] or {}).get("not_kept"))

    def children(self) -> dict[str, dict[str, Any]]:
        """What is shown; empty without a manager process that runs."""
        session = self.ask("status", "manager") or {}
        if session.get("status") != "running":
            return {}
        return {child["instance_id"]: child for child in session["data"]["child_states"]}

    def is_kept(self) -> bool:
        """Whether the manager says that what was said to it is on the disk."""
        session = self.ask("status", "manager") or {}
        return session.get("status") == "running" and not session["data"]["not_kept"]

    # --- looking ----------------------------------------------------------------------------

    def wait(self, what: str, true: Callable[[], object], unless_dead: bool = True) -> bool:
        """Wait until it is so; False: the manager died before.

        Raises:
            ViolationError: Not within the bound, or two processes of one instance were seen.
        """
        until = time.monotonic() + BOUND
        while not true():
            if unless_dead and not self.alive():
                return False
            self.check()
            if time.monotonic() > until:
                raise ViolationError(f"not within {BOUND:g} s: {what}; {self.describe()}")
            time.sleep(ASK_PAUSE)
        self.check()
        return True

    def check(self) -> None:
        """Raise if something was seen that must not be.

        Raises:
            ViolationError: It says what.
        """
        if self.doubled:
            raise ViolationError("; ".join(self.doubled))
        log = self.log.read_text(errors="replace") if self.log.exists() else ""
        if log.count("Traceback (most recent") > self._tracebacks:
            self._tracebacks = log.count("Traceback (most recent")
            raise ViolationError(f"a traceback in {self.log}: {log[-1500:]}")

    def settled(self, allowed: Collection[Targets]) -> bool:
        """Whether the targets are one of these, each is reached, and that is what is alive."""
        shown = self.children()
        targets = {name: child["target_state"] for name, child in shown.items()}
        if targets not in allowed:
            return False
        if any(child["next_action"] != child["target_state"] for child in shown.values()):
            return False
        up = {name: child["pid"] for name, child in shown.items() if child["pid"]}
        return up == self.process_observer.leaders() and set(up) == {
            n for n in targets if targets[n] == "up"
        }

    def wait_settled(self, *allowed: Targets) -> bool:
        """Wait until one of these is so; False: the manager died before."""
        return self.wait(f"one of {allowed}", lambda: self.settled(allowed))

    def wait_quiet(self) -> None:
        """Wait until the manager has stopped changing things and is not about to be killed."""
        seen, since = self.control.counts, time.monotonic()
        until = since + BOUND
        while self.alive() and time.monotonic() < min(since + QUIET, until):
            time.sleep(PAUSE)
            if self.control.hit or self.control.counts != seen:
                seen, since = self.control.counts, time.monotonic()

    def pipes_without_reader(self) -> list[str]:
        """The agents whose output nobody reads."""
        readers = [p.pid for p in processes(self.site) if p.kind in ("log daemon", "manager")]
        leaders = self.process_observer.leaders()
        return [name for name, pid in leaders.items() if not is_read(pid, readers)]

    def left_fork_servers(self) -> list[int]:
        """The fork servers of managers that have gone."""
        assert self.manager is not None
        return [
            process.pid
            for process in processes(self.site)
            if process.kind == "fork server" and process.ppid != self.manager.pid
        ]

    def describe(self) -> str:
        """What is so, for people."""
        shown = {
            name: (child["target_state"], child["next_action"], child["pid"], child["message"])
            for name, child in self.children().items()
        }
        log = self.log.read_text(errors="replace")[-1500:] if self.log.exists() else ""
        return f"shown {shown}, alive {self.process_observer.leaders()}; the log ends: {log}"
