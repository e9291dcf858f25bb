"""The settings of an instance as a manager reports them, and as clients read that."""

from collections.abc import Mapping
from typing import Any

from hostmanager.core.model import InstanceSettings
from hostmanager.siteconfig.settings import SETTINGS


def settings_data(settings: InstanceSettings) -> dict[str, Any]:
    """The settings as clients get them: by key, without those that have their default.

    Without the environment: it may have secrets, and everybody at the router can read this.
    """
    values = {
        key: getattr(settings, setting.attribute)
        for key, setting in SETTINGS.items()
        if setting.type is not dict
    }
    return {key: value for key, value in values.items() if value != SETTINGS[key].default}


def settings_from_data(data: Any, configured: InstanceSettings) -> InstanceSettings | None:
    """The settings that a manager reports; None if it reports none, as others than ours do.

    The environment is not reported. It is taken as configured: the fingerprint tells the difference.
    """
    if not isinstance(data, Mapping):
        return None
    known = {
        SETTINGS[key].attribute: value
        for key, value in data.items()
        if key in SETTINGS and SETTINGS[key].type is not dict
    }
    if isinstance(known.get("after"), list):
        known["after"] = tuple(known["after"])
    return InstanceSettings(**known, environment=configured.environment)
