"""Whether this host has what the limits of its agents need: cgroups, controllers, systemd."""

import subprocess
from contextlib import suppress

from hostmanager.cli.check.report import Category, CheckReport
from hostmanager.siteconfig.checks.full_check import CheckedSite
from hostmanager.siteconfig.settings import SETTINGS_KEY
from hostmanager.util import cgroup
from hostmanager.util.numbers import parse_number

CONTROLLERS = {"memory-max": "memory", "cpu-quota": "cpu"}
"""The controller that each of these settings needs."""

NEEDED_SYSTEMD = 254


def check_limits(site: CheckedSite, here: str, report: CheckReport) -> None:
    """Name the limits of this host's agents that cannot be applied here.

    What the manager has is known for certain only to itself: its child states say it.
    """
    for instance in site.instances:
        settings = instance.node.get(SETTINGS_KEY) if instance.host == here else None
        if settings is None or not settings.is_mapping:
            continue
        for key, controller in CONTROLLERS.items():
            value = settings.get(key)
            obstacle = limit_obstacle(controller) if value is not None else ""
            if obstacle:
                text = f"the setting {key!r} cannot be applied here: {obstacle}."
                hint = "The agents run without it; see the page on settings."
                report.warning(Category.MANAGER, value, text, hint, agent=instance)


def limit_obstacle(controller: str) -> str:
    """Why a limit of a controller cannot be had on this host, as a clause; empty: perhaps it can."""
    mount = cgroup.mount_point()
    if mount is None:
        return "this host has no cgroups of version 2"
    there = cgroup.controllers(mount[0])
    if controller not in there:
        names = ", ".join(sorted(there)) or "none"
        return f"its cgroups of version 2 have no {controller} controller (controllers: {names})"
    version = systemd_version()
    if version is not None and version < NEEDED_SYSTEMD:
        return f"it takes systemd {NEEDED_SYSTEMD} or later, and here is {version}"
    return ""


def systemd_version() -> int | None:
    """The version of systemd here; None if there is none."""
    with suppress(OSError, subprocess.SubprocessError):
        argv = ["systemctl", "--version"]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=10, check=True)
        words = done.stdout.split()
        return parse_number(words[1]) if len(words) > 1 else None
    return None
