"""The operations of the HostManager agent, as OCS clients see them (contract, section 4).

A thin face: parameters are screened by OCS, everything else is asked of the `Host`. The
docstrings of the operations are shown to operators by their clients.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any

from ocs import ocs_agent
from twisted.internet import reactor
from twisted.internet.defer import Deferred, succeed

from hostmanager.agent import record
from hostmanager.agent.access import READING
from hostmanager.agent.assembly import host_of
from hostmanager.agent.connection import RouterSession
from hostmanager.agent.history import answer as answer_history
from hostmanager.agent.host import Answer, Host, NotRunningError
from hostmanager.agent.tail import answer_output
from hostmanager.agent.views import SessionData, session_data
from hostmanager.core.requests import RequestError

ANSWER_TIME = 0.15
"""Seconds from an answer to its arrival: the manager leaves thereafter."""

ASKING_TIME = 2.0
"""Seconds that a client has to ask how `die` went; later, nobody is there to answer."""

BEGINNING = 5.0
"""Seconds that an `update` waits for a manager process that is reading its site config."""

MESSAGES_KEPT = 200
"""A browser gets all messages of a session each second."""

Result = tuple[bool, str]


def as_deferred(coroutine: Coroutine[Any, Any, Result]) -> "Deferred[Result]":
    """Run a coroutine on the loop; Twisted is told of its end."""
    return Deferred.fromFuture(asyncio.ensure_future(coroutine))


class HostManager:
    """Keeps the agents of this host in the state that their operators want.

    Args:
        agent: The OCS agent that the operations belong to.
        docker_composes: Compose files to manage.
        docker_service_prefix: What goes before an instance-id in a compose service's name.
        host: What does the work; default: one made from the agent's `site_args`, on the
            running event loop.
        leave: Called once `die` has done its work and was answered; default: stops the reactor.
    """

    def __init__(
        self,
        agent: Any,
        docker_composes: Sequence[str] = (),
        docker_service_prefix: str = "ocs-",
        *,
        host: Host | None = None,
        leave: Callable[[], None] | None = None,
    ) -> None:
        self.agent = agent
        self.docker_composes = list(docker_composes)
        self.docker_service_prefix = docker_service_prefix
        self.host = host or host_of(agent.site_args, docker_composes, docker_service_prefix)
        if host is None:
            asyncio.get_event_loop().call_soon(self.host.dockers.start)
        self._leave = leave or _stop_reactor_soon
        self._closing = False
        self._disown = self._disown_dockers = False
        self._stop_asked = asyncio.Event()  # of the present session; a late stop hits an old one
        self._idle = asyncio.Event()
        self._idle.set()
        self._begun = asyncio.Event()  # what comes while it is reading its site config waits
        self._begun.set()

    def register(self) -> None:
        """Register all operations with the agent; what only reads is open to every client."""
        agent = self.agent
        rule: dict[str, Any] = {"blocking": False, "min_privs": self.host.settings.min_privs}
        read: dict[str, Any] = {"blocking": False, "min_privs": READING}
        agent.register_process("manager", self.manager, self._stop_manager, **rule)
        agent.register_task("update", self.update, **rule)
        agent.register_task("remove_orphans", self.remove_orphans, **rule)
        agent.register_task("docker_pull", self.docker_pull, **rule)
        agent.register_task("die", self.die, **rule)
        agent.register_task("history", self.history, **read)
        agent.register_task("output", self.output, **read)
        if isinstance(agent, RouterSession):
            agent.queued |= {"update", "history", "output"}

    async def _noted(
        self,
        operation: str,
        session: Any,
        params: dict[str, Any],
        work: Coroutine[Any, Any, Result],
        *,
        asked: bool = True,
    ) -> Result:
        """Do what was asked for, and write down both that it was asked for and what came of it."""
        if asked:
            record.asked(self.host.journal, operation, session, params)
        result = await work
        record.answered(self.host.journal, operation, session, params, result)
        return result

    # --- manager ----------------------------------------------------------------------------

    @ocs_agent.param("requests", default=[])
    @ocs_agent.param("reload_config", default=True, type=bool)
    def manager(self, session: Any, params: dict[str, Any]) -> "Deferred[Result]":
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

        Notes:
          The state of each agent is in ``session.data['child_states']``: what
          is wanted (``target_state``), how it is (``next_action``), its ``pid``,
          how often it was restarted, how it ended last and what it said
          (``last_exit``), and a ``message`` if something is wrong with it.
        """
        self._stop_asked = asyncio.Event()
        work = self._manage(session, params, self._stop_asked)
        asked = not self.host.running  # else the program itself has begun
        return as_deferred(self._noted("manager", session, params, work, asked=asked))

    async def _manage(
        self, session: Any, params: dict[str, Any], stop_asked: asyncio.Event
    ) -> Result:
        if self._closing:
            return False, "The host manager is about to exit; nothing is started any more."
        self._idle.clear()
        session.data = SessionData(lambda: session_data(self.host))
        # What happened before there was a session: the first agents are up by now.
        session.messages[:0] = self.host.unheard
        self.host.unheard.clear()
        self.host.say = lambda text: say(session, text)
        try:
            # When the program starts, the host is running already, router or not.
            if not self.host.running:
                self._begun.clear()
                try:
                    await self._begin(session, params)
                finally:
                    self._begun.set()
            await stop_asked.wait()
            if not self._disown:
                say(session, "Stopping all agents.")
            answer = await self._finish()
            return answer.ok, answer.text
        except RequestError as error:
            return False, str(error)
        finally:
            self.host.say = self.host.say_later
            self._idle.set()

    async def _begin(self, session: Any, params: dict[str, Any]) -> None:
        if params["reload_config"]:
            await self._reload_config(session, params["requests"])
        else:
            self.host.begin_again(params["requests"])
        if not_kept := await self.host.wanted.kept():
            say(session, not_kept)

    async def _reload_config(self, session: Any, requests: Any = ()) -> Answer:
        """Read the site config; begin with it, or, if running, follow its changes."""
        if self.host.running:
            return await self.host.update(requests, reload_config=True)
        return self.host.begin(await self.host.read_site(), requests)

    def _stop_manager(self, session: Any, params: Any) -> "Deferred[Result]":
        session.set_status("stopping")
        if not self._closing:  # OCS does not tell who stops it; the session is that of the start
            record.asked(self.host.journal, "manager stop", None, {})
        self._stop_asked.set()
        return succeed((True, "All agents are being stopped."))

    # --- update -----------------------------------------------------------------------------

    @ocs_agent.param("requests", default=[])
    @ocs_agent.param("reload_config", default=False, type=bool)
    def update(self, session: Any, params: dict[str, Any]) -> "Deferred[Result]":
        """update(requests=[], reload_config=False)

        **Task** - Say which agents should be up or down. Returns at once;
        watch the state of the agents in the data of the manager process.

        Args:
          requests (list): pairs (instance_id, target_state), carried out in
            order. The instance_id is that of an agent on this host, or
            'all'; the target_state is 'up' or 'down'. If one of them makes
            no sense, none is carried out.
          reload_config (bool): whether to read the site config first. New
            agents are started, those that are gone from it are stopped,
            and all others are left alone.

        Examples:
          All up but one::

            client.update(requests=[('all', 'up'), ('data1', 'down')])

          Read the site config again::

            client.update(reload_config=True)
        """
        return as_deferred(self._noted("update", session, params, self._update(session, params)))

    async def _update(self, session: Any, params: dict[str, Any]) -> Result:
        with suppress(TimeoutError):  # a disk that hangs; what is so then is said below
            await asyncio.wait_for(self._begun.wait(), BEGINNING)
        try:
            if params["reload_config"]:
                answer = await self._reload_running(session, params["requests"])
            else:
                answer = self.host.set_targets(params["requests"])
        except RequestError as error:
            self.host.say(f"Refused: {error}")
            return False, str(error)
        except NotRunningError:
            if not self._begun.is_set():
                return False, (
                    f"The manager process has been reading the site config for {BEGINNING:g} s and "
                    "more (a slow plugin, or a slow disk), so nothing was done. Ask again soon."
                )
            return False, (
                "The manager process is not running, so nothing was done. Start it first "
                "(manager.start())."
            )
        if answer.lines:
            self.host.say(f"Told: {answer.brief}")
        not_kept = await self.host.wanted.kept()
        session.data = {"not_kept": not_kept}
        return answer.ok, " ".join(filter(None, (answer.text, not_kept)))

    async def _reload_running(self, session: Any, requests: Any) -> Answer:
        if not self.host.running:
            raise NotRunningError
        return await self._reload_config(session, requests)

    # --- history ----------------------------------------------------------------------------

    @ocs_agent.param("instance_id", default=None)
    @ocs_agent.param("limit", default=100)
    @ocs_agent.param("since", default=None)
    def history(self, session: Any, params: dict[str, Any]) -> "Deferred[Result]":
        """history(instance_id=None, limit=100, since=None)

        **Task** - Say what happened: who asked for what, which agents were
        started, ended or changed their state, and when. It works, too, while
        the manager process is not running.

        Args:
          instance_id (str): only what concerns this agent, which need not
            exist any more. Default: everything.
          limit (int): the newest so many entries, from 1 to 10000.
          since (float): nothing from before this Unix time.

        Notes:
          The entries are in ``session.data['entries']``, the newest last::

            {'id': 7, 'time': 1700000000.5, 'kind': 'exit', 'instance_id': 'fake1',
             'text': 'exited with code 1 after 3.2 s, unexpectedly', 'data': {...}}

          The kinds are ``manager``, ``request``, ``result``, ``reload``,
          ``launch``, ``exit``, ``state``, ``output`` and ``journal``. An
          answer of more than 1000 entries is forgotten after a minute.
        """
        return as_deferred(answer_history(self.host.journal, session, params))

    # --- output -----------------------------------------------------------------------------

    @ocs_agent.param("instance_id")
    @ocs_agent.param("lines", default=100)
    @ocs_agent.param("since", default=None)
    def output(self, session: Any, params: dict[str, Any]) -> "Deferred[Result]":
        """output(instance_id, lines=100, since=None)

        **Task** - The newest lines that an agent printed, of earlier runs,
        too, with their times.

        Args:
          instance_id (str): whose.
          lines (int): how many at most, 1 to 10000.
          since (float): only those after this Unix time.

        Notes:
          The answer is in ``session.data``: ``lines`` is a list of pairs (Unix
          time or null, text), the oldest first; ``file`` is where all of it is.
          Of a compose service they come from the log of its container, as
          long as there is one; ``file`` is null then. ``files`` are all
          that there are, older ones included.
        """
        return as_deferred(answer_output(self.host, session, params))

    # --- compose services -------------------------------------------------------------------

    @ocs_agent.param("_")
    def remove_orphans(self, session: Any, params: dict[str, Any]) -> "Deferred[Result]":
        """remove_orphans()

        **Task** - Stop and remove orphaned containers: those that run for a
        service which is no longer in its compose file. They are listed in
        ``session.data['orphans']`` of the manager process. Containers of
        other compose files are left alone.
        """
        work = self.host.dockers.remove_orphans(lambda text: say(session, text))
        return as_deferred(self._noted("remove_orphans", session, {}, work))

    @ocs_agent.param("_")
    def docker_pull(self, session: Any, params: dict[str, Any]) -> "Deferred[Result]":
        """docker_pull()

        **Task** - Pull the images that the compose files name. Containers
        that run are left as they are: the manager process shows for each
        whether a newer image is there now (``restart_required``). An image
        that cannot be pulled keeps no other from being pulled.
        """
        work = self.host.dockers.pull(lambda text: say(session, text))
        return as_deferred(self._noted("docker_pull", session, {}, work))

    # --- die --------------------------------------------------------------------------------

    @ocs_agent.param("disown_dockers", default=False, type=bool)
    @ocs_agent.param("disown", default=False, type=bool)
    def die(self, session: Any, params: dict[str, Any]) -> "Deferred[Result]":
        """die(disown_dockers=False, disown=False)

        **Task** - Stop all agents, then end the host manager itself. It can
        then be started again only on the host; where it is a service of
        systemd, that starts it again at once.

        Args:
          disown_dockers (bool): leave docker services as they are.
          disown (bool): leave all agents running, for the next host manager
            of this host, which takes them over as they are: for an upgrade
            that no agent notices.
        """
        return as_deferred(self._noted("die", session, params, self._die(params)))

    async def _die(self, params: dict[str, Any]) -> Result:
        answer = await self.stop(disown=params["disown"], disown_dockers=params["disown_dockers"])
        self._leave()
        return answer.ok, answer.text

    async def stop(self, *, disown: bool = False, disown_dockers: bool = False) -> Answer:
        """Stop the manager process, for good; return when all agents have ended.

        Args:
            disown: Leave the agents running instead.
            disown_dockers: Leave compose services as they are.

        Returns:
            Whether everything was ended, and a sentence.
        """
        if not self._closing:
            self._disown, self._disown_dockers = disown, disown_dockers
        self._closing = True
        if not self._idle.is_set():
            self.agent.stop("manager", password=self.agent)
            self._stop_asked.set()
            await self._idle.wait()
        return await self._finish()

    async def be_asked(self) -> None:
        """Give the client that asked for `die` the time to ask how it went, and be told."""
        if self.agent.realm_joined:
            with suppress(TimeoutError):
                await asyncio.wait_for(self.agent.end_told.wait(), ASKING_TIME)
        await asyncio.sleep(ANSWER_TIME)

    async def _finish(self) -> Answer:
        if self._disown:
            return self.host.disown()
        answer = await self.host.end(disown_dockers=self._disown_dockers)
        if self._closing:
            self.host.wanted.end()
        return answer


def _stop_reactor_soon() -> None:
    reactor.callLater(ANSWER_TIME, reactor.stop)


def say(session: Any, text: str) -> None:
    """Put a message into a session; the latest are kept."""
    session.add_message(text)
    del session.messages[:-MESSAGES_KEPT]
