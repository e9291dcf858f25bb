"""Faults of the log daemon, which takes agents' output from pipes to files."""

import contextlib
import os
import signal
from random import Random

from tests.faults.environment import World
from tests.faults.fault_registry import NotNowError, kind
from tests.support.processes import processes


def _log_daemons(world: World) -> list[int]:
    pids = [process.pid for process in processes(world.site) if process.kind == "log daemon"]
    if not pids:
        raise NotNowError
    return pids


@kind("log daemon killed", 3)
def killed(world: World, _rng: Random) -> str:
    world.log_daemon_killed()
    pids = _log_daemons(world)
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return f"pid {pids}"


@kind("log daemon frozen", 2)
def frozen(world: World, _rng: Random) -> str:
    pids = _log_daemons(world)
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)

    def thaw() -> None:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    world.active_faults["log daemon"] = thaw
    return f"pid {pids}"
