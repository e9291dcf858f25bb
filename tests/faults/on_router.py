"""Faults of the router: killed, frozen, flapping, replaced by another on the same port."""

import time
from random import Random

from hostmanager.testing.crossbar_router import CrossbarRouter
from tests.faults.environment import World
from tests.faults.fault_registry import NotNowError, kind


def _working(world: World) -> CrossbarRouter:
    if "router" in world.active_faults:
        raise NotNowError
    return world.router


@kind("router killed", 1)
def killed(world: World, _rng: Random) -> str:
    router = _working(world)
    world.active_faults["router"] = world.start_router
    router.kill()
    return ""


@kind("router frozen", 3)
def frozen(world: World, _rng: Random) -> str:
    router = _working(world)
    world.active_faults["router"] = router.resume
    router.suspend()
    return ""


@kind("router flapping", 0.4)
def flapping(world: World, rng: Random) -> str:
    router, times = _working(world), rng.randint(2, 3)
    world.active_faults["router"] = lambda: None
    for _ in range(times):
        router.kill()
        time.sleep(rng.random())
        world.start_router()
        time.sleep(rng.random())
    del world.active_faults["router"]
    return f"{times} times"


@kind("router replaced", 0.6)
def replaced(world: World, _rng: Random) -> str:
    old = _working(world)
    world.active_faults["router"] = lambda: None
    new = CrossbarRouter(
        old.directory.with_name(f"{old.directory.name}+"),
        port=old.port,
        realm=old.realm,
        address_root=old.address_root,
    )
    old.kill()
    world.router = new
    world.start_router()
    del world.active_faults["router"]
    return ""
