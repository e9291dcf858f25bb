"""Requests to the manager of a site, over the router's HTTP bridge; any may get no answer."""

import http.client
import json
from collections.abc import Callable
from typing import Any

from hostmanager.testing.crossbar_router import CrossbarRouter
from tests.support.sites import Site

States = dict[str, dict[str, Any]]


class Calls:
    """Requests to one manager.

    Args:
        site: Whose manager.
        router: Tells which router there is at present.
    """

    def __init__(self, site: Site, router: Callable[[], CrossbarRouter]) -> None:
        self._router = router
        self.procedure = f"{site.address_root}.{site.manager_id}.ops"

    def call(self, *args: object, timeout: float = 5.0) -> list[Any] | None:
        """One request to the manager; None: no answer, or none from a manager."""
        reply = self.post(self.body(*args), timeout)
        return None if reply is None or "error" in reply else reply["args"][0]

    def body(self, *args: object) -> bytes:
        """The bytes of a request."""
        return json.dumps({"procedure": self.procedure, "args": args, "kwargs": {}}).encode()

    def post(self, body: bytes, timeout: float = 5.0) -> dict[str, Any] | None:
        """Send bytes to the router's HTTP bridge."""
        line = http.client.HTTPConnection("127.0.0.1", self._router().port, timeout=timeout)
        try:
            line.request("POST", "/call", body, {"Content-Type": "application/json"})
            reply = json.loads(line.getresponse().read())
        except (OSError, http.client.HTTPException, ValueError):
            return None
        finally:
            line.close()
        return reply if isinstance(reply, dict) else None

    def update(self, **params: Any) -> bool:
        """Start `update` and wait for its end; returns whether it was a success."""
        started = self.call("start", "update", params, timeout=20.0)
        if started is None or started[0] != 0:
            return False
        result = self.call("wait", "update", None, 20, timeout=25.0)
        return bool(result and result[0] == 0 and result[2].get("success"))

    def shown(self) -> States | None:
        """`child_states` by instance-id; None: no answer."""
        answer = self.call("status", "manager", timeout=3.0)
        session = answer[2] if answer else None
        if not session or session.get("status") != "running":
            return None
        states = (session.get("data") or {}).get("child_states")
        return None if states is None else {child["instance_id"]: child for child in states}
