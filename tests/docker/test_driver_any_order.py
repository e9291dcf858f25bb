"""Operators, other people and the engine at once, in an order that a seed decides.

Whatever they do, in the end each service is as it was told last; at no time did two containers of
one service run, and nobody else's was touched. `HM_TEST_SEEDS=20` tries more.
"""

import asyncio
import os
from random import Random

import pytest

from tests.docker.hosts import HostUnderTest, running
from tests.support.engine_projects import service

SEEDS = [int(s) for s in os.environ.get("HM_TEST_SEEDS", "1,2,3").split(",")]
MANAGED = ("a", "b", "c")
DEAF = ["sh", "-c", "trap '' TERM; while :; do sleep 1; done"]
SHORT = ["sh", "-c", "trap 'exit 0' TERM; sleep 0.7 & wait; exit 5"]

BY_HAND = ("kill", "stop", "start", "restart", "pause", "unpause", "rm", "up")


async def by_hand(host: HostUnderTest, what: str, name: str) -> None:
    """Somebody with a shell; it may fail, as it does in life."""
    if what == "up":
        await host.do(host.project.compose, "up", "-d", f"ocs-{name}", check=False)
        return
    for container in await host.do(host.project.containers, f"ocs-{name}"):
        await host.docker(*(("rm", "-f") if what == "rm" else (what,)), container, check=False)


@pytest.mark.parametrize("seed", SEEDS)
async def test_in_the_end_all_is_as_it_was_told_last(seed, own_engine, make_project):
    random = Random(seed)
    project = make_project(own_engine)
    restarts = service(command=SHORT, restart="always")
    project.write({
        "ocs-a": service(),
        "ocs-b": service(command=DEAF),
        "ocs-c": restarts,
        "other": service(),
    })  # fmt: skip
    await asyncio.to_thread(project.up, "other")
    told = dict.fromkeys(MANAGED, "up")
    done = []
    async with running(project, *MANAGED) as host:
        hands: list[asyncio.Task[None]] = []
        for _ in range(30):
            name = random.choice(MANAGED)
            act = random.choice(("told", "told", "hand", "hand", "freeze", "cut"))
            if act == "told":
                told[name] = random.choice(("up", "down"))
                host.told((name, told[name]))
                done.append(f"{name} {told[name]}")
            elif act == "hand":
                what = random.choice(BY_HAND)
                hands.append(asyncio.ensure_future(by_hand(host, what, name)))
                done.append(f"{what} {name}")
            elif act == "freeze":
                await host.do(own_engine.freeze)
                await asyncio.sleep(random.choice((0.1, 0.5, 5.0)))
                await host.do(own_engine.thaw)
                done.append("freeze")
            elif host.dockers.sight.engine is not None:
                connector = host.dockers.sight.engine._docker.session.connector
                for connection in list(connector._acquired):
                    if connection.transport is not None:
                        connection.transport.abort()
                done.append("cut")
            await asyncio.sleep(random.choice((0, 0, 0.05, 0.3)))
        await asyncio.gather(*hands)
        print(seed, "; ".join(done))
        for name, target in told.items():
            if target == "down":
                await host.until(f"{name} down, {done}", lambda n=name: gone(host, n))
            else:
                await host.until(f"{name} up, {done}", lambda n=name: is_up(host, n))
        await host.row("other", next_action="up", target_state="passive")
        assert host.count("die", "other") == 0
        assert len(await host.do(project.containers, "other")) == 1


def gone(host: HostUnderTest, name: str) -> bool:
    """Whether it is shown down and has no container."""
    shown = host.shown()[name]["next_action"] == "down"
    return shown and not host.project.containers(f"ocs-{name}")


def is_up(host: HostUnderTest, name: str) -> bool:
    """Whether it is shown up, and exactly that container runs."""
    row = host.shown()[name]
    ids = host.project.containers(f"ocs-{name}")
    state = host.engine.state(ids[0]) if len(ids) == 1 else ""
    return row["next_action"] == "up" and row["container"]["id"] == ids[0] and state == "running"
