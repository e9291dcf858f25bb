"""The site file: what should run on this host, and what is wrong with the file.

The names below are the room's public face. They are imported when they are first used,
because `python -m hostmanager.site.classes` passes through here and has to start quickly.
`difference` here is the module: the function is `hostmanager.site.difference.difference`.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hostmanager.site.classes import Classes, finish_probe, probe, start_probe
    from hostmanager.site.difference import Difference
    from hostmanager.site.options import UsageError, effective_args, resolve_site_file
    from hostmanager.site.problems import Problem, Severity, SiteFileError
    from hostmanager.site.settled import load_settled
    from hostmanager.site.sitefile import SiteFile, load, load_all, with_known_classes

__all__ = [
    "Classes",
    "Difference",
    "Problem",
    "Severity",
    "SiteFile",
    "SiteFileError",
    "UsageError",
    "effective_args",
    "finish_probe",
    "load",
    "load_all",
    "load_settled",
    "probe",
    "resolve_site_file",
    "start_probe",
    "with_known_classes",
]

_MODULES = {
    "classes": ("Classes", "finish_probe", "probe", "start_probe"),
    "difference": ("Difference",),
    "options": ("UsageError", "effective_args", "resolve_site_file"),
    "problems": ("Problem", "Severity", "SiteFileError"),
    "settled": ("load_settled",),
    "sitefile": ("SiteFile", "load", "load_all", "with_known_classes"),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
