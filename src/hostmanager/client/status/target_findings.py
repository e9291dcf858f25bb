"""Targets that are not those of the site config, and agents that do not get to their target. Pure.

All ages are the manager's: the clock of a client may differ by minutes.
"""

from collections.abc import Mapping
from typing import Any

from hostmanager.client.site_model import SiteEntry
from hostmanager.client.status.model import StatusSeverity, is_done
from hostmanager.util.text import format_age

SOON = 60.0
"""Seconds within which an agent that is being started or stopped should get to its target."""


def by_hand(
    child: Mapping[str, Any], entry: SiteEntry | None, now: float
) -> tuple[StatusSeverity, str] | None:
    """The finding that a target is not the configured one: since when, by whom and why.

    Stopped against the site config is a warning, although somebody wants it so: whoever looks later
    has to know. Started is a note: that is what agents which are configured `down` are for.
    """
    target = str(child["target_state"])
    if entry is None or entry.spec is None or target not in ("up", "down"):
        return None
    configured = str(entry.spec.default_target)
    if configured in (target, "passive") or is_done(child):
        return None
    severity = StatusSeverity.INFO if target == "up" else StatusSeverity.WARNING
    return severity, _origin_text(child, target, configured, now)


def _origin_text(child: Mapping[str, Any], target: str, configured: str, now: float) -> str:
    config = f"(config: {configured})"
    source = child.get("target_source")
    if source == "option":
        return f"{target} by its manager's option --initial-state {config}"
    if source == "config":
        return f"left {target} by the reload that read its entry {config}"
    action = "started" if target == "up" else "stopped"
    parts = [f"{action} by hand", _ago(child.get("target_since"), now)]
    if child.get("target_by"):
        parts.append(f"by {child['target_by']}")
    text = " ".join(filter(None, (*parts, config)))
    return f"{text}: {child['target_reason']}" if child.get("target_reason") else text


def _ago(since: float | None, now: float) -> str:
    if since is None:
        return ""
    return "just now" if now - since < SOON else f"{format_age(now - since)} ago"


def overdue(child: Mapping[str, Any], now: float) -> tuple[StatusSeverity, str] | None:
    """The finding that an agent has not got to its target for more than a minute."""
    since, target = child.get("off_target_since"), child["target_state"]
    # One that was given up says so, and why.
    if since is None or now - since < SOON or target == "passive" or child.get("given_up"):
        return None
    return StatusSeverity.ERROR, f"not {target} for {format_age(now - since)}"
