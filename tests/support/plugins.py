"""What is installed here, asked once: for tests of `hostmanager check` that are about something else.

A check imports OCS, and each agent, in a process of its own: most of the time that it takes.
"""

import functools
import json
from collections.abc import Mapping, Sequence

import pytest

from hostmanager.cli.check import agents
from hostmanager.siteconfig.plugins.argument_probe import ArgumentVerdict, Argv
from hostmanager.siteconfig.plugins.installed_classes import InstalledClasses

_installed_plugins = agents.InstalledPlugins


@functools.cache
def _verdicts(cases: str) -> tuple[InstalledClasses, dict[str, ArgumentVerdict]]:
    plugins = _installed_plugins()
    try:
        return plugins.classes, plugins.probe_arguments(json.loads(cases))
    finally:
        plugins.close()


class PluginsAskedOnce:
    """In the place of `InstalledPlugins`; the first time, the real one is asked."""

    def __init__(self, _cwd: str | None = None) -> None:
        self.classes = _verdicts("{}")[0]

    def probe_arguments(self, cases: Mapping[str, Sequence[Argv]]) -> dict[str, ArgumentVerdict]:
        """What the parsers of these classes say."""
        return _verdicts(json.dumps(cases, sort_keys=True))[1]

    def close(self) -> None:
        """Nothing is to be ended."""


def ask_plugins_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have `hostmanager check`, in this process, ask for the same only once."""
    monkeypatch.setattr(agents, "InstalledPlugins", PluginsAskedOnce)
