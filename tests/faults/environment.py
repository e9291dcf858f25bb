"""The site under faults: its router, its managers, what operators said, and what is broken.

`settle` waits until everything that is wanted is so; what has to hold all the time is watched
by a `StatusObserver`.
"""

import contextlib
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from typing import Any, Self

from hostmanager.testing.crossbar_router import CrossbarRouter
from tests.faults import disks, slow_events
from tests.faults.agents import AGENTS, DOWN_FIRST, OPTIONS, PATIENT, STEADY
from tests.faults.calls import Calls
from tests.faults.expected_targets import ExpectedTargets, saved_targets
from tests.faults.invariants import POOR_WORDS, ViolationError
from tests.faults.limits import ProcessLimit
from tests.faults.managers import Run
from tests.faults.status_observer import StatusObserver
from tests.faults.wallclock import WallClock
from tests.support import fork_server
from tests.support.processes import is_read, kill_all, processes
from tests.support.sites import Site, instance

BOUND = 40.0
"""Seconds within which every target is reached once nothing stands in the way; 2 s are usual,
6 s where somebody has to be killed, and the machine may have other things to do."""

ROUTER = 120.0
"""Seconds that a router may take to start; 3 s are usual, 30 s were too few at a load of 30."""

BEGINNING = 20.0
"""Seconds within which a manager has read what an earlier one was told, and has taken over its agents
with their pipes; and within which it has another log daemon read them: amply, on a busy machine."""

SLOW = 5.0
"""Seconds after which it is worth telling what was waited for."""

LATE = 15.0
"""Seconds after which the circumstances are written down."""

FRESH = 8
"""One manager in so many is a new interpreter, as on a host; the others are forked off one that has
imported everything (`fork_server`), which saves two thirds of the processor time of a start."""

OUTPUT, STATE = "64m", "128m"
"""Sizes of the disks under the output of agents and under the state directory, MB."""


class World:
    """A context manager: everything that faults are done to.

    Attributes:
        site: The site.
        router: The router that runs, or should.
        calls: Requests to the manager.
        run: The manager that should be running; None after it was killed.
        expected_targets: What operators requested.
        process_observer: What is alive.
        seen: Things worth counting that are no violations.
        active_faults: What is broken at present, by name: it is mended at the end of a round.
        classes: The class of each agent, by the site file.
        output: Where the output of agents goes: a small disk, if `mounted`.
        state: The state directory, on another.
        clock: The wall clock of the site.
        processes: How many the manager may have.
        adoptions: How many were adopted, and seconds from the manager's start until they were.
        slow: What was reached late, though within the bound.
        late: How often something was reached so late that the circumstances were written down.
        unread_change: Whether the site config was changed, and the manager may not have read it.
    """

    def __init__(self, site: Site, router: CrossbarRouter) -> None:
        self.site = site
        self.router = router
        self.run: Run | None = None
        self.runs = 0
        self.active_faults: dict[str, Callable[[], None]] = {}
        self.classes = dict.fromkeys(AGENTS, "TinyAgent")
        default = {name: "down" if name in DOWN_FIRST else "up" for name in AGENTS}
        self.expected_targets = ExpectedTargets(default)
        self.adoptions: list[tuple[int, float]] = []
        self.slow: list[str] = []
        self.late = 0
        self.unread_change = False
        self._no_log_daemon_until = 0.0
        self.output = site.directory / "output"
        self.disk = site.directory / "disk"
        self.state = self.disk / "state"
        self.calls = Calls(site, lambda: self.router)
        self.update, self.call, self.shown = self.calls.update, self.calls.call, self.calls.shown
        self.status_observer = StatusObserver(
            site,
            "output",
            self.calls,
            self.expected_targets,
            lambda: "router" not in self.active_faults,
        )
        self.process_observer, self.seen = (
            self.status_observer.process_observer,
            self.status_observer.seen,
        )
        self.clock = WallClock(site.directory)
        fork_server.serve_also(self.clock.surroundings)
        self.processes = ProcessLimit(site.mark.partition(":")[0])
        self.mounted = disks.mount(self.output, OUTPUT) and disks.mount(self.disk, STATE)

    def __enter__(self) -> Self:
        self.write_site()
        self.status_observer.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.status_observer.__exit__()
        if self.run is not None:
            self.run.process.kill()
            self.run.process.wait()
        self.processes.close()
        kill_all(self.site)
        for undo in reversed(self.active_faults.values()):
            with contextlib.suppress(Exception):
                undo()
        if self.mounted:
            disks.unmount(self.output)
            disks.unmount(self.disk)

    def keep_evidence(self) -> None:
        """Copy what is on the small disks, which vanish at the end."""
        for directory in (self.output, self.disk):
            with contextlib.suppress(OSError, shutil.Error):
                shutil.copytree(
                    directory,
                    self.site.directory / "kept" / directory.name,
                    symlinks=True,
                    ignore=shutil.ignore_patterns("filler"),
                )

    # --- the site file ----------------------------------------------------------------------

    def write_site(self, *more: dict[str, Any], without: str | None = None) -> None:
        """Write the site file as it should be; `more` entries, or one left out."""
        entries = [
            instance(
                name,
                *arguments,
                agent_class=self.classes[name],
                manage=f"host/{self.expected_targets.default[name]}",
            )
            for name, arguments in AGENTS.items()
            if name != without
        ]
        self.site.write(*entries, *more, **{"log-dir": str(self.output)})

    def start_router(self) -> None:
        """Start the router, after it was killed."""
        self.router.start(ROUTER)

    # --- the manager ------------------------------------------------------------------------

    def start(self) -> Run:
        """Start the next manager; it has to take over what is alive."""
        self.run = self.make_run(self.process_observer.leaders())
        return self.run

    def make_run(self, adopting: dict[str, int] | None = None) -> Run:
        """Start a manager, beside the one that there is."""
        self.runs += 1
        options = (*OPTIONS, "--state-dir", str(self.state))
        fresh = self.runs % FRESH == 1
        return Run(self.site, self.runs, options, self.clock.surroundings, adopting, fresh=fresh)

    def need_manager(self) -> Run:
        """The manager that runs; started if there is none, and then its adoptions are timed."""
        if self.run is not None:
            return self.run
        run = self.start()
        # Those that are to be ended are taken over, too, but it is not said.
        up = [name for name in STEADY if self.expected_targets.may[name] == {"up"}]
        alive = {name: pid for name, pid in run.adopting.items() if name in up}
        took = run.wait_adopted(alive, self.process_observer.leaders, 10.0)
        if took is not None and alive and run.fresh:
            self.adoptions.append((len(alive), took))
        return run

    def kill_manager(self) -> None:
        """SIGKILL, nobody else is told."""
        if self.run is None:
            return
        if time.monotonic() < self._no_log_daemon_until:
            self._excuse_unread("log daemon")
        self.run.kill()
        self._read_log(self.run)
        self.run = None
        self.expected_targets.ended()

    def log_daemon_killed(self) -> None:
        """Somebody is about to kill the log daemon: the manager alone has the pipes open then."""
        now = time.monotonic()
        self._no_log_daemon_until = now + BEGINNING
        if self.run is None or now < self.run.begun + BEGINNING:
            self._excuse_unread("manager")

    def _excuse_unread(self, kind: str) -> None:
        """Only these are left to have pipes open: where none has, lines of an agent that ends are lost."""
        readers = [process.pid for process in processes(self.site) if process.kind == kind]
        leaders = self.process_observer.leaders()
        for name, lines in self.status_observer.lines.items():
            if name not in leaders or not is_read(leaders[name], readers):
                lines.excuse()
                self.seen["times that nobody had the pipe of a counted agent open"] += 1

    def ended(self, code: int, patience: float = BOUND) -> None:
        """The manager was told to end: it does, with this code."""
        assert self.run is not None
        run, self.run = self.run, None
        if "disk" in self.active_faults:  # what waits for it is lost (docs/output.md)
            for lines in self.status_observer.lines.values():
                lines.excuse()
            self.seen["ends of everything with a full disk under the output"] += 1
        try:
            result = run.process.wait(patience)
        except subprocess.TimeoutExpired:
            run.kill()
            raise ViolationError(
                f"told to end, the manager did not within {patience:g} s: see {run.log}"
            ) from None
        self._read_log(run)
        if result != code:
            raise ViolationError(f"told to end, the manager ended with {result}: see {run.log}")

    def answers(self, patience: float = 15.0) -> bool:
        """Wait until the manager answers clients; False when the router is out of order."""
        if "router" in self.active_faults:
            return False
        self.need_manager()
        return self.wait(lambda: self.shown() is not None, patience)

    def told_to_end_since(self, started: float) -> list[tuple[str, int]]:
        """Agents that the manager told to end since then: they note their signals themselves.

        Those that had been told before by a fault, or died of something else, do not count.
        """
        return [
            (name, signal.pid)
            for name in STEADY
            if name not in PATIENT  # it may have been in the middle of it
            for signal in self.site.signals(name)
            if signal.at > started
        ]

    # --- operators --------------------------------------------------------------------------

    def tell(self, requests: list[tuple[str, str]]) -> bool:
        """Set targets; returns whether that was answered with success."""
        targets: dict[str, str] = {}
        for name, target in requests:
            targets |= dict.fromkeys(AGENTS if name == "all" else [name], target)
        self.expected_targets.asked(targets)
        ok = self.update(requests=requests)
        if ok:
            self.expected_targets.answered(targets, self._is_kept(targets))
        return ok

    def restart_process(self) -> None:
        """Have the manager process stopped and started: all is as the site file says."""
        self.expected_targets.stopped()
        self.call("stop", "manager")
        self.call("wait", "manager", None, 30, timeout=35)
        self.call("start", "manager", {})
        if self.wait(lambda: self.shown() is not None, 10):
            # It is kept soon, but unlike those of `update`, this answer does not wait for it.
            self.expected_targets.reset(
                AGENTS, certain=self.wait(lambda: saved_targets(self.state) == {}, 1.0)
            )

    def _is_kept(self, targets: dict[str, str]) -> bool:
        """Whether the words are on the disk: then they hold whatever happens."""
        if self.state_has_fault():
            return False
        saved = saved_targets(self.state)
        if saved is not None and targets.items() <= saved.items():
            return True
        self.seen["words answered before they were on the disk"] += 1
        return False

    def doubt_words(self) -> None:
        """Somebody meddles with the state directory: what is kept there may be lost."""
        self.expected_targets.doubt(read=self._has_read_words())

    def _has_read_words(self) -> bool:
        """Whether the manager is surely past the reading of what an earlier one was told."""
        if self.run is None:
            return False
        if time.monotonic() > self.run.begun + BEGINNING:
            return True
        return "router" not in self.active_faults and self.shown() is not None

    def state_has_fault(self) -> bool:
        """Whether somebody meddles with the state directory at present."""
        return any(name.startswith("state") for name in self.active_faults)

    # --- what has to hold -------------------------------------------------------------------

    def check(self) -> None:
        """Raise if something was seen that must not be.

        Raises:
            ViolationError: It says what.
        """
        if self.status_observer.problems:
            raise ViolationError("; ".join(dict.fromkeys(self.status_observer.problems)))
        if self.run is not None:
            self._read_log(self.run)
            if not self.run.running():
                code = self.run.process.returncode
                end = "\n".join(self.run.lines()[-15:])
                raise ViolationError(
                    f"the manager ended by itself with code {code}: see {self.run.log}\n{end}"
                )

    def _read_log(self, run: Run) -> None:
        for raised in run.tracebacks()[run.tracebacks_seen :]:
            run.tracebacks_seen += 1
            if not (run.poor and any(word in raised for word in POOR_WORDS)):
                raise ViolationError(f"a traceback in the log of the manager: {raised}: {run.log}")
            self.seen[f"tracebacks, while the manager was poor: {raised[:60]}"] += 1

    def wait(self, true: Callable[[], bool], patience: float) -> bool:
        """Wait until it is so, and keep checking; False: not in time."""
        until = time.monotonic() + patience
        while not true():
            self.check()
            if time.monotonic() > until:
                return False
            time.sleep(0.03)
        return True

    def settle(self, bound: float = BOUND) -> None:
        """Return when every target is reached, or is being worked on, with the reason shown.

        Raises:
            ViolationError: Not within the bound; it says what is missing.
        """
        self.need_manager()
        if self.unread_change:  # an operator who was told so asks again
            self.wait(lambda: self.update(reload_config=True), bound)
            self.unread_change = False
        self.status_observer.note_lines()
        started, reasons, described = time.monotonic(), [""], []

        def reached() -> bool:
            missing = self.status_observer.missing()
            if missing is not None:
                late = time.monotonic() - started
                reasons.append(f"{late:.1f} s: {missing}")
                if late > LATE and self.run is not None and len(described) < late // LATE:
                    described.append(
                        slow_events.describe(reasons[-1], self.run, self.process_observer.alive())
                    )
            return missing is None

        in_time = self.wait(reached, bound)
        if described:
            self.late += 1
            path = self.site.directory / "logs" / f"late-{self.runs:04}-{self.late}.txt"
            path.write_text("\n".join(described))
            reasons[-1] = f"(see {path}) {reasons[-1]}"
        if not in_time:
            raise ViolationError(f"not within {bound:g} s: {reasons[-1]}")
        if time.monotonic() - started > SLOW:
            self.slow.append(reasons[-1])
        self.check()

    # --- the end ----------------------------------------------------------------------------

    def end(self) -> None:
        """SIGTERM leaves nothing."""
        run = self.need_manager()
        run.process.send_signal(signal.SIGTERM)
        self.ended(0)
        left = self.process_observer.alive()
        if left:
            raise ViolationError(f"SIGTERM left {[(x.instance_id, x.pid) for x in left]}")
        others: list[Any] = []

        def all_gone() -> bool:
            others[:] = processes(self.site)
            return not others

        if not self.wait(all_gone, 5.0):
            raise ViolationError(f"SIGTERM left {others}")
        self.status_observer.note_lines()
        if missing := self.status_observer.missing_lines():
            raise ViolationError(f"lost at the end: {missing}")
        self.check()
