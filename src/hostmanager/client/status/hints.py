"""What a command would do about a finding, in the words of a message. Pure.

Each hint is made here, from what a manager would really do; `test_hints.py` of the tests with a
router, and `test_cli_services.py` of those with an engine, do what each of them says, and compare.
"""

from collections.abc import Mapping
from typing import Any

from hostmanager.client.reload_diff import ReloadChange

_ADD_EFFECTS = {"start": "starts it"}
_REPLACE_EFFECTS = {
    "restart": "would stop it, then start the new one if its class is installed there",
    "start": "would start the new one if its class is installed there",
    "stop": "would stop it, and leave the new one down",
}
_CHANGE_EFFECTS = {
    "needs restart": "has its manager read it; it keeps running as it is until it is restarted",
    "keep": "has its manager read it; its target stays",
}


def reload_hint(host: str, change: ReloadChange | None) -> str:
    """What a reload would do to an agent; None: nothing."""
    command = f"`hostmanager reload --host {host}`"
    if change is None or change.what == "broken":
        return f"{command} would keep it until the file is fixed"
    match change.what:
        case "add":
            effect = _ADD_EFFECTS.get(change.effect, "adds it, and leaves it down")
        case "stop":
            effect = "would stop it" if change.stops else "removes it; it is down"
        case "replace":
            effect = _REPLACE_EFFECTS.get(change.effect, "replaces it, and leaves it down")
        case _:
            effect = _CHANGE_EFFECTS.get(change.effect, "has its manager read it")
    return f"{command} {effect}"


def start_manager_hint(host: str) -> str:
    """How the stopped `manager` process of a host is started: with all of its agents."""
    return f"`hostmanager up --host {host} --all` starts it again, with all of its agents"


def orphans_hint(host: str) -> str:
    """How orphaned containers are looked at."""
    return f"`hostmanager orphans --host {host}` shows them"


def image_hint(host: str, child: Mapping[str, Any]) -> str:
    """How the missing image of a service is got: what is built on its host is never pulled."""
    if not child.get("built"):
        return f"`hostmanager pull --host {host}` pulls it"
    if child["next_action"] == "down":
        return f"`hostmanager up {child['instance_id']}` builds it, and starts it"
    return f"`hostmanager restart {child['instance_id']}` builds it, and restarts it"


def differences_hint(host: str) -> str:
    """How the differences between site config and manager are looked at."""
    return f"`hostmanager diff --host {host}` shows what a reload would do"
