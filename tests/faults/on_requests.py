"""Operators who ask for this and that, and clients who send anything, and much of it."""

import json
import os
import signal
import subprocess
import sys
from random import Random

from tests.faults.agents import AGENTS
from tests.faults.environment import World
from tests.faults.fault_registry import NotNowError, kind
from tests.faults.on_files import ODD

AGENT_NAMES = tuple(AGENTS)


def _answering(world: World) -> None:
    if not world.answers():
        raise NotNowError


@kind("operator: one up or down", 10)
def one(world: World, rng: Random) -> str:
    _answering(world)
    name, target = rng.choice(AGENT_NAMES), rng.choice(["up", "up", "down"])
    ok = world.tell([(name, target)])
    return f"{name} {target}: {ok}"


@kind("operator: several, up and down", 5)
def several(world: World, rng: Random) -> str:
    _answering(world)
    requests = [
        (rng.choice(AGENT_NAMES), rng.choice(["up", "down"])) for _ in range(rng.randint(2, 9))
    ]
    return f"{requests}: {world.tell(requests)}"


@kind("operator: all up or down", 3)
def everybody(world: World, rng: Random) -> str:
    _answering(world)
    requests = [("all", rng.choice(["up", "up", "down"]))]
    if requests[0][1] == "down" and rng.random() < 0.7:
        requests.append(("all", "up"))
    return f"{requests}: {world.tell(requests)}"


@kind("operator: reload, many at once", 3)
def reload_often(world: World, rng: Random) -> str:
    count = rng.randint(2, 6)
    pid = world.need_manager().pid
    if not world.answers():
        raise NotNowError
    for _ in range(count):
        os.kill(pid, signal.SIGHUP)
    return f"{count} times"


@kind("operator: another class for an agent", 3)
def other_class(world: World, rng: Random) -> str:
    _answering(world)
    name = rng.choice(AGENT_NAMES)
    old = world.classes[name]
    world.classes[name] = "OtherTinyAgent" if old == "TinyAgent" else "TinyAgent"
    world.expected_targets.reset([name], certain=False)
    world.write_site()
    world.unread_change = not world.update(reload_config=True)
    return f"{name}: {not world.unread_change}"


@kind("operator: an entry taken out and put back", 3)
def out_and_back(world: World, rng: Random) -> str:
    _answering(world)
    name = rng.choice(AGENT_NAMES)
    world.expected_targets.reset([name], certain=False)
    world.write_site(without=name)
    world.update(reload_config=True)
    world.write_site()
    world.unread_change = not world.update(reload_config=True)
    return name


@kind("operator: manager process stopped and started", 1)
def stopped(world: World, _rng: Random) -> str:
    if world.active_faults:
        raise NotNowError
    _answering(world)
    world.restart_process()
    return ""


@kind("client: odd ids and arguments", 8)
def odd_words(world: World, rng: Random) -> str:
    _answering(world)
    odd = "".join(
        rng.choice([rng.choice(ODD), chr(rng.randrange(0x110000))])
        for _ in range(rng.randint(1, 12))
    )
    calls = [
        ["start", "update", {"requests": [[odd, "up"]]}],
        ["start", "update", {"requests": [["ok-0", odd]]}],
        ["start", "update", {"requests": [["spare", "up"], [odd, "down"]]}],  # all or nothing
        ["start", "update", {"requests": odd}],
        ["start", "update", {"requests": [[["ok-0"], {"up": odd}]]}],
        ["start", "update", {"requests": [["ok-0", "down", "up"]]}],
        ["start", "update", {"requests": [[None, None]] * 1000}],
        ["start", "update", {"requests": [["x" * 100_000, "up"]]}],
        ["start", "update", {"reload_config": odd}],
        ["start", "update", {odd: odd}],
        ["start", "update", odd],
        ["start", "history", {"instance_id": odd, "limit": 5}],
        ["start", "history", {"limit": -1, "since": odd}],
        ["start", odd, {}],
        [odd, "update", {}],
        ["wait", "update", odd, odd],
        ["stop", odd],
        ["abort", "update"],
        [odd],
        [],
    ]
    count = rng.randint(5, len(calls))
    for call in rng.sample(calls, count):
        world.call(*call)
    return f"{count} calls with {odd!a}"


@kind("client: no JSON, or another", 4)
def no_json(world: World, rng: Random) -> str:
    _answering(world)
    procedure = world.calls.procedure
    bodies = [
        b"",
        rng.randbytes(500),
        b"[" * 5000,
        b'{"procedure": 5}',
        json.dumps({"procedure": procedure}).encode(),
        json.dumps({"procedure": procedure, "args": {}, "kwargs": []}).encode(),
        json.dumps({"procedure": procedure, "args": ["start"], "kwargs": {"x": ODD}}).encode(),
        json.dumps({"procedure": procedure + ".", "args": ["start", "update"]}).encode(),
        b'{"procedure": "' + procedure.encode() + b'", "args": ["start", "upd\xff"]}',
        b'{"procedure": "' + procedure.encode() + b'", "args": ["start", "update", {"requests":'
        b' [["ok-0", NaN]]}]}',
    ]
    count = rng.randint(3, len(bodies))
    for body in rng.sample(bodies, count):
        world.calls.post(body)
    return f"{count} bodies"


@kind("50 clients, 1000 requests a second", 1)
def flood(world: World, rng: Random) -> str:
    _answering(world)
    procedure = world.calls.procedure
    command = [sys.executable, "-m", "tests.faults.load_clients", str(world.router.port), procedure]
    command += [str(rng.randrange(10**6)), "3"]
    output = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60).stdout
    sent = int(output.split()[0]) if output.split() else 0
    world.seen["requests of 50 clients"] += sent
    world.seen["seconds of 50 clients"] += 3
    return f"{output.strip()}"
