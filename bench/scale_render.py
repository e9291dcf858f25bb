"""What one look at a manager costs it: the session data, and the same as a message.

python -m bench.scale_render [--profile] AGENTS...

A process of its own: OCS binds its WAMP library to Twisted, the clients here to asyncio.
"""

import asyncio
import cProfile
import io
import json
import pstats
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import txaio
from ocs.ocs_agent import OpSession

from bench.scale_host import simulated
from hostmanager.agent.operations.session_data import (
    ChildStates,
    LiveSessionData,
    encode_live,
    session_data,
)

txaio.use_twisted()  # as OCS does, and before serializers are imported
from autobahn.wamp import message  # noqa: E402
from autobahn.wamp.serializer import JsonSerializer, MsgPackSerializer  # noqa: E402

COUNT = 30
_SESSION = dict.fromkeys(("session_id", "cred_level", "start_time"), 1) | {
    "op_name": "manager",
    "status": "running",
    "degraded": False,
    "success": None,
    "end_time": None,
    "messages": [],
}


def rendering(agents: int) -> dict[str, Any]:
    """Measure one look, for so many agents; medians, in seconds of CPU."""
    with tempfile.TemporaryDirectory(prefix="hostmanager-scale-") as directory:
        return asyncio.run(_measured(Path(directory), agents))


async def _measured(directory: Path, agents: int) -> dict[str, Any]:
    parts = await simulated(directory, agents)

    child_states = ChildStates()

    def look() -> dict[str, Any]:
        parts.process_states._states.clear()  # as for the first who looks within half a second
        return session_data(parts, child_states)

    data = look()
    assert [child["next_action"] for child in data["child_states"]] == ["up"] * agents
    session = OpSession.__new__(OpSession)  # it would ask for an agent at a router otherwise
    session.__dict__ |= _SESSION | {"data": LiveSessionData(look)}
    answer = message.Yield(1, args=[0, "Session active.", encode_live(session)])
    as_json, as_msgpack = JsonSerializer(), MsgPackSerializer()
    return {
        "agents": agents,
        "render": _median_time(look),
        "render_again": _median_time(lambda: session_data(parts, child_states)),
        "encoded": _median_time(lambda: encode_live(session)),
        "json": _median_time(lambda: _fresh(as_json, answer)),
        "msgpack": _median_time(lambda: _fresh(as_msgpack, answer)),
        "json_bytes": len(_fresh(as_json, answer)),
        "msgpack_bytes": len(_fresh(as_msgpack, answer)),
    }


def _fresh(serializer: Any, answer: message.Message) -> bytes:
    answer.uncache()  # it keeps the bytes otherwise
    data: bytes = serializer.serialize(answer)[0]
    return data


def _median_time(work: Callable[[], object]) -> float:
    times = []
    for _ in range(COUNT):
        begun = time.process_time()
        work()
        times.append(time.process_time() - begun)
    return median(times)


def profile(agents: int) -> str:
    """Where the time of rendering goes."""

    async def run(directory: Path) -> str:
        parts = await simulated(directory, agents)
        profiler, child_states = cProfile.Profile(), ChildStates()
        profiler.enable()
        for _ in range(COUNT):
            parts.process_states._states.clear()
            session_data(parts, child_states)
        profiler.disable()
        out = io.StringIO()
        pstats.Stats(profiler, stream=out).sort_stats("tottime").print_stats(15)
        return out.getvalue()

    with tempfile.TemporaryDirectory(prefix="hostmanager-scale-") as directory:
        return asyncio.run(run(Path(directory)))


if __name__ == "__main__":
    sizes = [int(size) for size in sys.argv[1:] if size.isdigit()]
    if "--profile" in sys.argv:
        print(*map(profile, sizes), sep="\n")
    else:
        print(json.dumps([rendering(agents) for agents in sizes]))
