"""Faults of the manager itself: killed at any moment, frozen, replaced, beside a second one,
and with too few file descriptors, processes or too little memory."""

import contextlib
import os
import re
import resource
import signal
import socket
import time
from pathlib import Path
from random import Random

from tests.faults.agents import AGENTS, STEADY
from tests.faults.environment import World
from tests.faults.fault_registry import NotNowError, kind
from tests.faults.invariants import ViolationError
from tests.faults.managers import Run


@kind("manager killed", 10)
def killed(world: World, rng: Random) -> str:
    world.need_manager()
    time.sleep(rng.random() * 0.05)  # at any moment
    world.kill_manager()
    if rng.random() < 0.4:
        return "and not started yet"
    world.start()
    return "and started"


@kind("manager killed while it starts", 8)
def killed_starting(world: World, rng: Random) -> str:
    world.kill_manager()
    run, delay = world.start(), rng.choice([rng.random(), rng.random() * 0.45])
    time.sleep(delay)  # at any moment
    if not run.running():
        world.check()
    world.kill_manager()
    return f"{delay:.3f} s after its start"


@kind("manager killed right after a request", 8)
def killed_asked(world: World, rng: Random) -> str:
    if not world.answers():
        raise NotNowError
    name = rng.choice(["all", *AGENTS, *AGENTS])
    target = rng.choice(["up", "up", "down"])
    delay = rng.choice([0.0, rng.random() * 0.02, rng.random() * 0.3])
    world.expected_targets.asked(dict.fromkeys(AGENTS if name == "all" else [name], target))
    with _asked(world, {"requests": [[name, target]]}):
        time.sleep(delay)  # at any moment
        world.kill_manager()
    return f"update({name}, {target}), {delay * 1000:.0f} ms"


@contextlib.contextmanager
def _asked(world: World, params: dict):
    """A request of which nobody waits for the answer."""
    body = world.calls.body("start", "update", params)
    head = f"POST /call HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
    head += "Content-Type: application/json\r\n\r\n"
    with socket.create_connection(("127.0.0.1", world.router.port), 5) as line:
        line.sendall(head.encode() + body)
        yield


@kind("manager frozen", 4)
def frozen(world: World, rng: Random) -> str:
    pid, length = world.need_manager().pid, 0.1 + rng.random() * 1.2
    os.kill(pid, signal.SIGSTOP)
    name = rng.choice(STEADY)
    if rng.random() < 0.5:
        _kill(world, name)
    time.sleep(length)  # so long it is frozen
    os.kill(pid, signal.SIGCONT)
    return f"for {length:.1f} s"


@kind("second manager beside the first", 3)
def second(world: World, _rng: Random) -> str:
    first = world.need_manager()
    time.sleep(0.3)  # it may still be about to claim its id
    if not world.wait(lambda: _has_claimed(first), 10):
        raise NotNowError
    other = world.make_run()
    try:
        code = other.process.wait(60)
    finally:
        other.process.kill()
        other.process.wait()
    output = "\n".join(other.lines())
    if code != 2 or f"pid {first.pid}" not in output:
        raise ViolationError(
            f"a second manager ended with {code} and did not name pid {first.pid}: {output}"
        )
    return f"exit 2, named pid {first.pid}"


def _has_claimed(run: Run) -> bool:
    """Whether it listens at its name, as the kernel tells."""
    inodes = set()
    with contextlib.suppress(OSError):
        for entry in Path(f"/proc/{run.pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                inodes.update(re.findall(r"socket:\[(\d+)\]", str(entry.readlink())))
    for line in Path("/proc/net/unix").read_text(errors="replace").splitlines():
        if "@ocs-hostmanager/" in line and line.split()[6] in inodes:
            return True
    return False


@kind("manager told to end, and started again", 1.5)
def ended(world: World, rng: Random) -> str:
    if not world.answers():
        raise NotNowError
    run = world.need_manager()
    if rng.random() < 0.8:  # else it takes 6 s
        _kill(world, "very-stubborn")
    run.process.send_signal(signal.SIGTERM)
    world.ended(0)
    if left := world.process_observer.alive():
        raise ViolationError(f"SIGTERM left {[(x.instance_id, x.pid) for x in left]}")
    if world.state_has_fault():
        world.doubt_words()
    world.expected_targets.ended()
    return ""


@kind("manager died, agents disowned", 2)
def disowned(world: World, _rng: Random) -> str:
    if world.active_faults or not world.answers():
        raise NotNowError
    world.settle()
    started = time.monotonic()
    world.call("start", "die", {"disown": True})
    world.ended(0, 10)
    world.expected_targets.ended()
    if stopped := world.told_to_end_since(started):
        raise ViolationError(f"die(disown=True) ended {stopped}")
    return f"{len(world.process_observer.leaders())} agents left"


# --- limits ------------------------------------------------------------------------------------


def _limit(world: World, which: int, soft: int, name: str) -> None:
    """Lower a limit of the manager; it is restored at the end of the round, if it lives."""
    if name in world.active_faults:
        raise NotNowError
    run = world.need_manager()
    before, hard = resource.prlimit(run.pid, which)
    run.poor = True
    resource.prlimit(run.pid, which, (soft, hard))

    def undo() -> None:
        if run.running():
            resource.prlimit(run.pid, which, (before, hard))

    world.active_faults[name] = undo


def _disturb(world: World, rng: Random) -> None:
    """Something for the manager to do: an agent dies."""
    _kill(world, rng.choice(STEADY))


def _kill(world: World, name: str) -> None:
    """Kill an agent, if it is alive."""
    if name in (leaders := world.process_observer.leaders()):
        with contextlib.suppress(ProcessLookupError):
            os.kill(leaders[name], signal.SIGKILL)


@kind("manager without file descriptors", 3)
def descriptors(world: World, rng: Random) -> str:
    run = world.need_manager()
    if not world.answers():
        raise NotNowError
    more = rng.choice([0, 1, 2, 4, 8])
    used = max(int(p.name) for p in Path(f"/proc/{run.pid}/fd").iterdir()) + 1
    _limit(world, resource.RLIMIT_NOFILE, used + more, "descriptors")
    _disturb(world, rng)
    return f"{more} left"


@kind("manager without memory", 3)
def memory(world: World, rng: Random) -> str:
    run = world.need_manager()
    if not world.answers():
        raise NotNowError
    more = rng.choice([0, 1, 4, 16, 64]) * 2**20
    pages = int(Path(f"/proc/{run.pid}/statm").read_text().split()[0])
    _limit(world, resource.RLIMIT_AS, pages * resource.getpagesize() + more, "memory")
    _disturb(world, rng)
    return f"{more >> 20} MB left"


def _no_process_limit(world: World) -> str:
    return world.processes.impossible


@kind("manager without processes", 3, _no_process_limit)
def no_processes(world: World, rng: Random) -> str:
    if "processes" in world.active_faults or not world.answers():
        raise NotNowError
    run, more = world.need_manager(), rng.choice([0, 0, 1, 2, 5])
    run.poor = True
    world.active_faults["processes"] = world.processes.impose(run.pid, more)
    _disturb(world, rng)
    return f"{more} left"
