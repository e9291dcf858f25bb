"""The site file: what should run on this host, and what is wrong with the file.

The names below are the room's public face. They are imported when they are first used,
because `python -m hostmanager.siteconfig.plugins.installed_classes` passes through here and has to start quickly.
`difference` here is the module: the function is `hostmanager.siteconfig.diff.diff_specs`.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hostmanager.siteconfig.command_line import UsageError, parse_agent_args, resolve_site_file
    from hostmanager.siteconfig.diagnostics import Diagnostic, Severity, SiteFileError
    from hostmanager.siteconfig.diff import SiteDiff
    from hostmanager.siteconfig.plugins.installed_classes import (
        InstalledClasses,
        finish_probe,
        probe,
        start_probe,
    )
    from hostmanager.siteconfig.site_file import SiteFile, load, load_all, with_known_classes
    from hostmanager.siteconfig.stable_read import load_settled

__all__ = [
    "Diagnostic",
    "InstalledClasses",
    "Severity",
    "SiteDiff",
    "SiteFile",
    "SiteFileError",
    "UsageError",
    "finish_probe",
    "load",
    "load_all",
    "load_settled",
    "parse_agent_args",
    "probe",
    "resolve_site_file",
    "start_probe",
    "with_known_classes",
]

_MODULES = {
    "plugins.installed_classes": ("InstalledClasses", "finish_probe", "probe", "start_probe"),
    "diff": ("SiteDiff",),
    "command_line": ("UsageError", "parse_agent_args", "resolve_site_file"),
    "diagnostics": ("Diagnostic", "Severity", "SiteFileError"),
    "stable_read": ("load_settled",),
    "site_file": ("SiteFile", "load", "load_all", "with_known_classes"),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
