"""The operations of the HostManager agent, as OCS clients see them (contract, section 4).

A thin layer: OCS checks the parameters, the `Host` does everything else. The docstrings of the
operations are shown to operators by their clients.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from ocs import ocs_agent
from twisted.internet import reactor
from twisted.internet.defer import Deferred, succeed

from hostmanager.agent import audit
from hostmanager.agent.framework.embedded import EmbeddedManager
from hostmanager.agent.framework.router_session import REPLY_FLUSH, RouterSession
from hostmanager.agent.host import NotRunningError, RequestResult
from hostmanager.agent.metrics.feed import FeedPublisher, start_feed
from hostmanager.agent.operations.access import READ_LEVEL
from hostmanager.agent.operations.compose import docker_pull, remove_orphans
from hostmanager.agent.operations.history import history
from hostmanager.agent.operations.operation import TaskResult, add_message, as_deferred, operation
from hostmanager.agent.operations.output import output
from hostmanager.agent.operations.resources import resources
from hostmanager.agent.operations.restart import restart
from hostmanager.agent.operations.session_data import (
    ChildStates,
    LiveSessionData,
    encode_live,
    session_data,
)
from hostmanager.agent.operations.silence import silence
from hostmanager.agent.operations.update import update
from hostmanager.agent.operator_messages import MAX_TEXT_CHARS
from hostmanager.agent.parts import ManagerParts
from hostmanager.agent.targets.startup_state import StartupState
from hostmanager.core.request_origin import RequestOrigin
from hostmanager.core.requests import RequestError
from hostmanager.util.text import truncate

START_WAIT = 5.0
"""Seconds that an `update` waits for a manager process that is reading its site config."""

NOT_RUNNING = (
    "The manager process is not running, so nothing was done. Start it first (manager.start())."
)


class HostManager:
    """Keeps the agents of this host in the state that their operators want.

    Args:
        agent: The OCS agent that the operations belong to.
        docker_composes: Compose files to manage.
        docker_service_prefix: What goes before an instance-id in a compose service's name.
        parts: The parts of the manager; default: made from the agent's `site_args` when the
            `manager` process is started, on the event loop that runs then.
        on_die: Called once `die` has done its work; default: stops the reactor.
    """

    # The operations that are not here, each in a module of its name:
    update = update
    restart = restart
    silence = silence
    history = history
    output = output
    resources = resources
    remove_orphans = remove_orphans
    docker_pull = docker_pull

    def __init__(
        self,
        agent: Any,
        docker_composes: Sequence[str] = (),
        docker_service_prefix: str = "ocs-",
        *,
        parts: ManagerParts | None = None,
        on_die: Callable[[], None] | None = None,
    ) -> None:
        self.agent = agent
        self.docker_composes = list(docker_composes)
        self.docker_service_prefix = docker_service_prefix
        self._parts = parts
        self._before: StartupState | None = None
        self._feed: FeedPublisher | None = None
        self._on_die = on_die or _stop_reactor_soon
        self._closing = False
        self._disown = self._disown_services = False
        self._stop_requested = asyncio.Event()  # of the present session: a late stop has an old one
        self._stopped = asyncio.Event()
        self._stopped.set()
        self._started = asyncio.Event()  # requests wait while it reads its site config
        self._started.set()

    @property
    def parts(self) -> ManagerParts:
        """The parts of the manager.

        Raises:
            NotRunningError: There is none yet; the text is for people.
        """
        if self._parts is None:
            raise NotRunningError(NOT_RUNNING)
        return self._parts

    def register(self) -> None:
        """Register all operations with the agent; what only reads is open to every client."""
        agent = self.agent
        if self._parts is not None:
            self._feed = start_feed(self.agent, self._parts)
        min_privs = getattr(agent.site_args, "min_privs", 1)
        changing = ("update", "restart", "silence", "remove_orphans", "docker_pull", "die")
        reading = ("history", "output", "resources")
        agent.register_process(
            "manager", self.manager, self._stop_manager, blocking=False, min_privs=min_privs
        )
        for name in changing:
            agent.register_task(name, getattr(self, name), blocking=False, min_privs=min_privs)
        for name in reading:
            agent.register_task(name, getattr(self, name), blocking=False, min_privs=READ_LEVEL)
        if isinstance(agent, RouterSession):
            agent.starts.queue("update", "restart", "silence", *reading)

    async def wait_started(self) -> None:
        """Wait for a manager process that reads its site config; not for ever."""
        with suppress(TimeoutError):  # a disk that hangs
            await asyncio.wait_for(self._started.wait(), START_WAIT)

    def _why_not_running(self) -> str:
        if self._started.is_set():
            return NOT_RUNNING
        return (
            f"The manager process has been reading the site config for {START_WAIT:g} s and more "
            "(a slow plugin, or a slow disk), so nothing was done. Try again soon."
        )

    def publish_figures(self) -> None:
        """The router is there: publish figures of all agents."""
        if self._feed is not None:
            self._feed.publish_all()

    def prepare(self, name: str) -> None:
        """Prepare for an operation.

        Raises:
            EmbeddingError: The manager cannot be run by this program.
            NotRunningError: It has not been started yet.
        """
        if name == "manager":
            if self._parts is None:
                self._set_up()
            self._stop_requested = asyncio.Event()
        elif self._parts is None:
            raise NotRunningError(NOT_RUNNING)

    def _set_up(self) -> None:
        embedded = EmbeddedManager(
            self.agent.site_args, self.docker_composes, self.docker_service_prefix
        )
        self._parts, self._before = embedded.parts, embedded.before
        self._feed = start_feed(self.agent, self._parts)
        reactor.addSystemEventTrigger("before", "shutdown", self._shut_down, embedded)

    def _shut_down(self, embedded: EmbeddedManager) -> "Deferred[TaskResult]":
        async def end() -> TaskResult:
            result = await self.stop()
            await embedded.close()
            return result.ok, result.text

        return as_deferred(end())

    async def journaled(
        self,
        name: str,
        session: Any,
        params: dict[str, Any],
        work: Coroutine[Any, Any, TaskResult],
    ) -> TaskResult:
        """Do the work, and record both the request and its result in the journal."""
        journal = self.parts.journal
        if name != "manager" or not self.parts.host.running:  # else the program has started it
            audit.record_request(journal, name, session, params)
        try:
            ok, text = await work
        except RequestError as error:
            self.parts.messages.emit(f"Refused: {error}")
            ok, text = False, str(error)
        except NotRunningError:
            ok, text = False, self._why_not_running()
        result = (ok, truncate(text, MAX_TEXT_CHARS))
        audit.record_result(journal, name, session, params, result)
        return result

    # --- manager ----------------------------------------------------------------------------

    @ocs_agent.param("requests", default=[])
    @ocs_agent.param("reload_config", default=True, type=bool)
    @operation()
    async def manager(self, session: Any, params: dict[str, Any]) -> TaskResult:
        """manager(requests=[], reload_config=True)

        **Process** - Keep the agents of this host as they are wanted: up or
        down. An agent that ends by itself is started again, at once the
        first time, then after growing pauses of up to 10 seconds.

        Starting this process reads the site config and gives every agent
        the target state that its entry names. Stopping it ends all agents.

        Args:
          requests (list): target states to set first, as for ``update``.
          reload_config (bool): whether to read the site config. If False,
            the agents that are known already are kept.
          reason (str): why, for others to read; at most 200 characters.
          requested_by (str): who, as ``user@host``; nobody proves it.

        Notes:
          The state of each agent is in ``session.data['child_states']``: what
          is wanted (``target_state``), how it is (``next_action``), its ``pid``,
          how often it was restarted, how it ended last with its last output
          (``last_exit``), and a ``message`` if something is wrong with it.
        """
        stop_requested = self._stop_requested
        if self._closing:
            return False, "The host manager is about to exit; nothing is started any more."
        self._stopped.clear()
        child_states = ChildStates()
        session.data = LiveSessionData(lambda: session_data(self.parts, child_states))
        session.encoded = partial(encode_live, session)
        # What nobody can read must not keep an instance from its launch.
        guard = self.parts.supervisor.guard
        kept = self.parts.messages.open_session(
            lambda text: guard.call("a message", lambda: add_message(session, text))
        )
        # From before there was a session: the first agents are up by now.
        session.messages[:0] = kept
        try:
            # When the program starts, the host is running already, router or not.
            if not self.parts.host.running:
                self._started.clear()
                try:
                    await self._start_host(params, audit.session_origin(session, params))
                finally:
                    self._started.set()
            await stop_requested.wait()
            if not self._disown:
                add_message(session, "Stopping all agents.")
            result = await self._stop_host()
            return result.ok, result.text
        except RequestError as error:
            return False, str(error)
        finally:
            self.parts.messages.close_session()
            self._stopped.set()

    async def _start_host(self, params: dict[str, Any], origin: RequestOrigin) -> None:
        host = self.parts.host
        if params["reload_config"]:
            site_config = await host.reader.read()
            host.start(site_config, params["requests"], self._before, origin)
            self._before = None  # only now: a start that is refused has used nothing up
        else:
            host.start(None, params["requests"], origin=origin)
        if not_saved := await self.parts.target_store.flush():
            self.parts.messages.emit(not_saved)

    def _reload_config(self, session: Any = None) -> "Deferred[TaskResult]":
        """Read the site config again, and follow its changes."""
        return self.update(session, {"reload_config": True})

    def _stop_manager(self, session: Any, params: Any) -> "Deferred[TaskResult]":
        session.set_status("stopping")
        if self._parts and not self._closing:  # the session is that of the start, not of the stop
            audit.record_request(self.parts.journal, "manager stop", None, {})
        self._stop_requested.set()
        return succeed((True, "All agents are being stopped."))

    # --- die --------------------------------------------------------------------------------

    @ocs_agent.param("disown_dockers", default=False, type=bool)
    @ocs_agent.param("disown", default=False, type=bool)
    @operation()
    async def die(self, session: Any, params: dict[str, Any]) -> TaskResult:
        """die(disown_dockers=False, disown=False)

        **Task** - Stop all agents, then end the host manager itself. It can
        then be started again only on the host; where it is a service of
        systemd, that starts it again at once.

        Args:
          disown_dockers (bool): leave docker services as they are.
          disown (bool): leave all agents running, for the next host manager
            of this host, which takes them over as they are: for an upgrade
            that no agent notices.
          reason (str): why, for others to read; at most 200 characters.
          requested_by (str): who, as ``user@host``; nobody proves it.
        """
        result = await self.stop(disown=params["disown"], disown_services=params["disown_dockers"])
        self._on_die()
        return result.ok, result.text

    async def stop(self, *, disown: bool = False, disown_services: bool = False) -> RequestResult:
        """Stop the manager process, for good; return when all agents have ended.

        Args:
            disown: Leave the agents running instead.
            disown_services: Leave compose services as they are.

        Returns:
            Whether everything was ended, and a sentence.
        """
        if not self._closing:
            self._disown, self._disown_services = disown, disown_services
        self._closing = True
        if not self._stopped.is_set():
            self.agent.stop("manager", password=self.agent)
            self._stop_requested.set()
            await self._stopped.wait()
        return await self._stop_host()

    async def _stop_host(self) -> RequestResult:
        if self._disown:
            return self.parts.host.disown()
        result = await self.parts.host.stop(disown_services=self._disown_services)
        if self._closing:
            self.parts.target_store.mark_clean_end()
        return result


def _stop_reactor_soon() -> None:
    reactor.callLater(REPLY_FLUSH, reactor.stop)
