"""The operations of the HostManager agent, as OCS clients see them (contract, section 4).

A thin layer: OCS checks the parameters, the `Host` does everything else. The docstrings of the
operations are shown to operators by their clients.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any

from ocs import ocs_agent
from twisted.internet import reactor
from twisted.internet.defer import Deferred, succeed

from hostmanager.agent import audit
from hostmanager.agent.framework.embedded import EmbeddedManager
from hostmanager.agent.framework.router_session import RouterSession
from hostmanager.agent.host import (
    MAX_TEXT_CHARS,
    Host,
    NotRunningError,
    RequestResult,
)
from hostmanager.agent.operations.access import READ_LEVEL
from hostmanager.agent.operations.coroutine_operation import (
    TaskResult,
    add_message,
    as_deferred,
    operation,
    takes_origin,
)
from hostmanager.agent.operations.history import run_history
from hostmanager.agent.operations.output import run_output
from hostmanager.agent.operations.resources import run_resources
from hostmanager.agent.operations.session_data import LiveSessionData, session_data
from hostmanager.agent.startup_state import StartupState
from hostmanager.core.request_origin import RequestOrigin
from hostmanager.core.requests import RequestError
from hostmanager.util.text import truncate

REPLY_FLUSH = 0.15
"""Seconds from a reply to its arrival: the manager leaves thereafter."""

RESULT_POLL_TIMEOUT = 2.0
"""Seconds that a client has to request the result of `die`; later, nobody is there to reply."""

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
        host: The host that it manages; default: one made from the agent's `site_args` when the
            `manager` process is started, on the event loop that runs then.
        on_die: Called once `die` has done its work; default: stops the reactor.
    """

    def __init__(
        self,
        agent: Any,
        docker_composes: Sequence[str] = (),
        docker_service_prefix: str = "ocs-",
        *,
        host: Host | None = None,
        on_die: Callable[[], None] | None = None,
    ) -> None:
        self.agent = agent
        self.docker_composes = list(docker_composes)
        self.docker_service_prefix = docker_service_prefix
        self._host = host
        self._before: StartupState | None = None
        self._on_die = on_die or _stop_reactor_soon
        self._closing = False
        self._disown = self._disown_services = False
        self._stop_requested = asyncio.Event()  # of the present session: a late stop has an old one
        self._stopped = asyncio.Event()
        self._stopped.set()
        self._started = asyncio.Event()  # requests wait while it reads its site config
        self._started.set()

    @property
    def host(self) -> Host:
        """The host that it manages.

        Raises:
            NotRunningError: There is none yet; the text is for people.
        """
        if self._host is None:
            raise NotRunningError(NOT_RUNNING)
        return self._host

    def register(self) -> None:
        """Register all operations with the agent; what only reads is open to every client."""
        agent = self.agent
        min_privs = getattr(agent.site_args, "min_privs", 1)
        rule: dict[str, Any] = {"blocking": False, "min_privs": min_privs}
        read: dict[str, Any] = {"blocking": False, "min_privs": READ_LEVEL}
        agent.register_process("manager", self.manager, self._stop_manager, **rule)
        agent.register_task("update", self.update, **rule)
        agent.register_task("restart", self.restart, **rule)
        agent.register_task("silence", self.silence, **rule)
        agent.register_task("remove_orphans", self.remove_orphans, **rule)
        agent.register_task("docker_pull", self.docker_pull, **rule)
        agent.register_task("die", self.die, **rule)
        agent.register_task("history", self.history, **read)
        agent.register_task("output", self.output, **read)
        agent.register_task("resources", self.resources, **read)
        if isinstance(agent, RouterSession):
            agent.queue_starts("update", "restart", "silence", "history", "output", "resources")

    def prepare(self, name: str) -> None:
        """Prepare for an operation.

        Raises:
            EmbeddingError: The manager cannot be run by this program.
            NotRunningError: It has not been started yet.
        """
        if name == "manager":
            if self._host is None:
                self._set_up()
            self._stop_requested = asyncio.Event()
        elif self._host is None:
            raise NotRunningError(NOT_RUNNING)

    def _set_up(self) -> None:
        embedded = EmbeddedManager(
            self.agent.site_args, self.docker_composes, self.docker_service_prefix
        )
        self._host, self._before = embedded.host, embedded.before
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
        journal = self.host.journal
        if name != "manager" or not self.host.running:  # else the program itself has started it
            audit.record_request(journal, name, session, params)
        ok, text = await work
        result = (ok, truncate(text, MAX_TEXT_CHARS))
        audit.record_result(journal, name, session, params, result)
        return result

    # --- manager ----------------------------------------------------------------------------

    @takes_origin
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
        session.data = LiveSessionData(lambda: session_data(self.host))
        # From before there was a session: the first agents are up by now.
        session.messages[:0] = self.host.early_messages
        self.host.early_messages.clear()
        # What nobody can read must not keep an instance from its launch.
        guard = self.host.supervisor.guard
        self.host.emit_message = lambda text: guard.call(
            "a message", lambda: add_message(session, text)
        )
        try:
            # When the program starts, the host is running already, router or not.
            if not self.host.running:
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
            self.host.emit_message = self.host.buffer_message
            self._stopped.set()

    async def _start_host(self, params: dict[str, Any], origin: RequestOrigin) -> None:
        if params["reload_config"]:
            site_config = await self.host.read_site_config()
            self.host.start(site_config, params["requests"], self._before, origin)
            self._before = None  # only now: a start that is refused has used nothing up
        else:
            self.host.start(None, params["requests"], origin=origin)
        if not_kept := await self.host.target_store.flush():
            self.host.emit_message(not_kept)

    def _reload_config(self, session: Any = None) -> "Deferred[TaskResult]":
        """Read the site config again, and follow its changes."""
        return self.update(session, {"reload_config": True})

    def _stop_manager(self, session: Any, params: Any) -> "Deferred[TaskResult]":
        session.set_status("stopping")
        if self._host and not self._closing:  # the session is that of the start, not of the stop
            audit.record_request(self.host.journal, "manager stop", None, {})
        self._stop_requested.set()
        return succeed((True, "All agents are being stopped."))

    # --- update -----------------------------------------------------------------------------

    @takes_origin
    @ocs_agent.param("requests", default=[])
    @ocs_agent.param("reload_config", default=False, type=bool)
    @operation()
    async def update(self, session: Any, params: dict[str, Any]) -> TaskResult:
        """update(requests=[], reload_config=False)

        **Task** - Set which agents should be up or down. Returns at once;
        watch the state of the agents in the data of the manager process.

        Args:
          requests (list): pairs (instance_id, target_state), carried out in
            order. The instance_id is that of an agent on this host, or
            'all'; the target_state is 'up' or 'down'. If one of them makes
            no sense, none is carried out.
          reload_config (bool): whether to read the site config first. New
            agents are started, those that are gone from it are stopped,
            and all others are left alone.
          reason (str): why, for others to read; at most 200 characters.
          requested_by (str): who, as ``user@host``; nobody proves it.

        Examples:
          All up but one::

            client.update(requests=[('all', 'up'), ('data1', 'down')])

          Read the site config again::

            client.update(reload_config=True)
        """
        await self._wait_started()
        origin = audit.session_origin(session, params)
        try:
            result = await self.host.update(params["requests"], params["reload_config"], origin)
        except RequestError as error:
            self.host.emit_message(f"Refused: {error}")
            return False, str(error)
        except NotRunningError:
            return False, self._why_not_running()
        if result.lines:
            self.host.emit_message(request_message(result.summary, origin))
        not_kept = await self.host.target_store.flush()
        session.data = {"not_kept": not_kept}
        return result.ok, " ".join(filter(None, (result.text, not_kept)))

    async def _wait_started(self) -> None:
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

    # --- restart ----------------------------------------------------------------------------

    @takes_origin
    @ocs_agent.param("instances", default=[])
    @operation()
    async def restart(self, session: Any, params: dict[str, Any]) -> TaskResult:
        """restart(instances=[])

        **Task** - Restart agents: each whose target is up is ended, and
        started again as soon as it has ended. Returns once they are on their
        way. The manager completes it, whatever happens to its client, to the router,
        or to itself; only ``update`` to 'down' cancels it.

        Args:
          instances (list): the instance_ids of agents on this host, or ['all'].
            If one of them makes no sense, none is restarted.
          reason (str): why, for others to read; at most 200 characters.
          requested_by (str): who, as ``user@host``; nobody proves it.

        Notes:
          An agent whose target is down is left so; one that waits to be started
          again is started at once. A compose service is ended only once its
          image is here; if that is not available, it goes on, and the result says
          why. The service that runs the router is restarted last, alone.

          ``session.data`` shows what became of each: ``restarting`` and
          ``preparing`` (whose image is being pulled first) are lists of ids,
          ``left`` and ``refused`` have the reason for each id, ``router`` is
          the one that runs the router, or null. In ``child_states`` of the
          manager process, ``restarting`` is true until the new run exists.

        Examples:
          ::

            client.restart(instances=['fake1', 'acu1'])
        """
        await self._wait_started()
        try:
            outcome = await self.host.restart(params["instances"])
        except RequestError as error:
            self.host.emit_message(f"Refused: {error}")
            return False, str(error)
        except NotRunningError:
            return False, self._why_not_running()
        session.data = outcome.as_data()
        return not outcome.refused, " ".join(outcome.lines)

    # --- history ----------------------------------------------------------------------------

    @ocs_agent.param("instance_id", default=None)
    @ocs_agent.param("limit", default=100)
    @ocs_agent.param("since", default=None)
    @ocs_agent.param("before", default=None)
    @operation(journaled=False)
    async def history(self, session: Any, params: dict[str, Any]) -> TaskResult:
        """history(instance_id=None, limit=100, since=None, before=None)

        **Task** - Show what happened: requests and their results, which agents
        were started, ended or changed their state, and when. It works, too, while
        the manager process is not running.

        Args:
          instance_id (str): only what concerns this agent, which need not
            exist any more. Default: everything.
          limit (int): the newest so many entries, from 1 to 10000.
          since (float): nothing from before this Unix time.
          before (int): only what is older than the entry of this id.

        Notes:
          The entries are in ``session.data['entries']``, the newest last::

            {'id': 7, 'time': 1700000000.5, 'kind': 'exit', 'instance_id': 'fake1',
             'text': 'exited with code 1 after 3.2 s, unexpectedly', 'data': {...}}

          The kinds are ``manager``, ``request``, ``result``, ``reload``,
          ``launch``, ``exit``, ``state``, ``output``, ``router`` and ``journal``.
          Where there are more than ``limit``, or than fit into a reply,
          ``session.data['older']`` is what to give as ``before`` for the next
          older ones; else it is null. A reply of more than 1000 entries is
          forgotten after a minute.
        """
        return await run_history(self.host.journal, session, params)

    # --- output -----------------------------------------------------------------------------

    @ocs_agent.param("instance_id", default=None)
    @ocs_agent.param("lines", default=100)
    @ocs_agent.param("since", default=None)
    @ocs_agent.param("before", default=None)
    @operation(journaled=False)
    async def output(self, session: Any, params: dict[str, Any]) -> TaskResult:
        """output(instance_id=None, lines=100, since=None, before=None)

        **Task** - The newest lines that an agent printed, of earlier runs,
        too, with their times.

        Args:
          instance_id (str): whose. Default: the newest lines of all agents.
          lines (int): how many at most, 1 to 10000; of all agents: 1 to 1000.
          since (float): only those after this Unix time.
          before (list): only those before this position, which a reply has
            given as ``older``.

        Notes:
          The result is in ``session.data``: ``lines`` is a list of pairs (Unix
          time or null, text), the oldest first; of all agents it is a list of
          triples, with the instance_id as the third. ``file`` is where all of
          it is. Where there is more than was requested, or than fits into a
          reply, ``older`` is what to give as ``before`` for the next older
          lines; else it is null. Of a compose service they come from the log
          of its container, as long as there is one; ``file`` and ``older`` are
          null then. ``files`` are all that there are, older ones included.
        """
        return await run_output(self.host, session, params)

    @ocs_agent.param("instance_id", default=None)
    @operation(journaled=False)
    async def resources(self, session: Any, params: dict[str, Any]) -> TaskResult:
        """resources(instance_id=None)

        **Task** - What agents used of the host in the last hour. What they use
        now is in ``child_states`` of the manager process.

        Args:
          instance_id (str): whose. Default: all, as much as fits into a reply.

        Notes:
          The result is in ``session.data``: ``columns`` are the names of the
          values of a sample, ``interval`` is the seconds between two of them,
          ``samples`` is a list of samples for each instance_id, the oldest
          first. ``time`` is Unix seconds, ``cpu`` is in cores, ``memory`` in
          bytes; -1 is a value that is not known.
        """
        return run_resources(self.host, session, params["instance_id"])

    # --- silence ----------------------------------------------------------------------------

    @takes_origin
    @ocs_agent.param("instances", default=[])
    @ocs_agent.param("seconds", default=None)
    @ocs_agent.param("end", default=False, type=bool)
    @operation()
    async def silence(self, session: Any, params: dict[str, Any]) -> TaskResult:
        """silence(instances=[], seconds=None, end=False)

        **Task** - Do not warn of agents for a time: they are shown as
        silenced, and nothing about them counts as wrong. It stops nothing,
        ends by itself, and holds over the death of the manager.

        Args:
          instances (list): the instance_ids of agents on this host, or ['all'].
          seconds (float): how long, from 1 s to 90 days.
          end (bool): end their silences instead.
          reason (str): why, for others to read; at most 200 characters.
          requested_by (str): who, as ``user@host``; nobody proves it.
        """
        origin = audit.session_origin(session, params)
        try:
            text = self.host.silence(params["instances"], params["seconds"], params["end"], origin)
        except RequestError as error:
            return False, str(error)
        except NotRunningError:
            return False, self._why_not_running()
        self.host.emit_message(request_message(text, origin))
        return True, " ".join(filter(None, (text, await self.host.target_store.flush())))

    # --- compose services -------------------------------------------------------------------

    @takes_origin
    @operation()
    async def remove_orphans(self, session: Any, params: dict[str, Any]) -> TaskResult:
        """remove_orphans()

        **Task** - Stop and remove orphaned containers: those that run for a
        service which is no longer in its compose file. They are listed in
        ``session.data['orphans']`` of the manager process. Containers of
        other compose files are left alone.

        Args:
          reason (str): why, for others to read; at most 200 characters.
          requested_by (str): who, as ``user@host``; nobody proves it.
        """
        return await self.host.compose.remove_orphans(lambda text: add_message(session, text))

    @takes_origin
    @operation()
    async def docker_pull(self, session: Any, params: dict[str, Any]) -> TaskResult:
        """docker_pull()

        **Task** - Pull the images that the compose files name. Containers
        that run are left as they are: the manager process shows for each
        whether a newer image is there now (``restart_required``). An image
        that cannot be pulled keeps no other from being pulled.

        Args:
          reason (str): why, for others to read; at most 200 characters.
          requested_by (str): who, as ``user@host``; nobody proves it.
        """
        return await self.host.compose.pull(lambda text: add_message(session, text))

    # --- die --------------------------------------------------------------------------------

    @takes_origin
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

    async def wait_for_result_poll(self) -> None:
        """Give the client that requested `die` the time to get its result."""
        if self.agent.realm_joined:
            with suppress(TimeoutError):
                await asyncio.wait_for(self.agent.die_acknowledged.wait(), RESULT_POLL_TIMEOUT)
        await asyncio.sleep(REPLY_FLUSH)

    async def _stop_host(self) -> RequestResult:
        if self._disown:
            return self.host.disown()
        result = await self.host.stop(disown_services=self._disown_services)
        if self._closing:
            self.host.target_store.mark_clean_end()
        return result


def request_message(text: str, origin: RequestOrigin) -> str:
    """What operators read of a request: by whom, what, and why."""
    author = f" by {origin.requested_by}" if origin.requested_by else ""
    return f"Request{author}: {text}" + (f" Reason: {origin.reason}" if origin.reason else "")


def _stop_reactor_soon() -> None:
    reactor.callLater(REPLY_FLUSH, reactor.stop)
