"""What an agent reads when it is launched, as a short text: equal if a restart changes nothing."""

import hashlib
import json
from typing import Any

from hostmanager.siteconfig.host_block import DEFAULT_TIMEOUT, OVERRIDES, TIMEOUT_KEY
from hostmanager.siteconfig.settings import SETTINGS_KEY

_FINGERPRINT_CHARACTERS = 16


def entry_fingerprint(entry: dict[str, Any], hub: dict[str, Any], host: dict[str, Any]) -> str:
    """Digest what the agent reads when it is launched: equal if a restart changes nothing."""
    read = {
        "entry": {k: value for k, value in entry.items() if k not in ("manage", SETTINGS_KEY)},
        "hub": hub,
        "host": {
            TIMEOUT_KEY: host.get(TIMEOUT_KEY, DEFAULT_TIMEOUT),
            **{key: host[key] for key in (*OVERRIDES, "log-dir") if key in host},
        },
    }
    text = json.dumps(_canonical(read), separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:_FINGERPRINT_CHARACTERS]


def _canonical(value: object) -> object:
    """Give plain data a form that does not depend on the order of keys.

    YAML has keys that are no strings, dates, sets and bytes, which JSON has not.
    """
    if isinstance(value, dict):
        pairs = [[repr(key), _canonical(item)] for key, item in value.items()]
        return {"mapping": sorted(pairs, key=lambda pair: str(pair[0]))}
    if isinstance(value, list | tuple):
        return [_canonical(item) for item in value]
    if isinstance(value, set):
        return {"set": sorted(repr(item) for item in value)}
    return value if isinstance(value, str) else repr(value)
