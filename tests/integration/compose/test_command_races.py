"""A compose command that takes its time to end: nothing else goes on before it has."""

import asyncio
import os

import pytest

from hostmanager.composefile import command
from hostmanager.composefile.command import Compose


@pytest.mark.parametrize("started", ["busy", "waiting for a network"])
@pytest.mark.parametrize("cancels", [1, 2])
@pytest.mark.parametrize("asked", ["takes its time", "is deaf"])
async def test_a_command_has_ended_when_its_cancelled_call_has(
    tmp_path, monkeypatch, started, cancels, asked
):
    monkeypatch.setattr(command, "SLOT_TIMEOUT", 60.0 if started == "busy" else 0.01)
    monkeypatch.setattr(command, "KILL_GRACE", 2.0 if asked == "takes its time" else 0.3)
    pid = tmp_path / "pid"
    trap = "sleep 0.5; exit 0" if asked == "takes its time" else ""
    binary = tmp_path / "compose"
    binary.write_text(
        f"#!/bin/sh\ntrap '{trap}' INT\necho $$ > {pid}.new\nmv {pid}.new {pid}\n"
        "while :; do sleep 0.05; done\n"
    )
    binary.chmod(0o755)
    compose = Compose((str(binary),), (2, 26, 1), dict(os.environ), tmp_path)
    call = asyncio.ensure_future(compose.run("up", file=tmp_path / "c.yaml"))
    while not pid.exists():  # noqa: ASYNC110 - it is told by a file
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)  # the moment is the point
    for _ in range(cancels):
        call.cancel()
        await asyncio.sleep(0.05)
    await asyncio.gather(call, return_exceptions=True)
    assert call.cancelled()
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)
