"""A host in this process, its compose services on a real engine: a test of it takes a second.

    async with running(project, "a") as host:
        await host.row("a", next_action="up")
        await host.docker("kill", project.container("ocs-a"))

It is put together as the manager does it, without router and agents. What the engine tells of the
project's containers is written down, and looked at when the host ends: at no time have two
containers of one service run because of us, and none that is not ours was touched.
"""

import asyncio
import json
import os
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import yaml

from hostmanager.agent.compose.backend import EngineComposeBackend
from hostmanager.agent.compose.protocol import NullDriver
from hostmanager.agent.framework.event_loop import LoopClock
from hostmanager.agent.operations.session_data import session_data
from hostmanager.agent.operator_messages import OperatorMessages
from hostmanager.agent.parts import ManagerParts
from hostmanager.agent.settings import ManagerSettings
from hostmanager.agent.targets.startup_state import StartupState
from hostmanager.core.policy import Policy, RestartPolicy
from hostmanager.journal import Journal
from hostmanager.siteconfig.site_file import load_site_file
from tests.support.engine_projects import PROJECT, SERVICE, Project

LIMIT = 60.0
QUICK = Policy(restart=RestartPolicy(first_delay=0.2, max_delay=1.0))
HAPPENINGS = ("create", "start", "die", "kill", "stop", "pause", "unpause", "destroy", "rename")


@dataclass
class Watcher:
    """The events of the engine about one project's containers: (action, service, container id)."""

    seen: list[tuple[str, str, str]] = field(default_factory=list)

    async def follow(self, project: Project, started: asyncio.Event) -> None:
        """Write down what happens, until cancelled; `begun` once nothing more is missed."""
        filters = [f"label={PROJECT}={project.name}", *(f"event={e}" for e in HAPPENINGS)]
        process = await asyncio.create_subprocess_exec(
            *("docker", "events", "--since", f"{time.time() - 0.001:.6f}"),
            *(word for f in filters for word in ("--filter", f)),
            *("--format", "{{json .}}"),
            env={**os.environ, **project.engine.environment},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        started.set()
        assert process.stdout is not None
        try:
            async for line in process.stdout:
                event = json.loads(line)
                actor = event["Actor"]
                self.seen.append((event["Action"], actor["Attributes"][SERVICE], actor["ID"]))
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    def count(self, action: str, service: str) -> int:
        """How often that happened to containers of a service."""
        return sum(a == action and s == service for a, s, _ in self.seen)

    def most_at_once(self, service: str, running: Iterable[str] = ()) -> int:
        """The most containers of a service that ran at a time."""
        alive = set(running)
        most = len(alive)
        for action, its_service, container in self.seen:
            if its_service != service:
                continue
            if action == "start":
                alive.add(container)
            elif action in ("die", "destroy"):
                alive.discard(container)
            most = max(most, len(alive))
        return most


class HostUnderTest:
    """A host, and what people do to its services and its engine."""

    def __init__(
        self,
        project: Project,
        parts: ManagerParts,
        backend: EngineComposeBackend,
        messages: list[str],
    ) -> None:
        self.project = project
        self.engine = project.engine
        self.parts, self.host = parts, parts.host
        self.backend = backend
        self.messages = messages
        self.watcher = Watcher()
        self.scale: dict[str, int] = {}

    # --- what is shown ----------------------------------------------------------------------

    def shown(self) -> dict[str, dict[str, Any]]:
        """The child states by instance-id."""
        data = json.loads(json.dumps(session_data(self.parts), allow_nan=False))
        return {row["instance_id"]: row for row in data["child_states"]}

    async def until(
        self, what: str, predicate: Callable[[], Any], limit: float = LIMIT, *, patient: bool = True
    ) -> Any:
        """Wait until that is so, and return what it is; an exception counts as "not yet"."""
        end = time.monotonic() + limit
        last: Any = None
        while time.monotonic() < end:
            try:
                if last := predicate():
                    return last
            except Exception as error:
                if not patient:
                    raise
                last = error
            await asyncio.sleep(0.01)
        msg = (
            f"waited {limit:g} s for {what}; last: {last!r}; shown: {self.shown()}; {self.messages}"
        )
        raise AssertionError(msg)

    async def row(self, instance_id: str, *, says: str = "", **keys: Any) -> dict[str, Any]:
        """Wait until its row has these values, and `says` in its message; return it."""

        def fits() -> dict[str, Any] | None:
            row = self.shown().get(instance_id)
            if row is None or says not in row["message"]:
                return None
            return row if all(row[key] == value for key, value in keys.items()) else None

        results: dict[str, Any] = await self.until(f"{instance_id} {keys} {says}", fits)
        return results

    async def up(self, instance_id: str) -> dict[str, Any]:
        """Wait until it is shown up, with the container that runs."""
        return await self.row(instance_id, next_action="up", target_state="up")

    async def down(self, instance_id: str) -> dict[str, Any]:
        """Wait until it is shown down, and see that nothing of it runs."""
        row = await self.row(instance_id, next_action="down")
        assert await self.running(instance_id) == []
        return row

    async def removed(self, instance_id: str) -> dict[str, Any]:
        """Wait until it is shown down and has no container any more."""
        await self.removed_but(instance_id, set())
        return await self.down(instance_id)

    async def removed_but(self, instance_id: str, others: set[str]) -> None:
        """Wait until it is shown down, and only the containers of `others` are left."""
        await self.row(instance_id, next_action="down")
        service = self.service(instance_id)
        left = self.project.containers
        await self.until("its container to go", lambda: set(left(service)) == others)

    async def settled(self) -> None:
        """Wait until nothing is asked of the engine any more, nor done with Compose.

        Shown up is a container as soon as the engine tells that it runs, which is before
        ``compose up`` has ended and all that it changed was looked at.
        """
        driver, watcher = self.backend.driver, self.backend.watcher
        await self.until(
            "an end of all inspections", lambda: not driver._tasks and not watcher.inspector._tasks
        )

    async def stays(self, seconds: float, what: str, predicate: Callable[[], Any]) -> None:
        """See that it is so, and goes on to be."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            assert predicate(), f"not for {seconds:g} s: {what}; {self.shown()}; {self.messages}"
            await asyncio.sleep(0.02)

    # --- what is done -----------------------------------------------------------------------

    def set_targets(self, *requests: tuple[str, str]) -> None:
        """Set targets, as operators do."""
        self.host.set_targets([list(request) for request in requests])

    async def do(self, call: Callable[..., Any], *args: Any, **keys: Any) -> Any:
        """Call something that waits, beside the host."""
        return await asyncio.to_thread(call, *args, **keys)

    async def docker(self, *arguments: str, check: bool = True) -> str:
        """Run ``docker …``."""
        return str(await self.do(self.engine.docker, *arguments, check=check))

    async def running(self, instance_id: str) -> list[str]:
        """Ids of what runs of its service, as the engine has it."""
        ids = await self.do(self.project.containers, self.service(instance_id))
        states = [await self.do(self.engine.state, c) for c in ids]
        return [c for c, s in zip(ids, states, strict=True) if s in ("running", "paused")]

    def service(self, instance_id: str) -> str:
        """The name of its service."""
        record = self.parts.snapshot[instance_id]
        return record.spec.service.name if record.spec.service else f"ocs-{instance_id}"

    async def container(self, service: str) -> str:
        """The id of the one container of a service."""
        return str(await self.do(self.project.container, service))

    def has_message(self, text: str) -> bool:
        """Whether operators got a message with that text."""
        return any(text in line for line in self.messages)

    def count(self, action: str, service: str) -> int:
        """How many events of that action the engine has sent for a service, by now."""
        return self.watcher.count(action, service)

    async def counted(self, action: str, service: str, times: int) -> None:
        """Wait for that number of events; they may arrive here later than at the host."""
        await self.until(f"{action} of {service}", lambda: self.count(action, service) >= times)
        assert self.count(action, service) == times, self.watcher.seen


def entry(instance_id: str, manage: str = "docker/up") -> dict[str, Any]:
    """An entry of the site file for a compose service."""
    return {"instance-id": instance_id, "agent-class": "Fake", "manage": manage}


def write_site(path: Path, entries: Iterable[str | dict[str, Any]]) -> None:
    """Write a site file; plain names stand for entries that are to be up."""
    listed = [entry(e) if isinstance(e, str) else e for e in entries]
    hub = {"wamp_server": "ws://127.0.0.1:1/ws", "wamp_realm": "r", "address_root": "o"}
    data = {"hub": hub, "hosts": {"testhost": {"agent-instances": listed}}}
    path.write_text(yaml.safe_dump(data))


def make(
    project: Project,
    *,
    files: Iterable[str] = (),
    policy: Policy = QUICK,
    prefix: str = "ocs-",
    **environ: str,
) -> HostUnderTest:
    """Put a host together, in the directory of a project; it is not begun."""
    state = project.directory / "state"
    state.mkdir(mode=0o700, exist_ok=True)
    settings = ManagerSettings(
        *(project.directory / "site.yaml", "testhost", project.directory, state, state),
        *(0, 0, "key", policy, "python"),
        compose_files=tuple(files) or (project.file.name,),
        service_prefix=prefix,
    )
    messages: list[str] = []
    backend = EngineComposeBackend(
        *(settings.compose_files, settings.service_prefix),
        binary=None,
        cwd=project.directory,
        environ={**os.environ, **project.engine.environment, **environ},
        emit_message=lambda about, text: messages.append(f"{about}: {text}"),
    )
    clock = LoopClock(asyncio.get_running_loop())
    journal = Journal(state / "journal.sqlite")
    operator_messages = OperatorMessages()
    operator_messages.open_session(messages.append)
    parts = ManagerParts(
        *(settings, NullDriver(), clock, Random()),
        journal=journal,
        messages=operator_messages,
        compose=backend,
    )
    return HostUnderTest(project, parts, backend, messages)


@asynccontextmanager
async def running(
    project: Project,
    *entries: str | dict[str, Any],
    watched: bool = True,
    scale: dict[str, int] | None = None,
    **keys: Any,
) -> AsyncIterator[HostUnderTest]:
    """Run a host with these entries; at the end its containers are left as they are.

    Args:
        project: Its compose file and its engine.
        entries: Of the site file, or plain instance-ids.
        watched: Whether what the engine tells is written down and looked at in the end.
        scale: How many containers a service may have, if not one.
        keys: As for `make`.
    """
    write_site(project.directory / "site.yaml", entries)
    it = make(project, **keys)
    started = asyncio.Event()
    watching = None
    at_first: dict[str, list[str]] = defaultdict(list)
    if watched:
        for service, container in await it.do(_alive, project):
            at_first[service].append(container)
        watching = asyncio.ensure_future(it.watcher.follow(project, started))
        await started.wait()
    try:
        it.host.start(
            load_site_file(it.parts.settings.site_file, "testhost"), before=_before(it.parts)
        )
        it.backend.start()
        yield it
        for service in {service for _, service, _ in it.watcher.seen}:
            allowed = max((scale or {}).get(service, 1), len(at_first[service]))
            most = it.watcher.most_at_once(service, at_first[service])
            assert most <= allowed, f"{most} containers of {service}: {it.watcher.seen}"
    finally:
        it.host.disown()
        await it.backend.close()
        it.parts.target_store.close()
        it.parts.journal.close(5)
        if watching is not None:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)


def _before(parts: ManagerParts) -> StartupState:
    recalled = parts.target_store.load()
    return StartupState(saved_targets=recalled, restarts=dict(parts.target_store.restarts))


def _alive(project: Project) -> list[tuple[str, str]]:
    """Service and id of each container of a project that is alive."""
    results = []
    for container in project.containers():
        with suppress(LookupError):
            known = project.engine.inspect(container)
            if known["State"]["Status"] in ("running", "paused", "restarting"):
                results.append((known["Config"]["Labels"][SERVICE], container))
    return results
