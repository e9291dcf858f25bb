"""Real OCS clients, and what they see."""

from typing import Any

import requests
from ocs.ocs_client import OCSClient

from tests.support.sites import Site
from tests.support.waiting import wait_for


def client(site: Site, instance_id: str | None = None, timeout: float = 15.0) -> OCSClient:
    """Return a client of an agent (of the manager, unless told), once that agent answers."""
    expected = instance_id or site.manager_id
    return wait_for(
        lambda: OCSClient(expected, args=site.args), timeout, f"{expected} to answer at the router"
    )


def children(manager: OCSClient) -> dict[str, dict[str, Any]]:
    """`child_states` of the manager process, by instance-id; empty before there are any."""
    session = manager.manager.status().session or {}
    data = session.get("data") or {}
    return {child["instance_id"]: child for child in data.get("child_states", [])}


def states(manager: OCSClient) -> dict[str, str]:
    """`next_action` (what clients show as the present state) by instance-id."""
    return {name: child["next_action"] for name, child in children(manager).items()}


def call(site: Site, action: str, operation: str, timeout: float = 30.0, **params: Any) -> Any:
    """One raw request to the manager over the HTTP bridge: ``[status, message, session]``."""
    reply = requests.post(
        site.router.http,
        json={
            "procedure": f"{site.address_root}.{site.manager_id}.ops",
            "args": [action, operation, params],
            "kwargs": {},
        },
        timeout=timeout,
    ).json()
    if "error" in reply:
        raise LookupError(reply["error"])
    return reply["args"][0]
