"""Listens to the heartbeats that agents publish by way of the router.

OCS's default configuration of crossbar permits what is below the address root alone, so no WAMP
meta API tells who is there. `{address root}.{instance-id}.feeds.heartbeat` has the state of every
operation of the agent, once a second.
"""

import logging
from collections.abc import Callable, Collection
from typing import Any

from autobahn.twisted.wamp import ApplicationSession
from autobahn.wamp.types import SubscribeOptions
from twisted.internet.defer import ensureDeferred

from hostmanager.agent.framework.router_session import RouterSession
from hostmanager.agent.monitoring.health_monitor import HealthMonitor

log = logging.getLogger(__name__)

WILDCARD = "*"

EXACT_COST, WILDCARD_COST = 5.2, 1.2
"""Messages for each agent and window: four to subscribe and unsubscribe, and its heartbeats; or
the heartbeats alone, but those of all the site's agents."""


class RouterHeartbeats:
    """Subscriptions to the heartbeats of agents, in one session with the router.

    Args:
        session: The session.
        monitor: Gets the heartbeats, and what agents answer.
        site_agents: How many agents the whole site has.
    """

    def __init__(
        self,
        session: RouterSession,
        monitor: HealthMonitor,
        site_agents: Callable[[], int],
    ) -> None:
        self._session, self._joined = session, session.join_count
        self._monitor, self._site_agents = monitor, site_agents
        self._root = session.agent_address.rpartition(".")[0]
        self._wanted: set[str] = set()
        self._active: dict[str, Any] = {}
        self._changing: set[str] = set()

    def listen_to(self, instance_ids: Collection[str]) -> None:
        """Deliver the heartbeats of these instances, and of no others, from now on."""
        ids = set(instance_ids)
        if len(ids) * EXACT_COST > (self._site_agents() + 1) * WILDCARD_COST:
            ids = {WILDCARD}
        self._wanted = ids
        for name in (ids ^ self._active.keys()) - self._changing:
            self._start(name)

    def is_listening_to(self, instance_id: str) -> bool:
        """Whether the heartbeats of an instance would be delivered by now."""
        return instance_id in self._active or WILDCARD in self._active

    def request_processes(self, instance_id: str) -> None:
        """Ask an agent which of its operations are processes."""
        ensureDeferred(self._ask(instance_id))

    # --- the router ------------------------------------------------------------------------------

    def _start(self, name: str) -> None:
        self._changing.add(name)
        ensureDeferred(self._bring_about(name))

    async def _bring_about(self, name: str) -> None:
        """Subscribe or unsubscribe, until that is what is wanted."""
        try:
            while self._is_current() and (name in self._wanted) != (name in self._active):
                if name in self._wanted:
                    self._active[name] = await self._subscribe(name)
                else:
                    await self._active.pop(name).unsubscribe()
        except Exception as error:  # the connection is lost, or the router refuses
            log.debug("heartbeats of %s: %s", name, error)
        finally:
            self._changing.discard(name)

    def _is_current(self) -> bool:
        return bool(self._session.realm_joined) and self._session.join_count == self._joined

    async def _subscribe(self, name: str) -> Any:
        # Not OCS's own `subscribe`, which refuses to subscribe a second time.
        subscribe = ApplicationSession.subscribe
        if name != WILDCARD:
            topic = f"{self._root}.{name}.feeds.heartbeat"
            return await subscribe(self._session, lambda data: self._deliver(name, data), topic)
        options = SubscribeOptions(match="wildcard", details_arg="details")
        topic = f"{self._root}..feeds.heartbeat"
        return await subscribe(self._session, self._deliver_any, topic, options)

    def _deliver_any(self, data: Any, details: Any) -> None:
        topic = str(details.topic)
        self._deliver(topic.removeprefix(f"{self._root}.").removesuffix(".feeds.heartbeat"), data)

    def _deliver(self, name: str, data: Any) -> None:
        """Take a heartbeat; anybody may publish anything."""
        if not isinstance(data, list | tuple) or len(data) != 2:
            return
        op_codes, feed = data
        if not isinstance(op_codes, dict) or not isinstance(feed, dict):
            return
        codes = {str(op): code for op, code in op_codes.items() if isinstance(code, int)}
        self._monitor.beat(name, str(feed.get("session_id", "")), codes)

    async def _ask(self, instance_id: str) -> None:
        try:
            address = f"{self._root}.{instance_id}"
            api = await ApplicationSession.call(self._session, address, "get_api")
            names = [str(process[0]) for process in api["processes"]]
        except Exception as error:  # it may answer anything, or be gone
            log.debug("operations of %s: %s", instance_id, error)
            return
        self._monitor.set_processes(instance_id, names)
