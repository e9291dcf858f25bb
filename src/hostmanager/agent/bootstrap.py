"""Builds the manager from its options: settings, the command of each agent, the host."""

import argparse
import asyncio
import hashlib
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random

from hostmanager.agent import audit
from hostmanager.agent.compose.protocol import ComposeBackend
from hostmanager.agent.directories import (
    output_dir,
    root_path_warnings,
    state_dir,
    volatile_state_warnings,
)
from hostmanager.agent.framework.event_loop import LoopClock
from hostmanager.agent.host import Host
from hostmanager.agent.options import (
    ManagerSettings,
    access_warnings,
    compose_bin,
    compose_files,
    policy_of,
)
from hostmanager.core.model import InstanceSpec, Kind
from hostmanager.drivers.process import (
    LaunchCommand,
    LaunchGate,
    LogDaemonSink,
    Ownership,
    ProcessDriver,
    WarmLauncher,
    find_cgroups,
)
from hostmanager.drivers.process.ownership import manager_identity
from hostmanager.journal import Journal
from hostmanager.logd.client import LogDaemonClient
from hostmanager.logd.paths import log_file
from hostmanager.siteconfig.site_file import SiteFile
from hostmanager.util.secret import Environment

JOURNAL_CLOSE_TIMEOUT = 2.0
"""Seconds that the end may wait for the journal to be written."""

NOT_INHERITED = frozenset(
    # Between systemd and the manager alone: an agent that spoke there would be mistaken for it.
    {"NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"}
    | {"STATE_DIRECTORY", "RUNTIME_DIRECTORY"}
)


class AgentCommandBuilder:
    """Makes the command that launches each agent (contract, section 2)."""

    def __init__(self, settings: ManagerSettings, environ: Mapping[str, str]) -> None:
        self._settings = settings
        self._environ = inherited_environ(environ)
        # What an agent printed last has to be in its file when it dies.
        self._environ.setdefault("PYTHONUNBUFFERED", "1")

    def command(self, spec: InstanceSpec) -> LaunchCommand:
        """Make the command that launches an instance."""
        settings = self._settings
        argv = (
            *(settings.python, "-m", "ocs.agent_cli"),
            *("--instance-id", spec.instance_id),
            *("--site-file", os.fspath(settings.site_file)),
            *("--site-host", settings.host),
            *("--working-dir", os.fspath(settings.working_dir)),
        )
        output = Path(log_file(os.fspath(settings.output_dir), spec.instance_id))
        return LaunchCommand(
            argv, settings.working_dir, self._environ, output, warm=settings.warm_launch
        )


def inherited_environ(environ: Mapping[str, str]) -> Environment:
    """What agents and compose commands inherit of the environment."""
    return Environment({k: v for k, v in environ.items() if k not in NOT_INHERITED})


def make_host_from_args(
    settings: ManagerSettings, loop: asyncio.AbstractEventLoop, gate: LaunchGate | None = None
) -> Host:
    """Make a host with real processes on a real clock; a gate delays launches."""
    state, key = settings.state_dir, settings.key
    identity = manager_identity.load_identity(state / "identity", key, settings.site_key)
    log_daemon = LogDaemonClient(
        state, settings.output_dir, settings.output_size, settings.output_files
    )
    sink = LogDaemonSink(loop, log_daemon, settings.output_dir)
    driver = ProcessDriver(
        loop,
        AgentCommandBuilder(settings, os.environ).command,
        Ownership(identity, state / "locks", find_cgroups(identity.values[0])),
        sink,
        gate,
        warm=WarmLauncher() if settings.warm_launch else None,
    )

    def emit_from_thread(text: str) -> None:
        loop.call_soon_threadsafe(lambda: host.emit_message(text))

    def emit_about(subject: str, text: str) -> None:
        host.emit_message(f"{subject}: {text}")

    journal = Journal(state / "journal.sqlite", on_message=emit_from_thread)
    compose = _make_compose_backend(settings, emit_about)
    host = Host(settings, driver, LoopClock(loop), Random(), journal, compose=compose)
    host.log_daemon = sink
    driver.explain_exit = host.router_absence.exit_reason
    driver.memory_peak = host.resources.peak_text
    return host


def _make_compose_backend(
    settings: ManagerSettings, emit_about: Callable[[str, str], None]
) -> ComposeBackend | None:
    if not settings.compose_files:
        return None
    # 16 MB of memory, for those who have use for it.
    from hostmanager.agent.compose.backend import EngineComposeBackend  # noqa: PLC0415

    return EngineComposeBackend(
        settings.compose_files,
        settings.service_prefix,
        binary=settings.compose_bin,
        cwd=settings.working_dir,
        environ=inherited_environ(os.environ),
        emit_message=emit_about,
    )


async def close_host(host: Host, exit_code: int) -> None:
    """Release what a host holds, when its agents have ended or go on without it."""
    await host.compose.close()
    host.driver.close()
    host.target_store.close()
    audit.record_manager_end(host.journal, exit_code)
    host.journal.close(JOURNAL_CLOSE_TIMEOUT)


def make_settings(
    args: argparse.Namespace, site_config: SiteFile
) -> tuple[ManagerSettings, list[str]]:
    """Check what the command line and the site config say, and find the directories.

    Returns:
        The settings, and warnings for people.

    Raises:
        ValueError: An option cannot be right; the text names it.
        DirectoryError: The state directory cannot be used.
    """
    site_file = Path(site_config.path)
    working_dir = Path(args.working_dir or ".").absolute()
    files, warnings = compose_files(args, working_dir)
    key = site_key(args, site_file)
    address = f"{args.address_root}.{args.instance_id}"
    state = state_dir(args.state_dir, address, key, os.environ, str(site_file.absolute()))
    output, warning = output_dir(args.log_dir, working_dir, state)
    warnings += [warning] if warning else []
    warnings += [*volatile_state_warnings(state, os.environ), *access_warnings(args)]
    decisive = {"the working directory": working_dir, "the site config": site_file}
    compose = {f"the compose file {name}, at": working_dir / name for name in files}
    warnings += root_path_warnings({**decisive, **compose})
    settings = ManagerSettings(
        site_file=site_file,
        host=site_config.host,
        working_dir=working_dir,
        state_dir=state,
        output_dir=output,
        output_size=args.output_size,
        output_files=args.output_files,
        key=_digest(args, args.site_realm, args.site_hub),
        site_key=key,
        policy=policy_of(args),
        python=sys.executable,
        min_privs=args.min_privs,
        compose_files=tuple(files),
        compose_bin=compose_bin(args, working_dir),
        service_prefix=args.docker_service_prefix,
        router=args.site_hub or "",
        warm_launch=args.warm_launch == "auto" and _is_warm_worth_it(site_config),
    )
    return settings, warnings


def _is_warm_worth_it(site_config: SiteFile) -> bool:
    """Whether there are agents that share what a fork server has imported: one alone would pay more."""
    settings = [spec.settings for spec in site_config.specs if spec.kind is Kind.HOST]
    return sum(each.warm and not each.environment for each in settings) > 1


def site_key(args: argparse.Namespace, site_file: Path) -> str:
    """Identify a manager by what it manages: its address, and the real path of the site config.

    (`ManagerSettings.key`, by address, realm and router, is how earlier versions know agents.)
    """
    return _digest(args, str(os.path.realpath(site_file)))


def _digest(args: argparse.Namespace, *parts: str) -> str:
    text = "\n".join((args.address_root, args.instance_id, *parts))
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]
