"""Where experiments are done: one router, and managers with their sites, started and ended."""

import contextlib
import random
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import requests
from tests.support.managers import Manager
from tests.support.processes import kill_all, processes
from tests.support.sites import Site, instance
from tests.support.waiting import wait_for

from bench.model import OURS
from hostmanager.testing.crossbar_router import CrossbarRouter

WAIT_TIMEOUT = 60.0  # seconds for anything that should happen


class Harness:
    """A context manager: it has a router, and leaves nothing behind.

    Attributes:
        quick: Few samples.
        router: The one router, a real crossbar.
        directory: Everything is in here; removed at the end.
        step: Called with a text as the work goes on, for the progress display.
    """

    def __init__(self, *, quick: bool, step: Callable[[str], None]) -> None:
        self.quick = quick
        self.step = step
        self.directory = Path(tempfile.mkdtemp(prefix="hostmanager-bench-"))
        self.router = CrossbarRouter(self.directory / "router")
        self._random = random.Random(1)
        self._sites = 0

    def __enter__(self) -> Self:
        try:
            self.router.start()
        except BaseException:
            shutil.rmtree(self.directory, ignore_errors=True)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.router.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def count(self, kind: str) -> int:
        """How many samples of a latency: ours is fast, so it gives more."""
        if self.quick:
            return 20 if kind == OURS else 5
        return 100 if kind == OURS else 30

    def pause(self) -> None:
        """Up to a second at random, so that no sample is in step with somebody's tick."""
        time.sleep(self._random.random())

    @contextlib.contextmanager
    def running(
        self,
        kind: str,
        entries: Iterable[dict[str, Any]],
        *,
        ready: bool = True,
        options: Sequence[str] = (),
        surroundings: Mapping[str, str] | None = None,
        prepare: Callable[[Site], object] = lambda _: None,
    ) -> Iterator["Run"]:
        """Start a manager with a site of its own; in the end, kill all of it.

        Args:
            kind: Which manager.
            entries: Its instances.
            ready: Whether to wait until it answers.
            options: Further ones, as the site file gives them to the manager.
            surroundings: Variables added to its environment.
            prepare: Called before it is started.
        """
        self._sites += 1
        directory = self.directory / f"site{self._sites}"
        site = Site(directory, self.router, manager_arguments=tuple(options))
        site.write(*entries)
        prepare(site)
        started = time.monotonic()
        run = Run(site, Manager(site, kind=kind, surroundings=surroundings), started)
        try:
            if ready:
                run.manager.wait_ready(WAIT_TIMEOUT)
            yield run
        finally:
            run.close()
            shutil.rmtree(site.directory, ignore_errors=True)


class Run:
    """One manager at work.

    Attributes:
        site: Its site.
        manager: Its process.
        started: When it was launched, on the monotonic clock.
    """

    def __init__(self, site: Site, manager: Manager, started: float) -> None:
        self.site = site
        self.manager = manager
        self.started = started
        self._http = requests.Session()
        self._http.trust_env = False  # looks for proxies, at each request, otherwise

    def close(self) -> None:
        """Kill the manager and everything of its site."""
        self._http.close()
        self.manager.kill()
        kill_all(self.site)

    def update(self, instance_id: str, target: str) -> None:
        """Send a request to the manager, over the kept connection."""
        status, message, _ = self._call("start", "update", {"requests": [[instance_id, target]]})
        assert status == 0, f"update({instance_id}, {target}) was refused: {message}"

    def reload(self) -> None:
        """Have the manager read the site config again."""
        status, message, _ = self._call("start", "update", {"reload_config": True})
        assert status == 0, f"reload was refused: {message}"

    def children(self) -> dict[str, dict[str, Any]]:
        """`child_states` now, by instance-id."""
        session = self._call("status", "manager", {})[2] or {}
        children = (session.get("data") or {}).get("child_states", [])
        return {child["instance_id"]: child for child in children}

    def wait_states(self, expected: dict[str, str]) -> None:
        """Return when clients are shown these states; polls every 0.1 s."""

        def all_shown() -> bool:
            shown = self.children()
            return all(shown.get(key, {}).get("next_action") == expected[key] for key in expected)

        wait_for(all_shown, WAIT_TIMEOUT, f"{len(expected)} states", self.children, every=0.1)

    def time_until(self, instance_id: str, condition: Callable[[dict[str, Any]], bool]) -> float:
        """Return the moment when clients are shown it; polls without a pause."""
        deadline = time.monotonic() + WAIT_TIMEOUT
        while time.monotonic() < deadline:
            child = self.children().get(instance_id)
            if child is not None and condition(child):
                return time.monotonic()
        msg = f"{instance_id} was not shown so within {WAIT_TIMEOUT:g} s: {child}"
        raise AssertionError(msg)

    def answers(self, instance_id: str) -> bool:
        """Whether an agent answers: then it has registered with the router."""
        procedure = f"{self.site.address_root}.{instance_id}"
        call = {"procedure": procedure, "args": ["get_tasks"], "kwargs": {}}
        reply = self._http.post(self.site.router.http, json=call, timeout=WAIT_TIMEOUT).json()
        return "error" not in reply

    def launched(self, instance_id: str, times: int) -> int:
        """Wait for the n-th launch of the instance: the agent's pid, set up and waiting."""
        launches = wait_for(
            lambda: self.site.launches(instance_id)[times - 1 :],
            WAIT_TIMEOUT,
            f"launch {times} of {instance_id}",
        )
        time.sleep(0.05)  # its signal handlers are set right after the note
        pid: int = launches[0].pid
        return pid

    def all_launched(self, ids: Iterable[str], timeout: float = 2 * WAIT_TIMEOUT) -> dict[str, int]:
        """Wait until each of these has noted its launch: their pids."""
        ids = list(ids)
        directory = self.site.working_dir / "launches"
        wait_for(
            lambda: len(list(directory.glob("*"))) >= len(ids),
            timeout,
            f"{len(ids)} agents",
            lambda: f"{len(list(directory.glob('*')))} of them",
            every=0.02,
        )
        time.sleep(0.05)
        return {key: self.site.launches(key)[-1].pid for key in ids}

    def manager_pids(self) -> list[int]:
        """List the manager and its helpers: all processes of the site but agents."""
        kinds = ("agent", "grandchild")
        return [process.pid for process in processes(self.site) if process.kind not in kinds]

    def _call(self, action: str, operation: str, params: dict[str, Any]) -> list[Any]:
        procedure = f"{self.site.address_root}.{self.site.manager_id}.ops"
        call = {"procedure": procedure, "args": [action, operation, params], "kwargs": {}}
        reply = self._http.post(self.site.router.http, json=call, timeout=WAIT_TIMEOUT).json()
        if "error" in reply:
            msg = f"{action} {operation}: {reply['error']} {reply.get('args')}"
            raise AssertionError(msg)
        reply_value: list[Any] = reply["args"][0]
        return reply_value


def agents(count: int, *arguments: object, name: str = "a", **keys: object) -> list[dict[str, Any]]:
    """Entries for that many tiny agents: a0, a1, ..."""
    return [instance(f"{name}{number}", *arguments, **keys) for number in range(count)]


def ids(entries: Iterable[dict[str, Any]]) -> list[str]:
    """Their instance-ids."""
    return [entry["instance-id"] for entry in entries]
