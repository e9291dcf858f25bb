"""Where the manager's program begins: its command line is read, its claims are made, its log is begun."""

import argparse
import gc
import logging
import os
import resource
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from hostmanager.agent.daemon import early_signals, pid1
from hostmanager.agent.daemon.log_output import log_level, start_log
from hostmanager.agent.daemon.single_instance import ManagerRunningError, acquire_manager_lock
from hostmanager.agent.directories import DirectoryError
from hostmanager.agent.options import make_manager_parser
from hostmanager.agent.program import ManagerProgram
from hostmanager.agent.settings import ManagerSettings, make_settings
from hostmanager.drivers.process import LaunchGate
from hostmanager.drivers.process.priority import raise_manager_priority
from hostmanager.siteconfig.command_line import UsageError, parse_agent_args
from hostmanager.siteconfig.diagnostics import SiteFileError
from hostmanager.siteconfig.plugins.installed_classes import finish_class_probe, start_class_probe
from hostmanager.siteconfig.site_file import with_known_classes
from hostmanager.siteconfig.stable_read import load_stable
from hostmanager.util.names import encode_id
from hostmanager.util.network.notify_socket import from_environ
from hostmanager.util.secret import Secret

log = logging.getLogger("hostmanager")

MAX_OPEN_FILES = 16384
"""Files that may be open, if the hard limit allows: some four for each agent."""

EXIT_USAGE = 2

FIRST_LAUNCHES, FIRST_LAUNCHES_PREFERRED = 1, 5
"""Agents for each processor that are launched before the manager is registered; more, if it takes
precedence over them."""


def main(args: Sequence[str] | None = None, prog: str | None = None) -> None:
    """Run the manager until it is requested to end.

    Args:
        args: The command line; default: the process's own.
        prog: Name of the command for its help.
    """
    early_signals.note_signals()  # an importer of this may have, sooner
    pid1.leave_process_1()
    argv = list(sys.argv[1:] if args is None else args)
    preferred = raise_manager_priority()  # its own start takes precedence, too
    notify_socket = from_environ(os.environ)  # before anything is launched that could inherit it
    try:
        probe = start_class_probe(sys.executable, _working_dir_in(argv))
    except OSError as error:
        _exit_usage(
            f"this user cannot start a program with {sys.executable}: {error}. "
            "It could not start agents either; let it execute that file, or use another interpreter."
        )
    try:
        parser = make_manager_parser(prog)
        namespace, site_config = parse_agent_args(parser, argv, os.environ, read=load_stable)
        if isinstance(namespace.access_policy, str):  # passwords may be in it
            namespace.access_policy = Secret(namespace.access_policy)
        if namespace.quiet:
            _be_quiet()
        settings, warnings = make_settings(namespace, site_config)
        lock = acquire_manager_lock(settings.state_dir, settings.key, settings.site_key)
    except BaseException as error:  # --help as well
        probe.kill()
        probe.wait()
        usage = (UsageError, ManagerRunningError, SiteFileError, DirectoryError, ValueError)
        if isinstance(error, usage):
            _exit_usage(str(error))
        raise
    _start_log(namespace, settings)
    for warning in warnings:
        log.warning(warning)
    site_config = with_known_classes(site_config, finish_class_probe(probe))
    _raise_open_files_limit()
    gate = LaunchGate()
    per_processor = FIRST_LAUNCHES_PREFERRED if preferred else FIRST_LAUNCHES
    gate.close(len(os.sched_getaffinity(0)) * per_processor)
    with lock:
        program = ManagerProgram(namespace, settings, notify_socket, gate)
        exit_code = program.run(site_config)
        gc.freeze()  # else Python looks through 800 modules for cycles, for 0.2 s, before it exits
        raise SystemExit(exit_code)


def _exit_usage(text: str) -> NoReturn:
    print(f"hostmanager: {text}", file=sys.stderr)
    raise SystemExit(EXIT_USAGE) from None


def _raise_open_files_limit() -> None:
    """Allow as many open files as the hard limit does: each agent takes a few."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft = MAX_OPEN_FILES if hard == resource.RLIM_INFINITY else min(MAX_OPEN_FILES, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _working_dir_in(argv: Sequence[str]) -> Path:
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--working-dir", default=".")
    path = Path(parser.parse_known_args(argv)[0].working_dir)
    return path if path.is_dir() else Path()


def _start_log(args: argparse.Namespace, settings: ManagerSettings) -> None:
    file = None
    if args.log_dir is not None and settings.output_dir == settings.working_dir / args.log_dir:
        name = encode_id(f"{args.address_root}.{args.instance_id}")
        file = settings.output_dir / f"{name}.log"
    start_log(
        log_level().upper(), file, ("hostmanager", "asyncio"), f"hostmanager-{args.instance_id}"
    )


def _be_quiet() -> None:
    """Print nothing, not even what OCS prints."""
    null = os.open(os.devnull, os.O_WRONLY)
    for fd in (1, 2):
        os.dup2(null, fd)
    os.close(null)


if __name__ == "__main__":
    main()
