"""Bringing up one service by `compose up`, one after another while they make what they share.

Compose checks whether a network exists, and creates it if not. Several of them at a time create
several networks of one name, and no container can be created before somebody has removed all but
one (moby#20648, compose#4889).
"""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from hostmanager.composefile.command import CompletedCommand
from hostmanager.core.model import ServiceRef
from hostmanager.drivers.compose.engine import EngineError
from hostmanager.drivers.compose.images import RunCompose, acquire_args
from hostmanager.drivers.compose.watcher import ContainerWatcher

UP_ARGS = ("up", "-d", "--no-deps")
"""Brings up one service, and no other: not even those that it depends on."""

REPLACE_ARGS = (*UP_ARGS, "--force-recreate")
"""The same, with a new container in place of the one that there is."""

TURN_TIMEOUT = 30.0
"""Seconds after which a service does not wait any longer for one that makes what they share."""

_IDS = re.compile(r"\b[0-9a-f]{12,64}\b")

_AMBIGUOUS = re.compile(r"network (\S+) is ambiguous")


class ComposeUp:
    """Runs `compose up` for single services.

    Args:
        compose: Runs a compose command for a service.
        watcher: Has the connection to the engine.
    """

    def __init__(self, compose: RunCompose, watcher: ContainerWatcher) -> None:
        self._compose = compose
        self._watcher = watcher
        self._turn = asyncio.Lock()  # projects may share a network, too

    async def run(self, service: ServiceRef, *, replace: bool = False) -> CompletedCommand:
        """Bring it up.

        Args:
            service: The service.
            replace: With a new container, even if there is one that could be started.

        Raises:
            ComposeError: Compose cannot be run.
            ComposeFileError: The service's compose file cannot be used at present.
        """
        args = REPLACE_ARGS if replace else UP_ARGS
        if await self._all_made(service):
            return await self._compose(service, *args)
        # Before it is its turn: a pull may take minutes.
        acquire = acquire_args(service, self._watcher.images)
        if acquire is not None:
            result = await self._compose(service, *acquire)
            if result.exit_code != 0:
                return result
        async with self._own_turn():
            if not await self._all_made(service):
                return await self._compose(service, *args)
        return await self._compose(service, *args)

    @asynccontextmanager
    async def _own_turn(self) -> AsyncIterator[None]:
        is_held = False
        try:
            async with asyncio.timeout(TURN_TIMEOUT):
                is_held = await self._turn.acquire()
        except TimeoutError:
            pass  # one that hangs does not keep the others down
        try:
            yield
        finally:
            if is_held:
                self._turn.release()

    async def _all_made(self, service: ServiceRef) -> bool:
        """Whether the networks and volumes that it uses are there; also if that is not known."""
        engine = self._watcher.engine
        if engine is None or not (service.networks or service.volumes):
            return True
        try:
            made = await engine.network_names() if service.networks else set()
            volumes = await engine.volume_names() if service.volumes else set()
        except EngineError:
            return True  # compose will say what is wrong
        return made.issuperset(service.networks) and volumes.issuperset(service.volumes)


def failure_kind(reason: str) -> str:
    """A failure's reason without the ids in it, which differ each time."""
    return _IDS.sub("", reason)


def with_network_hint(reason: str) -> str:
    """Add what helps if there are several networks of one name."""
    match = _AMBIGUOUS.search(reason)
    if match is None:
        return reason
    return (
        f"{reason}. There are several networks of that name: `docker network ls --filter "
        f"name={match[1]}` shows them, `docker network rm ID` removes one"
    )
