"""Builds the manager on real processes and a real clock, and takes it down."""

import asyncio
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random

from hostmanager.agent import audit
from hostmanager.agent.compose.protocol import ComposeBackend
from hostmanager.agent.framework.event_loop import LoopClock
from hostmanager.agent.operator_messages import OperatorMessages
from hostmanager.agent.parts import ManagerParts
from hostmanager.agent.settings import ManagerSettings
from hostmanager.core.model import InstanceSpec
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
from hostmanager.util.secret import Environment

JOURNAL_CLOSE_TIMEOUT = 2.0
"""Seconds that the end may wait for the journal to be written."""

NOT_INHERITED = frozenset(
    # Between systemd and the manager alone: an agent that spoke there would be mistaken for it.
    {"NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"}
    | {"STATE_DIRECTORY", "RUNTIME_DIRECTORY"}
)


def inherited_environ(environ: Mapping[str, str]) -> Environment:
    """What agents and compose commands inherit of the environment."""
    return Environment({k: v for k, v in environ.items() if k not in NOT_INHERITED})


def command_maker(settings: ManagerSettings) -> Callable[[InstanceSpec], LaunchCommand]:
    """Make what makes the command that launches each agent (contract, section 2)."""
    environ = inherited_environ(os.environ)
    # What an agent printed last has to be in its file when it dies.
    environ.setdefault("PYTHONUNBUFFERED", "1")

    def command(spec: InstanceSpec) -> LaunchCommand:
        argv = (
            *(settings.python, "-m", "ocs.agent_cli"),
            *("--instance-id", spec.instance_id),
            *("--site-file", os.fspath(settings.site_file)),
            *("--site-host", settings.host),
            *("--working-dir", os.fspath(settings.working_dir)),
        )
        output = Path(log_file(os.fspath(settings.output_dir), spec.instance_id))
        warm = settings.warm_launch and spec.settings.may_be_forked
        return LaunchCommand(argv, settings.working_dir, environ, output, warm=warm)

    return command


def make_parts(
    settings: ManagerSettings, loop: asyncio.AbstractEventLoop, gate: LaunchGate | None = None
) -> ManagerParts:
    """Make the parts of a manager, with real processes on a real clock; a gate delays launches."""
    state, key = settings.state_dir, settings.key
    identity = manager_identity.load_identity(state / "identity", key, settings.site_key)
    log_daemon = LogDaemonClient(
        state, settings.output_dir, settings.output_size, settings.output_files
    )
    messages = OperatorMessages()
    sink = LogDaemonSink(loop, log_daemon, settings.output_dir, messages.emit)
    driver = ProcessDriver(
        loop,
        command_maker(settings),
        Ownership(identity, state / "locks", find_cgroups(identity.values[0])),
        sink,
        gate,
        warm=WarmLauncher(lambda: parts.host.tracker.forkable_count),
    )

    def emit_from_thread(text: str) -> None:
        loop.call_soon_threadsafe(messages.emit, text)

    journal = Journal(state / "journal.sqlite", on_message=emit_from_thread)
    compose = _make_compose_backend(settings, messages)
    parts = ManagerParts(
        *(settings, driver, LoopClock(loop), Random()),
        journal=journal,
        messages=messages,
        compose=compose,
    )
    parts.log_daemon = sink
    driver.ended.explain_exit = parts.router_absence.exit_reason
    driver.ended.memory_peak = parts.resources.peak_text
    return parts


def _make_compose_backend(
    settings: ManagerSettings, messages: OperatorMessages
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
        emit_message=messages.emit_about,
    )


async def close_parts(parts: ManagerParts, exit_code: int) -> None:
    """Release what the parts hold, when the agents have ended or go on without a manager."""
    await parts.host.reader.close()
    await parts.compose.close()
    parts.driver.close()
    parts.target_store.close()
    audit.record_manager_end(parts.journal, exit_code)
    parts.journal.close(JOURNAL_CLOSE_TIMEOUT)
