"""A host with simulated agents, without router and OCS: to look at closely."""

import asyncio
import sys
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

from bench.scale_driver import SimulatedDriver
from hostmanager.agent.framework.event_loop import LoopClock
from hostmanager.agent.operator_messages import OperatorMessages
from hostmanager.agent.parts import ManagerParts
from hostmanager.agent.settings import ManagerSettings
from hostmanager.core.model import InstanceSpec
from hostmanager.core.policy import Policy
from hostmanager.core.record import State
from hostmanager.siteconfig.site_file import SiteFile


async def simulated(directory: Path, agents: int) -> ManagerParts:
    """Make a host with so many simulated agents, all up, on the running loop."""
    loop = asyncio.get_running_loop()
    settings = ManagerSettings(
        site_file=directory / "site.yaml",
        host="h",
        working_dir=directory,
        state_dir=directory,
        output_dir=directory,
        output_size=1,
        output_files=1,
        key="k",
        policy=Policy(),
        python=sys.executable,
    )
    journal: Any = SimpleNamespace(append=lambda *_: None, record=lambda *_: None, error=None)
    parts = ManagerParts(
        *(settings, SimulatedDriver(loop), LoopClock(loop), Random(1)),
        journal=journal,
        messages=OperatorMessages(),
    )
    specs = tuple(InstanceSpec(f"agent{n}", "FakeDataAgent") for n in range(agents))
    parts.host.start(SiteFile(path=directory / "site.yaml", host="h", data={}, specs=specs))
    while any(life.state is not State.UP for life in parts.snapshot.values()):  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    return parts
