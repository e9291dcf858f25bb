"""Putting the rooms together: settings from options, a host from settings."""

import argparse
import asyncio
import hashlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random

from hostmanager.agent.agent_command import NOT_INHERITED, AgentCommandBuilder
from hostmanager.agent.compose.protocol import ComposeBackend
from hostmanager.agent.directories import output_dir, passing_remarks, root_remarks, state_dir
from hostmanager.agent.framework.event_loop import LoopClock
from hostmanager.agent.host import Host
from hostmanager.agent.operations import audit as record
from hostmanager.agent.options import (
    Settings,
    access_warnings,
    compose_bin,
    compose_files,
    policy_of,
)
from hostmanager.drivers.process import LaunchGate, LogDaemonSink, Ownership, ProcessDriver
from hostmanager.drivers.process.ownership import manager_identity as identity
from hostmanager.journal import Journal
from hostmanager.logd.client import LogDaemonClient
from hostmanager.siteconfig.site_file import SiteFile
from hostmanager.util.secret import Environment

JOURNAL_TIME = 2.0
"""Seconds that the end may wait for the journal to be written."""


def make_host_from_args(
    settings: Settings, loop: asyncio.AbstractEventLoop, gate: LaunchGate | None = None
) -> Host:
    """Make a host with real processes on a real clock; a gate keeps launches back."""
    state = settings.state_dir
    owner = Ownership(
        identity.load_identity(state / "identity", settings.key, settings.site_key), state / "locks"
    )
    scribe = LogDaemonClient(
        settings.state_dir, settings.output_dir, settings.output_size, settings.output_files
    )
    sink = LogDaemonSink(loop, scribe, settings.output_dir)
    driver = ProcessDriver(
        loop, AgentCommandBuilder(settings, os.environ).command, owner, sink, gate
    )

    def tell(text: str) -> None:
        loop.call_soon_threadsafe(lambda: host.emit_message(text))

    journal = Journal(settings.state_dir / "journal.sqlite", tell=tell)

    def say(about: str, text: str) -> None:
        host.emit_message(f"{about}: {text}")

    dockers = _dockers(settings, say)
    host = Host(settings, driver, LoopClock(loop), Random(), journal, dockers=dockers)
    driver.explain_exit = host.router.why_ended
    return host


def _dockers(settings: Settings, say: Callable[[str, str], None]) -> ComposeBackend | None:
    if not settings.compose_files:
        return None
    # 16 MB of memory, for those who have use for it.
    from hostmanager.agent.compose.backend import EngineComposeBackend  # noqa: PLC0415

    return EngineComposeBackend(
        settings.compose_files,
        settings.service_prefix,
        binary=settings.compose_bin,
        cwd=settings.working_dir,
        environ=Environment({k: v for k, v in os.environ.items() if k not in NOT_INHERITED}),
        emit_message=say,
    )


async def close_host(host: Host, exit_code: int) -> None:
    """Let go of what a host holds, when its agents have ended or go on without it."""
    await host.dockers.close()
    host.driver.close()
    host.wanted.close()
    record.manager_ended(host.journal, exit_code)
    host.journal.close(JOURNAL_TIME)


def make_settings(args: argparse.Namespace, site: SiteFile) -> tuple[Settings, list[str]]:
    """Check what the command line and the site file say, and find the folders.

    Returns:
        The settings, and remarks for people.

    Raises:
        ValueError: An option cannot be right; the text names it.
        FolderError: The state folder cannot be used.
    """
    working_dir = Path(args.working_dir or ".").absolute()
    files, remarks = compose_files(args, working_dir)
    binary = compose_bin(args, working_dir)
    ours = site_key(args, Path(site.path))
    address = f"{args.address_root}.{args.instance_id}"
    state = state_dir(args.state_dir, address, ours, os.environ, str(Path(site.path).absolute()))
    log_dir, remark = output_dir(args.log_dir, working_dir, state)
    remarks += [remark] if remark else []
    remarks += [*passing_remarks(state, os.environ), *access_warnings(args)]
    decisive = {"the working directory": working_dir, "the site config": Path(site.path)}
    compose = {f"the compose file {name}, at": working_dir / name for name in files}
    remarks += root_remarks({**decisive, **compose})
    settings = Settings(
        site_file=Path(site.path),
        host=site.host,
        working_dir=working_dir,
        state_dir=state,
        output_dir=log_dir,
        output_size=args.output_size,
        output_files=args.output_files,
        key=manager_key(args),
        site_key=ours,
        policy=policy_of(args),
        python=sys.executable,
        min_privs=args.min_privs,
        compose_files=tuple(files),
        compose_bin=binary,
        service_prefix=args.docker_service_prefix,
        router=args.site_hub or "",
    )
    return settings, remarks


def manager_key(args: argparse.Namespace) -> str:
    """Tell managers apart by what they are to clients: address, realm and router.

    The version before knows its processes by it; see `drivers.process.identity`.
    """
    return _digest(args.address_root, args.instance_id, args.site_realm, args.site_hub)


def site_key(args: argparse.Namespace, site_file: Path) -> str:
    """Tell managers apart by what they manage: address, and real path of the site config."""
    return _digest(args.address_root, args.instance_id, str(os.path.realpath(site_file)))


def _digest(*parts: str) -> str:
    text = "\n".join(parts)
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]
