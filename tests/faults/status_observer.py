"""Asks the manager what it shows, all the time, and compares it with what is alive.

`ProcessObserver` looks at /proc; this compares each answer of the manager with whatever was alive all the
while that the answer was given, and the lines that agents wrote with those that were kept.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Self

from tests.faults import invariants
from tests.faults.agents import COUNTED
from tests.faults.calls import Calls, States
from tests.faults.expected_targets import ExpectedTargets
from tests.faults.output_lines import Lines
from tests.faults.process_observer import Living, ProcessObserver
from tests.support.sites import Site

PAUSE = 0.2
"""Seconds between two looks at what is shown, while faults go on."""


class StatusObserver:
    """A context manager that watches a site.

    Attributes:
        process_observer: What is alive.
        lines: What was printed.
        seen: Things worth counting that are no violations.
        problems: What was seen that must not be, in sentences.
    """

    def __init__(
        self,
        site: Site,
        output: str,
        calls: Calls,
        words: ExpectedTargets,
        may_ask: Callable[[], bool],
    ) -> None:
        self.problems: list[str] = []
        self.seen: Counter[str] = Counter()
        self.process_observer = ProcessObserver(site, self.problems.append)
        directory, counts = site.directory / output, site.working_dir / "counts"
        self.lines = {n: Lines(directory, counts, n, self.problems.append) for n in COUNTED}
        self._site = site
        self._calls = calls
        self._words = words
        self._may_ask = may_ask
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run, name="witness", daemon=True)

    def __enter__(self) -> Self:
        self.process_observer.__enter__()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        self._thread.join()
        self.process_observer.__exit__()

    def missing(self) -> str | None:
        """What is not as it should be once nothing stands in the way; None: nothing."""
        started = time.monotonic()
        seen = self._observe()
        if seen is None:
            return "an answer of the manager"
        states, alive = seen
        leaders = self.process_observer.leaders_since(started)
        return (
            invariants.missing(states, alive, leaders, self._words)
            or self.missing_lines()
            or invariants.strangers(self._site, self.process_observer, alive)
        )

    def note_lines(self) -> None:
        """Take down what was written up to now, for `missing`."""
        leaders = self.process_observer.leaders()
        for name, lines in self.lines.items():
            lines.note(alive=name in leaders)

    def missing_lines(self) -> str | None:
        """Which lines that were noted are not in the files (yet)."""
        for name, lines in self.lines.items():
            if reason := lines.missing():
                return f"{name}: {reason}"
        return None

    def _run(self) -> None:
        while not self._ends.wait(PAUSE):
            if self._may_ask():
                try:
                    self._observe()
                except Exception as error:  # a fault of ours must not go unseen
                    self.problems.append(f"the witness failed: {error!r}")

    def _observe(self) -> tuple[States, list[Living]] | None:
        """Ask what is shown, and compare it with whatever was alive all the while."""
        started = time.monotonic()
        states = self._calls.shown()
        if states is None:
            return None
        alive = self.process_observer.alive_through(started)
        for living in alive:
            problem = invariants.contradiction(living, states.get(living.instance_id))
            if problem:
                self.problems.append(problem)
        self.seen["looks at what is shown"] += 1
        return states, alive
