"""The Docker Engine over its API: the few calls that are needed, with time limits and clear errors.

The client is aiodocker: asynchronous, maintained by the makers of aiohttp, for unix sockets, TLS
and ssh; Docker's own Python library is synchronous. The `docker` command says which engine to
use, since it knows contexts and their precedence; aiodocker's own rules differ.
"""

import asyncio
import errno
import json
import logging
import os
import re
import shutil
import socket
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import aiodocker
import aiohttp

from hostmanager.composefile.command import ComposeError, execute
from hostmanager.drivers.compose.container import PROJECT_LABEL, unix_time
from hostmanager.util.text import last_state

log = logging.getLogger(__name__)

NO_ENGINE_ERRORS = (aiohttp.ClientError, OSError, RuntimeError, AssertionError)
"""What a call may raise without an engine; a session that is closed meanwhile: RuntimeError, or what
aiohttp asserts of it."""

CALL_TIMEOUT = 5.0
"""Seconds that a call may take that only reads or sets something."""

INSPECT_TIMEOUT = 3.0
"""Seconds that inspecting one container may take; usually a millisecond."""

START_TIMEOUT = 60.0
"""Seconds that starting a container may take."""

ENGINE_STOP_MARGIN = 15.0
"""Seconds beyond its grace period that the engine may take to stop a container."""

UNIX, SSH = "unix://", "ssh://"

SSH_HINT = "Install the extra that has it: pip install 'ocs-hostmanager[ssh]'"

_PASSWORD = re.compile(r"(//[^:/@]*):[^/]*@")
"""In a URL: it is not shown."""

DEFAULT_ENDPOINT = f"{UNIX}/var/run/docker.sock"

CONTAINER_EVENTS = (
    *("create", "start", "die", "pause", "unpause", "destroy", "rename", "oom"),
    "remove",  # podman's word for destroy
    "health_status",
)
IMAGE_EVENTS = ("tag", "untag", "delete", "pull", "load", "import")

STREAM_END = None

LIST_KEYS = ("Id", "Names", "Labels", "State", "Status", "Image", "ImageID", "Created")


class EngineError(Exception):
    """The engine refused, or cannot be reached; the text is for operators, with a hint."""


class RefusedError(EngineError):
    """The engine answers that it does not do it."""


class NoSuchContainerError(EngineError):
    """The container does not exist any more."""


async def find_endpoint(environ: Mapping[str, str], cwd: Path) -> str:
    """Where the engine listens, by the rules of the `docker` command."""
    if environ.get("DOCKER_HOST"):
        return environ["DOCKER_HOST"]
    argv = ("docker", "context", "inspect", "--format", "{{.Endpoints.docker.Host}}")
    try:
        result = await execute(argv, environ, cwd, CALL_TIMEOUT)
    except ComposeError as error:
        if shutil.which("docker", path=environ.get("PATH", os.defpath)) is None:
            return DEFAULT_ENDPOINT  # there is a compose command without docker's own
        # A timeout, say. Another engine than that of compose would be worse than none.
        raise EngineError(f"It is not known where the Docker Engine is: {error}") from None
    if result.exit_code != 0:
        raise EngineError(f"It is not known where the Docker Engine is: {result.reason}.")
    return result.stdout.strip() or DEFAULT_ENDPOINT


class Engine:
    """One connection to an engine."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = _PASSWORD.sub(r"\1@", endpoint)
        self._connector: aiohttp.BaseConnector | None = None
        self._socket_path = endpoint.removeprefix(UNIX) if endpoint.startswith(UNIX) else None
        try:
            if self._socket_path is not None:
                # The default limit is a hundred connections: during as many stops, the engine
                # would seem not to answer.
                self._connector = aiohttp.UnixConnector(self._socket_path, limit=0)
                self._docker = aiodocker.Docker(url=f"{UNIX}localhost", connector=self._connector)
            else:
                self._docker = aiodocker.Docker(url=endpoint)
        except (aiodocker.DockerError, ValueError, OSError) as error:
            reason = error.message if isinstance(error, aiodocker.DockerError) else str(error)
            if endpoint.startswith(SSH) and find_spec("asyncssh") is None:
                reason = f"a library for ssh is missing. {SSH_HINT}"
            text = f"The Docker Engine at {self.endpoint} cannot be used: {reason.rstrip('.')}."
            raise EngineError(text) from None

    async def close(self) -> None:
        """Close the connection."""
        await self._docker.close()
        if self._connector is not None:
            await self._connector.close()

    async def ping(self, time_limit: float = CALL_TIMEOUT) -> None:
        """Make sure that it answers.

        An idle manager does this every few seconds: over a socket it takes half the CPU time of
        a request by aiohttp, and of the engine a tenth of what its version would cost.

        Raises:
            EngineError: It does not.
        """
        async with self._call("whether it is there", time_limit):
            if self._socket_path is None:
                await self._docker.version()
            elif (reply := await _ping_socket(self._socket_path)).split()[1:2] != [b"200"]:
                said = reply.partition(b"\r\n")[0].decode("ascii", "replace")
                raise EngineError(
                    f"The Docker Engine does not work: its reply to a ping is {said!r}. "
                    "See `systemctl status docker`."
                )

    async def server_time(self) -> float:
        """The engine's Unix time; it may be on another machine."""
        async with self._call("what time it has"):
            return unix_time(str((await self._docker.system.info()).get("SystemTime") or ""))

    async def compose_containers(self, container_id: str | None = None) -> list[Mapping[str, Any]]:
        """The engine's list of all containers of compose projects, or the entry of one."""
        filters = {"label": [PROJECT_LABEL], **({"id": [container_id]} if container_id else {})}
        async with self._call("which containers there are"):
            listed = await self._docker.containers.list(all=True, filters=json.dumps(filters))
        return [_list_entry(container) for container in listed]

    async def inspect(self, container_id: str) -> Mapping[str, Any]:
        """Everything about a container.

        Raises:
            NoSuchContainerError: It does not exist.
        """
        async with self._call(f"how the container {container_id[:12]} is", INSPECT_TIMEOUT):
            return dict(await self._docker.containers.container(container_id).show())

    async def images(self) -> list[Mapping[str, Any]]:
        """All images that have a name."""
        async with self._call("which images there are"):
            return list(await self._docker.images.list())

    async def network_names(self) -> set[str]:
        """The names of all networks."""
        async with self._call("which networks there are"):
            return {str(network["Name"]) for network in await self._docker.networks.list()}

    async def volume_names(self) -> set[str]:
        """The names of all volumes."""
        async with self._call("which volumes there are"):
            listed = (await self._docker.volumes.list())["Volumes"] or ()  # type: ignore[no-untyped-call]
            return {str(volume["Name"]) for volume in listed}

    async def start(self, container_id: str) -> None:
        """Start a container as it was created."""
        async with self._call(f"to start {container_id[:12]}", START_TIMEOUT):
            await self._docker.containers.container(container_id).start()

    async def stop(self, container_id: str, grace: float) -> None:
        """Stop a container; the engine kills it after its own grace period."""
        async with self._call(f"to stop {container_id[:12]}", grace + ENGINE_STOP_MARGIN):
            await self._docker.containers.container(container_id).stop()

    async def kill(self, container_id: str) -> None:
        """Kill a container; harmless if it does not run."""
        try:
            async with self._call(f"to kill {container_id[:12]}"):
                await self._docker.containers.container(container_id).kill(signal="SIGKILL")
        except EngineError as error:
            if "is not running" not in str(error):
                raise

    async def remove(self, container_id: str, *, force: bool = False) -> None:
        """Remove a container; without force, only one that does not run."""
        try:
            async with self._call(f"to remove {container_id[:12]}", ENGINE_STOP_MARGIN):
                await self._docker.containers.container(container_id).delete(force=force)
        except NoSuchContainerError:
            pass
        except EngineError as error:
            if "already in progress" not in str(error):
                raise

    async def read_log(self, container_id: str, lines: int, since: float = 0.0) -> list[str]:
        """The newest lines of a container's output, each after its time stamp."""
        async with self._call(f"for the output of {container_id[:12]}"):
            container = self._docker.containers.container(container_id)
            parts = await container.log(
                stdout=True, stderr=True, tail=lines, since=f"{since:.6f}", timestamps=True
            )
        pairs = [line.partition(" ") for line in "".join(parts).split("\n") if line]
        return [" ".join((when, last_state(text, "\r"))) for when, _, text in pairs]

    async def events(self, since: float) -> AsyncIterator[Mapping[str, Any]]:
        """The engine's events, from that time of it on, until the stream ends."""
        filters = json.dumps(
            {"type": ["container", "image"], "event": [*CONTAINER_EVENTS, *IMAGE_EVENTS]}
        )
        events = self._docker.events
        subscriber = events.subscribe(create_task=False)  # type: ignore[no-untyped-call]
        running = asyncio.ensure_future(events.run(filters=filters, since=f"{since:.6f}"))
        try:
            while (event := await subscriber.get()) is not STREAM_END:
                yield event
            try:
                await running
            except (aiohttp.ClientPayloadError, ValueError, TypeError) as error:
                log.debug("docker: the stream of events was cut, or is malformed: %s", error)
            except (aiodocker.DockerError, *NO_ENGINE_ERRORS) as error:
                raise EngineError(self._unreachable(error)) from None
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    @asynccontextmanager
    async def _call(self, purpose: str, time_limit: float = CALL_TIMEOUT) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(time_limit):
                yield
        except TimeoutError:
            raise EngineError(
                f"The Docker Engine does not answer (asked {purpose}, waited {time_limit:g} s). "
                "See `systemctl status docker`."
            ) from None
        except aiodocker.DockerError as error:
            if error.status == 404:
                raise NoSuchContainerError(str(error.message)) from None
            if error.status >= 900:
                raise EngineError(self._unreachable(error)) from None
            raise RefusedError(f"The Docker Engine refused: {error.message}") from None
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise EngineError(f"The Docker Engine's answer is malformed: {error!r}.") from None
        except NO_ENGINE_ERRORS as error:
            raise EngineError(self._unreachable(error)) from None

    def _unreachable(self, error: BaseException) -> str:
        """Explain why it cannot be reached, and what to do."""
        number = next((e.errno for e in _causes(error) if isinstance(e, OSError)), None)
        location = self.endpoint.removeprefix(UNIX)
        if number in (errno.EACCES, errno.EPERM):
            return (
                f"The Docker Engine cannot be used: permission denied for {location}. Put the user "
                "of the manager into the group docker (`sudo usermod -aG docker USER`), then "
                "restart the manager."
            )
        if number == errno.ENOENT:
            return (
                f"There is no Docker Engine: {location} does not exist. Is it installed and running? "
                "See `systemctl status docker`."
            )
        if number == errno.ECONNREFUSED:
            return f"The Docker Engine does not run: nothing listens at {location}."
        if isinstance(error, (RuntimeError, AssertionError)):  # our session, see NO_ENGINE_ERRORS
            return (
                f"The Docker Engine at {location} does not answer: the connection was given up in the "
                "middle of a call. See `systemctl status docker`."
            )
        return f"The Docker Engine at {location} cannot be reached: {error}"


async def _ping_socket(path: str) -> bytes:
    """Ping the engine behind a socket; the beginning of what it replies."""
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.setblocking(False)
        await loop.sock_connect(connection, path)
        await loop.sock_sendall(connection, b"GET /_ping HTTP/1.0\r\n\r\n")
        reply = await loop.sock_recv(connection, 1024)
    if not reply:
        raise ConnectionResetError("it closes the connection")
    return reply


def _causes(error: BaseException) -> Iterable[BaseException]:
    """An error, what it was raised from, and so on."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def _list_entry(container: Any) -> dict[str, Any]:
    """A container as the list has it; `inspect` has another form."""
    entry = {}
    for key in LIST_KEYS:
        with suppress(KeyError):
            entry[key] = container[key]
    return entry
