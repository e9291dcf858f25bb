"""The site under faults: its router, its managers, what operators said, and the invariants.

Two threads look all the time: `Eyes` at /proc, and one that asks the manager what it shows
and compares the answer with what was alive all the while that it was given. `settle` waits
until everything that is wanted is so.
"""

import contextlib
import http.client
import json
import os
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from hostmanager.demo.router import Router
from tests.faults.eyes import Eyes, Living
from tests.faults.managers import Run
from tests.faults.words import Words
from tests.support.processes import kill_all, processes
from tests.support.sites import Site, instance

BOUND = 40.0
"""Seconds within which every target is reached once nothing stands in the way."""

BEGINNING = 4.0
"""Seconds within which a manager has read what an earlier one was told, amply."""

SLOW = 5.0
"""Seconds after which it is worth telling what was waited for."""

PAUSE = 0.2
"""Seconds between two looks at what is shown, while faults go on."""

AGENTS: dict[str, tuple[object, ...]] = {
    "ok-0": (),
    "ok-1": (),
    "ok-2": (),
    "ok-3": (),
    "stubborn": ("--behave", "stubborn"),
    "very-stubborn": ("--behave", "very-stubborn"),
    "slow": ("--behave", "slow-stop", 0.5),
    "fork": ("--behave", "fork"),
    "leave": ("--behave", "fork", "--leave"),
    "chatty": ("--behave", "chatty", "--rate", 5000, "--total", 1e9),
    "utf8": ("--behave", "bad-utf8"),
    "crash": ("--behave", "crash-after", 4),
    "segfault": ("--behave", "segfault"),
    "spare": (),
}
DOWN_FIRST = {"very-stubborn", "spare"}
PATIENT = {"very-stubborn"}  # takes 6 s to be ended
WANT = ("MemoryError", "can't start new thread", "Cannot allocate memory", "Too many open files")
"""What may be said in a traceback by a manager that has no memory or descriptors left."""

CRASHERS = {"crash", "segfault"}
STEADY = tuple(name for name in AGENTS if name not in CRASHERS)

States = dict[str, dict[str, Any]]


class ViolationError(AssertionError):
    """An invariant does not hold."""


class World:
    """A context manager: everything that faults are done to.

    Attributes:
        site: The site.
        router: The router that runs, or should.
        run: The manager that should be running; None after it was killed.
        words: What operators said.
        hurt: What is broken at present, by name: it is mended at the end of a round.
        adoptions: Seconds from a manager's start until it had adopted, and how many.
        seen: Things worth counting that are no violations.
        slow: What was reached late, though within the bound.
    """

    def __init__(self, site: Site, router: Router) -> None:
        self.site = site
        self.router = router
        self.output = site.folder / "output"
        self.output.mkdir()
        self.run: Run | None = None
        self.hurt: dict[str, Callable[[], None]] = {}
        self.classes = dict.fromkeys(AGENTS, "TinyAgent")
        default = {name: "down" if name in DOWN_FIRST else "up" for name in AGENTS}
        self.words = Words(default)
        self.adoptions: list[tuple[int, float]] = []
        self.seen: Counter[str] = Counter()
        self.slow: list[str] = []
        self.runs = 0
        self._problems: list[str] = []
        self.eyes = Eyes(site, self._problems.append)
        self._ends = threading.Event()
        self._observer = threading.Thread(target=self._observe_always, daemon=True)
        self.mounted = _mount(self.output)

    def __enter__(self) -> Self:
        self.write_site()
        self.eyes.__enter__()
        self._observer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        self._observer.join()
        self.eyes.__exit__()
        if self.run is not None:
            self.run.process.kill()
            self.run.process.wait()
        kill_all(self.site)
        for undo in reversed(self.hurt.values()):
            with contextlib.suppress(Exception):
                undo()
        if self.mounted:
            subprocess.run(["umount", "-l", self.output], check=False)

    # --- the site file ----------------------------------------------------------------------

    def write_site(self, *more: dict[str, Any], without: str | None = None) -> None:
        """Write the site file as it should be; `more` entries, or one left out."""
        entries = [
            instance(
                name,
                *arguments,
                agent_class=self.classes[name],
                manage=f"host/{self.words.default[name]}",
            )
            for name, arguments in AGENTS.items()
            if name != without
        ]
        self.site.write(*entries, *more, **{"log-dir": str(self.output)})

    # --- the manager ------------------------------------------------------------------------

    def start(self) -> Run:
        """Start the next manager; it has to take over what is alive."""
        self.runs += 1
        self.run = Run(self.site, self.runs, self.eyes.leaders())
        return self.run

    def need_manager(self) -> Run:
        """The manager that runs; started if there is none, and then its adoptions are timed."""
        if self.run is not None:
            return self.run
        run = self.start()
        # Those that are to be ended are taken over, too, but it is not said.
        up = [name for name in STEADY if self.words.may[name] == {"up"}]
        alive = {name: pid for name, pid in run.adopting.items() if name in up}
        took = run.wait_adopted(alive, self.eyes.leaders, 10.0)
        if took is not None and alive:
            self.adoptions.append((len(alive), took))
        return run

    def kill_manager(self) -> None:
        """SIGKILL, nobody else is told."""
        if self.run is not None:
            self.run.kill()
            self._read_log(self.run)
            self.run = None
            self.words.killed()

    def ended(self, code: int, patience: float = BOUND) -> None:
        """The manager was told to end: it does, with this code."""
        assert self.run is not None
        run, self.run = self.run, None
        try:
            found = run.process.wait(patience)
        except subprocess.TimeoutExpired:
            run.kill()
            raise ViolationError(
                f"told to end, the manager did not within {patience:g} s: see {run.log}"
            ) from None
        self._read_log(run)
        if found != code:
            raise ViolationError(f"told to end, the manager ended with {found}: see {run.log}")

    def call(self, *args: object, timeout: float = 5.0) -> list[Any] | None:
        """One request to the manager; None: no answer, or none from a manager."""
        procedure = f"{self.site.address_root}.{self.site.manager_id}.ops"
        body = json.dumps({"procedure": procedure, "args": args, "kwargs": {}})
        reply = self.post(body.encode(), timeout)
        return None if reply is None or "error" in reply else reply["args"][0]

    def post(self, body: bytes, timeout: float = 5.0) -> dict[str, Any] | None:
        """Send bytes to the router's HTTP bridge."""
        line = http.client.HTTPConnection("127.0.0.1", self.router.port, timeout=timeout)
        try:
            line.request("POST", "/call", body, {"Content-Type": "application/json"})
            reply = json.loads(line.getresponse().read())
        except (OSError, http.client.HTTPException, ValueError):
            return None
        finally:
            line.close()
        return reply if isinstance(reply, dict) else None

    def answers(self, patience: float = 15.0) -> bool:
        """Wait until the manager answers clients; False when the router is out of order."""
        if "router" in self.hurt:
            return False
        self.need_manager()
        return self.wait(lambda: self.shown() is not None, patience)

    def shown(self) -> States | None:
        """`child_states` by instance-id; None: no answer."""
        answer = self.call("status", "manager", timeout=3.0)
        session = answer[2] if answer else None
        if not session or session.get("status") != "running":
            return None
        states = (session.get("data") or {}).get("child_states")
        return None if states is None else {child["instance_id"]: child for child in states}

    def told_to_end_since(self, begun: float) -> list[tuple[str, int]]:
        """Agents that the manager told to end since then: they note their signals themselves.

        Those that had been told before by a fault, or died of something else, do not count.
        """
        return [
            (name, signal.pid)
            for name in STEADY
            if name not in PATIENT  # it may have been in the middle of it
            for signal in self.site.signals(name)
            if signal.at > begun
        ]

    # --- operators --------------------------------------------------------------------------

    def tell(self, requests: list[tuple[str, str]]) -> bool:
        """Set targets; returns whether that was answered with success."""
        targets: dict[str, str] = {}
        for name, target in requests:
            targets |= dict.fromkeys(AGENTS if name == "all" else [name], target)
        self.words.asked(targets)
        ok = self.update(requests=requests)
        if ok:
            self.words.answered(targets, self._is_kept(targets))
        return ok

    def update(self, **params: Any) -> bool:
        """Start `update` and wait for its end; returns whether it was a success."""
        begun = self.call("start", "update", params, timeout=20.0)
        if begun is None or begun[0] != 0:
            return False
        done = self.call("wait", "update", None, 20, timeout=25.0)
        return bool(done and done[0] == 0 and done[2].get("success"))

    def _is_kept(self, targets: dict[str, str]) -> bool:
        """Whether the words are on the disk: then they hold whatever happens."""
        if self.state_is_hurt():
            return False
        with contextlib.suppress(OSError, ValueError):
            text = (self.site.state_dir / "wanted.json").read_text()
            if targets.items() <= json.loads(text)["targets"].items():
                return True
        self.seen["words answered before they were on the disk"] += 1
        return False

    def doubt_words(self) -> None:
        """Somebody meddles with the state folder: what is kept there may be lost."""
        read = self.run is not None and time.monotonic() > self.run.begun + BEGINNING
        self.words.doubt(read=read)

    def state_is_hurt(self) -> bool:
        """Whether somebody meddles with the state folder at present."""
        return any(name.startswith("state") for name in self.hurt)

    # --- what has to hold -------------------------------------------------------------------

    def check(self) -> None:
        """Raise if something was seen that must not be.

        Raises:
            ViolationError: It says what.
        """
        if self._problems:
            raise ViolationError("; ".join(dict.fromkeys(self._problems)))
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
            if not (run.poor and any(word in raised for word in WANT)):
                raise ViolationError(f"a traceback in the log of the manager: {raised}: {run.log}")
            self.seen[f"tracebacks, while the manager was poor: {raised[:60]}"] += 1

    def _observe_always(self) -> None:
        while not self._ends.wait(PAUSE):
            if "router" not in self.hurt:
                try:
                    self._observe()
                except Exception as error:  # a fault of ours must not go unseen
                    self._problems.append(f"the observer failed: {error!r}")

    def _observe(self) -> tuple[States, list[Living]] | None:
        """Ask what is shown, and compare it with whatever was alive all the while."""
        begun = time.monotonic()
        states = self.shown()
        if states is None:
            return None
        alive = self.eyes.alive_through(begun)
        for living in alive:
            problem = _contradiction(living, states.get(living.instance_id))
            if problem:
                self._problems.append(problem)
        self.seen["looks at what is shown"] += 1
        return states, alive

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
        begun, reasons = time.monotonic(), [""]

        def reached() -> bool:
            missing = self._missing()
            if missing is not None:
                reasons.append(f"{time.monotonic() - begun:.1f} s: {missing}")
            return missing is None

        if not self.wait(reached, bound):
            raise ViolationError(f"not within {bound:g} s: {reasons[-1]}")
        if time.monotonic() - begun > SLOW:
            self.slow.append(reasons[-1])
        self.check()

    def _missing(self) -> str | None:
        """What is not as it should be; None: nothing."""
        seen = self._observe()
        if seen is None:
            return "an answer of the manager"
        states, alive = seen
        if states.keys() != AGENTS.keys():
            return f"all instances, and no other, to be shown: {sorted(states)}"
        leaders = {living.instance_id: living.pid for living in alive if living.leads}
        for name, child in states.items():
            mine = [living for living in alive if living.instance_id == name]
            reason = self._missing_of(name, child, leaders.get(name), mine)
            if reason:
                return f"{name}: {reason}; shown {_brief(child)}, alive {[m.pid for m in mine]}"
        return self._strangers(alive)

    def _missing_of(
        self, name: str, child: dict[str, Any], leader: int | None, mine: list[Living]
    ) -> str | None:
        if not self.words.accepts(name, child["target_state"]):
            return f"the target to be {' or '.join(self.words.may[name])}"
        if name in PATIENT and child["next_action"] == "wait_dead" and child["message"]:
            return None  # it is being ended, and that is said
        if child["target_state"] == "down":
            return None if child["next_action"] == "down" and not mine else "it to be down"
        if name in CRASHERS and child["next_action"] in ("start_at", "wait_start"):
            obstacle = child["next_attempt_at"] or child["next_action"] == "wait_start"
            return None if obstacle and child["last_exit"] else "its obstacle to be shown"
        if child["next_action"] != "up" or leader is None or child["pid"] != leader:
            return "it to be up, with the pid that is alive"
        return None

    def _strangers(self, alive: list[Living]) -> str | None:
        """Agents that carry no mark, or others without a leader, found in another way."""
        known = {living.pid for living in alive}
        found = {p.pid for p in processes(self.site) if p.kind in ("agent", "grandchild")}
        now = {living.pid for living in self.eyes.alive()}
        odd = [pid for pid in found - known - now if Path(f"/proc/{pid}").exists()]
        return f"no processes that the manager does not know: {odd}" if odd else None

    # --- the end ----------------------------------------------------------------------------

    def end(self) -> None:
        """SIGTERM leaves nothing."""
        run = self.need_manager()
        run.process.send_signal(signal.SIGTERM)
        self.ended(0)
        left = self.eyes.alive()
        if left:
            raise ViolationError(f"SIGTERM left {[(x.instance_id, x.pid) for x in left]}")
        others: list[Any] = []

        def all_gone() -> bool:
            others[:] = processes(self.site)
            return not others

        if not self.wait(all_gone, 5.0):
            raise ViolationError(f"SIGTERM left {others}")
        self.check()


def _contradiction(living: Living, child: dict[str, Any] | None) -> str | None:
    """What is wrong with an answer, given during the whole of which this process was alive."""
    who = f"{living.instance_id}, pid {living.pid}"
    if child is None:
        return f"{who} is alive, and the manager does not know of it"
    if child["next_action"] == "down":
        return f"{who} is alive and shown down: {_brief(child)}"
    if not living.leads:
        return None
    if child["next_action"] in ("start_at", "?"):
        return f"{who} is alive, and shown {_brief(child)}"
    if child["next_action"] == "up" and child["pid"] != living.pid:
        return f"{who} is alive, and another is shown: {_brief(child)}"
    return None


def _brief(child: dict[str, Any]) -> str:
    keys = ("target_state", "next_action", "pid", "next_attempt_at", "message", "last_exit")
    return str({key: child[key] for key in keys if child[key] is not None})


def _mount(folder: Path) -> bool:
    """A small file system for the agents' output, if we may."""
    if os.getuid() != 0:
        return False
    command = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder)]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0
