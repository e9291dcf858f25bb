"""What OCS's unit test does with a HostManager, in a process of its own.

The agent is OCS's with `site_args` that are a mock; operations are called directly, with
parameters that nobody has screened. Prints a JSON object: what each call answered. The argument
is ``default`` or ``asyncio``: which reactor.
"""

import json
import sys
from typing import Any
from unittest import mock

if sys.argv[1] == "asyncio":
    from twisted.internet import asyncioreactor

    asyncioreactor.install()

from ocs.ocs_agent import OCSAgent, OpSession
from twisted.internet import defer, reactor

from hostmanager.agent import HostManager

RESULTS: dict[str, Any] = {}


def make() -> HostManager:
    """The fixture of OCS's tests."""
    args = mock.MagicMock()
    args.log_dir, args.access_policy = None, None
    return HostManager(OCSAgent(mock.MagicMock(), args))


def session_of(name: str) -> OpSession:
    """A session with a mocked application."""
    return OpSession(1, name, app=mock.MagicMock(), status="running")


@defer.inlineCallbacks
def ask() -> Any:
    """Call everything that OCS's test calls, and its sisters."""
    manager = make()
    for name in ("update", "history", "output", "remove_orphans", "docker_pull", "die"):
        operation = getattr(manager, name)
        for params in (None, {}):
            RESULTS[f"{name} {params}"] = yield operation(session_of(name), params=params)
    RESULTS["update strange"] = yield manager.update(session_of("update"), {"strange": 1})
    RESULTS["reload"] = yield manager._reload_config(session_of("update"))
    RESULTS["iterated"] = [None for _ in manager._reload_config(session_of("update"))]
    RESULTS["stop"] = yield manager._stop_manager(session_of("manager"), None)
    RESULTS["manager"] = yield manager.manager(session_of("manager"), params=None)


def end(failure: Any = None) -> None:
    """Tell, and end."""
    RESULTS["failure"] = failure and str(failure)
    print(json.dumps(RESULTS))
    reactor.stop()


# Once before the reactor runs, as at the construction of a fixture.
manager = make()
RESULTS["before"] = manager.update(session_of("update"), params=None).result
reactor.callWhenRunning(lambda: ask().addCallbacks(end, end))
reactor.run()
