"""What a command would do about a finding, in the words of a message. Pure.

Each hint is made here, from what a manager would really do; `test_hints.py` of the tests with a
router does what each of them says, and compares.
"""

from hostmanager.client.reload_diff import ReloadChange

_ADD_EFFECTS = {"start": "starts it"}
_REPLACE_EFFECTS = {
    "restart": "would stop it, then start the new one if its class is installed there",
    "start": "would start the new one if its class is installed there",
    "stop": "would stop it, and leave the new one down",
}
_CHANGE_EFFECTS = {
    "needs restart": "has its manager read it; it runs on as it is until it is restarted",
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


def pull_hint(host: str) -> str:
    """How a missing image is got."""
    return f"`hostmanager pull --host {host}` pulls it"


def differences_hint(host: str) -> str:
    """How the differences between site config and manager are looked at."""
    return f"`hostmanager diff --host {host}` shows what a reload would do"
