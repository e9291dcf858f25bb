"""Faults of the scribe, which takes agents' output from pipes to files."""

import contextlib
import os
import signal
from random import Random

from tests.faults.environment import World
from tests.faults.fault_registry import NotNowError, kind
from tests.support.processes import processes


def _scribes(world: World) -> list[int]:
    pids = [process.pid for process in processes(world.site) if process.kind == "scribe"]
    if not pids:
        raise NotNowError
    return pids


@kind("scribe killed", 3)
def killed(world: World, _rng: Random) -> str:
    world.scribe_killed()
    pids = _scribes(world)
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return f"pid {pids}"


@kind("scribe frozen", 2)
def frozen(world: World, _rng: Random) -> str:
    pids = _scribes(world)
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)

    def thaw() -> None:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    world.hurt["scribe"] = thaw
    return f"pid {pids}"
