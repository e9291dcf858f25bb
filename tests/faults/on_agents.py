"""Faults of agents: killed, stopped, told to end behind the manager's back, many at once."""

import contextlib
import os
import signal
from random import Random

from tests.faults.agents import AGENTS
from tests.faults.environment import World
from tests.faults.fault_registry import NotNowError, kind

AGENT_NAMES = tuple(AGENTS)


def _send(world: World, name: str, number: signal.Signals) -> int:
    pid = world.process_observer.leaders().get(name)
    if pid is None:
        raise NotNowError
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
    return pid


@kind("agent killed (SIGKILL)", 14)
def killed(world: World, rng: Random) -> str:
    name = rng.choice(AGENT_NAMES)
    return f"{name}, pid {_send(world, name, signal.SIGKILL)}"


@kind("agent crashed (SIGSEGV)", 4)
def crashed(world: World, rng: Random) -> str:
    name = rng.choice(AGENT_NAMES)
    return f"{name}, pid {_send(world, name, signal.SIGSEGV)}"


@kind("agent told to end (SIGTERM)", 6)
def ended(world: World, rng: Random) -> str:
    name = rng.choice(AGENT_NAMES)
    return f"{name}, pid {_send(world, name, signal.SIGTERM)}"


@kind("agent interrupted (SIGINT)", 5)
def interrupted(world: World, rng: Random) -> str:
    name = rng.choice(AGENT_NAMES)
    return f"{name}, pid {_send(world, name, signal.SIGINT)}"


@kind("agent stopped (SIGSTOP)", 8)
def stopped(world: World, rng: Random) -> str:
    name = rng.choice(AGENT_NAMES)
    pid = _send(world, name, signal.SIGSTOP)

    def undo() -> None:
        if world.process_observer.leaders().get(name) == pid:
            os.kill(pid, signal.SIGCONT)

    if rng.random() < 0.7:  # else it stays so: it can be told up and down all the same
        world.active_faults[f"stopped {name} {pid}"] = undo
    return f"{name}, pid {pid}"


@kind("agent continued (SIGCONT)", 3)
def continued(world: World, rng: Random) -> str:
    name = rng.choice(AGENT_NAMES)
    return f"{name}, pid {_send(world, name, signal.SIGCONT)}"


@kind("several agents killed at once", 4)
def several(world: World, rng: Random) -> str:
    leaders = world.process_observer.leaders()
    chosen = [n for n in rng.sample(AGENT_NAMES, rng.randint(2, len(AGENTS))) if n in leaders]
    if not chosen:
        raise NotNowError
    for name in chosen:
        with contextlib.suppress(ProcessLookupError):
            os.kill(leaders[name], signal.SIGKILL)
    return ", ".join(chosen)


@kind("agent killed while no manager is there", 6)
def alone(world: World, rng: Random) -> str:
    world.kill_manager()
    name = rng.choice(AGENT_NAMES)
    return f"{name}, pid {_send(world, name, signal.SIGKILL)}"


@kind("what an agent started is killed", 4)
def grandchild(world: World, rng: Random) -> str:
    name = rng.choice(["fork", "leave"])
    mine = [x.pid for x in world.process_observer.alive() if x.instance_id == name and not x.leads]
    if not mine:
        raise NotNowError
    pid = rng.choice(sorted(mine))
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    return f"{name}, pid {pid}"
