"""How a host-managed instance is launched (contract, section 2)."""

import os
from collections.abc import Mapping
from pathlib import Path

from hostmanager.agent.options import Settings
from hostmanager.core.model import InstanceSpec
from hostmanager.drivers.process import LaunchCommand
from hostmanager.logd import paths as names
from hostmanager.util.secret import Environment

NOT_INHERITED = frozenset(
    # Between systemd and the manager alone: an agent that spoke there would be mistaken for it.
    {"NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"}
    | {"STATE_DIRECTORY", "RUNTIME_DIRECTORY"}
)


class AgentCommandBuilder:
    """Makes the command for each instance."""

    def __init__(self, settings: Settings, environ: Mapping[str, str]) -> None:
        self._settings = settings
        self._env = Environment({k: v for k, v in environ.items() if k not in NOT_INHERITED})
        # What an agent printed last has to be in its file when it dies.
        self._env.setdefault("PYTHONUNBUFFERED", "1")

    def command(self, spec: InstanceSpec) -> LaunchCommand:
        """Tell how to start the instance."""
        settings = self._settings
        argv = (
            *(settings.python, "-m", "ocs.agent_cli"),
            *("--instance-id", spec.instance_id),
            *("--site-file", os.fspath(settings.site_file)),
            *("--site-host", settings.host),
            *("--working-dir", os.fspath(settings.working_dir)),
        )
        output = Path(names.log_file(os.fspath(settings.output_dir), spec.instance_id))
        return LaunchCommand(argv, settings.working_dir, self._env, output)
