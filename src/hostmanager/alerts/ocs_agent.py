"""The alarm service as an agent of OCS: it can be asked from anywhere, and its heartbeat is seen.

Its operations are tasks: `alerts` (what `status` gives, in the session's data), `ack` (incident,
reason, requested_by) and `silence` (host, agents, seconds or end, reason, requested_by).
"""

import argparse
import math
import signal
import time
from collections.abc import Callable
from typing import Any

from autobahn.twisted.wamp import ApplicationRunner
from autobahn.wamp.types import ComponentConfig
from ocs.ocs_agent import OCSAgent
from twisted.internet import reactor

from hostmanager.alerts.service import AlarmService
from hostmanager.client.alarm_client import ALERTS_CLASS
from hostmanager.client.site_model import Site
from hostmanager.core.request_origin import validate_origin
from hostmanager.core.requests import RequestError

MAX_SILENCE = 90 * 86_400.0
"""Seconds, as for the silences that managers keep."""

_Result = tuple[bool, str]


class AlarmAgent(OCSAgent):
    """OCS's agent, without its habit of ending when the router does."""

    subscribed_topics: set[str]
    realm_joined: bool

    def onConnect(self) -> None:  # noqa: N802 - autobahn's name
        """Join. OCS would also take over the process's signals here."""
        self.join(self.config.realm)

    def onLeave(self, _details: Any) -> None:  # noqa: N802
        """Leave the realm; autobahn connects again."""
        if self.heartbeat_call is not None and self.heartbeat_call.running:
            self.heartbeat_call.stop()
        self.subscribed_topics = set()
        self.realm_joined = False
        self.disconnect()


class Operations:
    """The operations, as OCS calls them: each in a thread."""

    def __init__(self, service: AlarmService) -> None:
        self._service = service

    def register(self, agent: AlarmAgent) -> None:
        """Register them with OCS."""
        for name, work in (("alerts", self.alerts), ("ack", self.ack), ("silence", self.silence)):
            agent.register_task(name, _guarded(work), min_privs=0 if name == "alerts" else 1)

    def alerts(self, session: Any, _params: Any) -> _Result:
        """**Task** - What is wrong, who was notified, how the receivers are, in the session's data."""
        session.data = self._service.status()
        return True, "The alerts are in the session's data."

    def ack(self, _session: Any, params: Any) -> _Result:
        """**Task** - No more reminders of an incident: `incident`, `reason`, `requested_by`."""
        return self._service.acknowledge(params.get("incident"), *validate_origin(params))

    def silence(self, _session: Any, params: Any) -> _Result:
        """**Task** - No alarms for a host, or some of its agents, for a time.

        Parameters: `host`, `agents` (none: all), `seconds` or `end`, `reason`, `requested_by`.
        """
        host, agents = params.get("host"), params.get("agents") or []
        if not isinstance(host, str) or not host:
            raise RequestError("'host' must be the name of a host.")
        if not isinstance(agents, list) or not all(isinstance(each, str) for each in agents):
            raise RequestError("'agents' must be a list of instance-ids.")
        if params.get("end"):
            return self._service.end_silence(host, agents)
        seconds = params.get("seconds")
        if isinstance(seconds, bool) or not isinstance(seconds, int | float):
            raise RequestError("'seconds' must be a number: how long the silence lasts.")
        if not math.isfinite(seconds) or not 1 <= seconds <= MAX_SILENCE:
            raise RequestError("'seconds' must be from 1 to 90 days.")
        return self._service.silence(host, agents, seconds, *validate_origin(params))


def _guarded(work: Callable[[Any, Any], _Result]) -> Callable[[Any, Any], _Result]:
    def run(session: Any, params: Any) -> _Result:
        try:
            return work(session, params if isinstance(params, dict) else {})
        except RequestError as problem:
            return False, str(problem)

    run.__doc__ = work.__doc__
    return run


def run_agent(site: Site, alerts_id: str, service: AlarmService) -> None:
    """Keep the agent connected to the router, until SIGTERM or SIGINT."""
    # Before there are timers. Otherwise a wall clock that is set back holds them up, as in the manager.
    reactor.seconds = time.monotonic
    hub = site.config.hub.data
    args = argparse.Namespace(
        instance_id=alerts_id,
        agent_class=ALERTS_CLASS,
        site_hub=hub["wamp_server"],
        site_realm=hub["wamp_realm"],
        address_root=hub["address_root"],
        access_policy=hub.get("access_policy"),
        log_dir=None,
        working_dir=None,
        crossbar_timeout=0,  # for ever
    )
    agent = AlarmAgent(
        ComponentConfig(args.site_realm, {}),
        args,
        address=f"{args.address_root}.{alerts_id}",
        class_name=ALERTS_CLASS,
    )
    Operations(service).register(agent)
    runner = ApplicationRunner(args.site_hub, args.site_realm)
    runner.run(agent, start_reactor=False, auto_reconnect=True)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: reactor.callFromThread(reactor.stop))
    reactor.run(installSignalHandlers=False)
