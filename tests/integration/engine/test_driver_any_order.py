"""Operators, other people, the engine and the manager's own ends, in an order that a seed decides.

Whatever happens, in the end each service is as it was requested last; at no time did two containers of
one service run, and nobody else's was touched. `HM_TEST_SEEDS=20,21` tries others,
which takes time, so that there are two of them here.
"""

import asyncio
import os
import re
from collections.abc import Awaitable, Callable
from random import Random

import pytest

from tests.integration.engine.hosts import HostUnderTest, running
from tests.support.engine_projects import Project, service

SEEDS = [int(s) for s in os.environ.get("HM_TEST_SEEDS", "1,2").split(",")]
MANAGED = ("a", "b", "c")
DEAF = ["sh", "-c", "trap '' TERM; while :; do sleep 1; done"]
SHORT = ["sh", "-c", "trap 'exit 0' TERM; sleep 0.7 & wait; exit 5"]
SERVICES = {
    "ocs-a": service(),
    "ocs-b": service(command=DEAF),
    "ocs-c": service(command=SHORT, restart="always"),
    "other": service(restart="always"),
}
BY_HAND = ("kill", "stop", "start", "restart", "pause", "unpause", "rm", "up")
ACTS_IN_ROUND = 15


class World:
    """What happens to one project, and what was wanted last."""

    def __init__(self, seed: int, project: Project) -> None:
        self.random = Random(seed)
        self.project = project
        self.engine = project.engine
        self.requested = dict.fromkeys(MANAGED, "up")
        self.done: list[str] = []
        self.managers = 1
        self.hands: list[asyncio.Task[None]] = []

    async def something(self, host: HostUnderTest, *more: str) -> None:
        """Let one thing happen, and perhaps some time pass."""
        act = self.random.choice(
            ("request", "request", "by_hand", "by_hand", "freeze", "cut", *more)
        )
        result: Callable[[HostUnderTest], Awaitable[str]] = getattr(self, act)
        self.done.append(await result(host))
        await asyncio.sleep(self.random.choice((0, 0, 0.05, 0.3)))  # at any moment

    async def request(self, host: HostUnderTest) -> str:
        name = self.random.choice(MANAGED)
        self.requested[name] = self.random.choice(("up", "down"))
        host.set_targets((name, self.requested[name]))
        return f"{name} {self.requested[name]}"

    async def by_hand(self, host: HostUnderTest) -> str:
        what, name = self.random.choice(BY_HAND), self.random.choice(MANAGED)
        self.hands.append(asyncio.ensure_future(self._shell(host, what, name)))
        return f"{what} {name}"

    async def _shell(self, host: HostUnderTest, what: str, name: str) -> None:
        """Somebody with a shell; it may fail, as it does in life."""
        if what == "up":
            await host.do(self.project.compose, "up", "-d", f"ocs-{name}", check=False)
            return
        for container in await host.do(self.project.containers, f"ocs-{name}"):
            await host.docker(*(("rm", "-f") if what == "rm" else (what,)), container, check=False)

    async def freeze(self, host: HostUnderTest) -> str:
        await host.do(self.engine.freeze)
        await asyncio.sleep(self.random.choice((0.1, 0.5, 5.0)))  # at any moment
        await host.do(self.engine.thaw)
        return "freeze"

    async def cut(self, host: HostUnderTest) -> str:
        if host.backend.watcher.engine is not None:
            for connection in list(host.backend.watcher.engine._docker.session.connector._acquired):
                if connection.transport is not None:
                    connection.transport.abort()
        return "cut"

    async def end_engine(self, host: HostUnderTest) -> str:
        await asyncio.gather(*self.hands, return_exceptions=True)
        how = self.random.choice((self.engine.kill, self.engine.stop))
        await host.do(how)
        await asyncio.sleep(self.random.choice((0, 0.3, 1.0)))  # at any moment
        await host.do(self.engine.start)
        return f"{how.__name__} the engine"

    async def settled(self, host: HostUnderTest) -> None:
        """Wait until all is as it was requested last."""
        await asyncio.gather(*self.hands, return_exceptions=True)
        for name, target in self.requested.items():
            fits = self.is_up if target == "up" else self.is_down
            await host.until(
                f"{name} {target} after {self.done}", lambda n=name, f=fits: f(host, n)
            )
        await host.row("other", next_action="up", target_state="passive")

    def is_down(self, host: HostUnderTest, name: str) -> bool:
        shown = host.shown()[name]["next_action"] == "down"
        ids = self.project.containers(f"ocs-{name}")
        if self.managers > 1:  # what the one before had stopped when it died may be there, dead
            ids = [c for c in ids if self.engine.state(c) not in ("exited", "created")]
        return shown and not ids

    def is_up(self, host: HostUnderTest, name: str) -> bool:
        row, ids = host.shown()[name], self.project.containers(f"ocs-{name}")
        if remedy := re.search("`docker rm -f ([^`]+)` helps", row["message"]):
            self.engine.docker("rm", "-f", remedy[1])
        running = len(ids) == 1 and self.engine.state(ids[0]) == "running"
        return row["next_action"] == "up" and row["container"]["id"] == ids[0] and running


@pytest.mark.parametrize("seed", SEEDS)
async def test_in_the_end_all_is_as_it_was_requested_last(seed, own_engine, make_project):
    project = make_project(own_engine)
    project.write(SERVICES)
    await asyncio.to_thread(project.up, "other")
    world = World(seed, project)
    for _ in range(2):  # the second manager comes after an unclean end of the first
        async with running(project, *MANAGED) as host:
            for _ in range(ACTS_IN_ROUND):
                await world.something(host)
            assert host.count("die", "other") == host.count("create", "other") == 0
        world.managers += 1
    async with running(project, *MANAGED) as host:
        await world.settled(host)


@pytest.mark.parametrize("live", [True, False])
@pytest.mark.parametrize("seed", SEEDS[:1])
async def test_nor_does_the_end_of_the_engine_change_that(seed, live, make_engine, make_project):
    engine = make_engine("--live-restore") if live else make_engine()
    project = make_project(engine)
    project.write(SERVICES)
    await asyncio.to_thread(project.up, "other")
    other = await asyncio.to_thread(project.container, "other")
    world = World(seed, project)
    async with running(project, *MANAGED, watched=False) as host:
        for _ in range(ACTS_IN_ROUND):
            await world.something(host, "end_engine")
        await world.settled(host)
        assert await host.container("other") == other
