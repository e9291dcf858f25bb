"""The parts of the simulated site: its agents, its site config, what is made of the figures."""

import asyncio
import inspect
import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from bench.scale_driver import SimulatedDriver
from bench.scale_host import simulated
from bench.scale_manager import simulated_parts
from bench.scale_report import print_tables
from bench.scale_site import host_name, site_config

from hostmanager.agent.operations.session_data import ChildStates, session_data
from hostmanager.agent.parts import ManagerParts
from hostmanager.agent.targets.silences import make_silence
from hostmanager.agent.targets.store import TargetStore
from hostmanager.core.events import Timestamp
from hostmanager.core.protocols import Driver
from hostmanager.core.request_origin import RequestOrigin
from hostmanager.siteconfig.site_file import load_all_hosts
from hostmanager.testing.crossbar_router import CrossbarRouter


async def shown(parts: ManagerParts, expected: set[str]) -> None:
    """Wait until these are the states that clients are shown."""
    async with asyncio.timeout(20):
        while _states(parts) != expected:  # noqa: ASYNC110 - as a client does
            await asyncio.sleep(0.01)


def _states(parts: ManagerParts) -> set[str]:
    return {child["next_action"] for child in session_data(parts)["child_states"]}


async def test_simulated_agents_come_up_and_go_down_as_requested(tmp_path: Path) -> None:
    parts = await simulated(tmp_path, 5)
    await shown(parts, {"up"})
    parts.driver.kill_next()
    assert parts.snapshot["agent0"].last_exit.status.signal_name == "SIGKILL"
    await shown(parts, {"up"})
    parts.host.set_targets([["all", "down"]])
    await shown(parts, {"down"})
    parts.host.set_targets([["agent0", "up"], ["agent1", "up"]])
    parts.host.set_targets([["agent0", "down"]])  # while its launch is under way
    await shown(parts, {"up", "down"})
    assert (await parts.host.stop()).ok
    await shown(parts, {"down"})


async def test_what_is_kept_from_one_look_to_the_next_is_what_a_first_look_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts, kept = await simulated(tmp_path, 4), ChildStates()
    origin, later = RequestOrigin("ann@lab", "repairs", 1, 5.0), Timestamp(1e6, time.time())
    seen = []

    def look() -> None:
        with monkeypatch.context() as patch:
            patch.setattr(type(parts.clock), "now", lambda _: later)
            assert session_data(parts, kept) == session_data(parts)
            seen.append(json.dumps(session_data(parts, kept)["child_states"]))

    look()
    parts.driver.kill_next()
    look()
    parts.host.set_targets([["agent1", "down"]], origin)
    look()
    silence = make_silence(60.0, origin, later.wall)
    parts.target_store.save_silences(["agent2"], silence)
    look()
    await shown(parts, {"up", "down"})
    await parts.resources.measure_now()
    look()
    await parts.resources.measure_now()
    look()
    parts.host.set_targets([["agent1", "down"]], replace(origin, reason="still at it"))
    look()
    assert len(set(seen)) == len(seen)


async def test_many_agents_changed_at_once_are_written_down_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    monkeypatch.setattr(TargetStore, "_write", lambda _, text: written.append(text))
    parts = await simulated(tmp_path, 20)
    await parts.target_store.flush()
    written.clear()
    parts.host.set_targets([[f"agent{number}", "down"] for number in range(20)])
    await parts.target_store.flush()
    assert [len(json.loads(text)["targets"]) for text in written] == [20]


def test_the_simulated_parts_have_what_a_manager_calls() -> None:
    wanted = {name for name in vars(Driver) if not name.startswith("_")}
    assert wanted <= set(dir(SimulatedDriver))
    inspect.signature(simulated_parts).bind("settings", "loop", "gate")


def test_the_site_config_of_a_simulated_site_is_a_good_one(tmp_path: Path) -> None:
    path = tmp_path / "site.yaml"
    path.write_text(json.dumps(site_config(CrossbarRouter(tmp_path / "router"), 3, 4)))
    files = load_all_hosts(path)
    assert list(files) == [host_name(1), host_name(2), host_name(3)]
    assert all(len(file.specs) == 4 and not file.diagnostics for file in files.values())


def test_a_look_at_many_agents_is_measured_and_shown(capsys: pytest.CaptureFixture[str]) -> None:
    command = [sys.executable, "-W", "ignore", "-m", "bench.scale_render", "2", "20"]
    looks = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    assert looks[0]["json_bytes"] < looks[1]["json_bytes"]
    print_tables({"sizes": [], "rendering": looks})
    table = capsys.readouterr().out
    assert "| one look, agents: | 2 | 20 |" in table
    assert "msgpack" in table
