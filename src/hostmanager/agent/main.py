"""The manager's process: builds the manager and runs it on one event loop.

The order matters for how soon agents are up, and how soon the manager replies. The site config is
read and the first agents are launched before Twisted, autobahn and OCS's agent framework are
imported. The others follow when the manager is registered: all of a large host at once would take
the processors away from it, just when it has most to do.
"""

import argparse
import asyncio
import faulthandler
import gc
import logging
import os
import resource
import signal
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from hostmanager.agent import audit
from hostmanager.agent.bootstrap import (
    close_host,
    make_host_from_args,
    make_settings,
)
from hostmanager.agent.daemon import early_signals, pid1
from hostmanager.agent.daemon.log_output import start_log
from hostmanager.agent.daemon.sd_notify import Notifier, status_line
from hostmanager.agent.daemon.single_instance import ManagerRunningError, acquire_manager_lock
from hostmanager.agent.directories import DirectoryError
from hostmanager.agent.framework.event_loop import (
    install_reactor,
    new_loop,
    run_reactor,
    skip_optional_imports,
    stop_reactor,
)
from hostmanager.agent.host import NotRunningError
from hostmanager.agent.metrics.page import start_page
from hostmanager.agent.metrics.view import RouterView
from hostmanager.agent.options import ManagerSettings, make_manager_parser
from hostmanager.agent.targets.startup_state import StartupState, load_startup_state
from hostmanager.drivers.process import LaunchGate
from hostmanager.drivers.process.priority import raise_manager_priority
from hostmanager.siteconfig.command_line import UsageError, parse_agent_args
from hostmanager.siteconfig.diagnostics import SiteFileError
from hostmanager.siteconfig.plugins.installed_classes import finish_class_probe, start_class_probe
from hostmanager.siteconfig.site_file import SiteFile, with_known_classes
from hostmanager.siteconfig.stable_read import load_stable
from hostmanager.util.names import encode_id
from hostmanager.util.notify_socket import NotifySocket, from_environ
from hostmanager.util.secret import Secret

log = logging.getLogger("hostmanager")

MAX_OPEN_FILES = 16384
"""Files that may be open, if the hard limit allows: some four for each agent."""

EXIT_OK, EXIT_FAILED, EXIT_USAGE = 0, 1, 2

LAUNCHING_SWITCH_INTERVAL = 0.0005
"""Seconds between two turns of Python's threads while the first agents are launched."""

FIRST_LAUNCHES, FIRST_LAUNCHES_PREFERRED = 1, 5
"""Agents for each processor that are launched before the manager is registered; more, if it takes
precedence over them."""

REGISTRATION_TIMEOUT = 0.25
"""Seconds that the other agents wait for the manager to be registered with its router."""

GOODBYE_TIMEOUT = 0.2
"""Seconds that leaving the router may take."""


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
            f"no program can be started by this user with {sys.executable}: {error}. "
            "Agents could not be either; make it accessible, or use another interpreter."
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
        process = ManagerProcess(namespace, settings, site_config, notify_socket, gate=gate)
        exit_code = process.run()
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


class ManagerProcess:
    """One run of the manager."""

    def __init__(
        self,
        namespace: argparse.Namespace,
        settings: ManagerSettings,
        site_config: SiteFile,
        notify_socket: NotifySocket,
        *,
        gate: LaunchGate,
    ) -> None:
        self.namespace = namespace
        self.site_config = site_config
        self.loop = new_loop()
        asyncio.set_event_loop(self.loop)
        self.loop.set_exception_handler(_log_unhandled)
        self.gate = gate
        self.host = make_host_from_args(settings, self.loop, gate)
        self.guard = self.host.supervisor.guard
        self.session: Any = None
        self.notifier = Notifier(notify_socket, self.host.clock, self._status)
        if self.notifier.enabled:
            faulthandler.enable()  # where it hung, if systemd's watchdog has to end it
            self.host.snapshot.subscribe(lambda *_: self.notifier.changed())
        self.exit_code = EXIT_OK
        self._ending: asyncio.Task[None] | None = None
        self._reloads: set[asyncio.Task[None]] = set()

    def run(self) -> int:
        """Run until requested to end; returns the exit status."""
        self._handle_signals()
        # Launching threads get their turns while the main thread imports what follows.
        usual = sys.getswitchinterval()
        sys.setswitchinterval(LAUNCHING_SWITCH_INTERVAL)
        audit.record_manager_start(self.host.journal)
        self.host.start(self.site_config, before=self._startup_state())
        self.loop.call_soon(self.notifier.ready)
        self.loop.call_soon(self.host.compose.start)
        if self.namespace.metrics is not None:
            address = self.namespace.metrics
            self.loop.call_soon(start_page, address, self.host, self.loop, self._router_view)
        try:
            self._import_ocs()
            sys.setswitchinterval(usual)
            self._run_ocs_agent()
        except Exception:
            log.exception("the manager failed; its agents are being ended")
            self.exit_code = EXIT_FAILED
            self.gate.open()
            self.loop.run_until_complete(self.host.stop())
        self.loop.run_until_complete(close_host(self.host, self.exit_code))
        return self.exit_code

    def _startup_state(self) -> StartupState:
        before = load_startup_state(
            self.host.driver, self.host.target_store, self.namespace.initial_state
        )
        if early_signals.stop_requested():  # what runs is ended, nothing is launched for a moment
            return StartupState(before.discovered, initial_state="down")
        return before

    def _handle_signals(self) -> None:
        """Act on signals, on the loop.

        Not by the loop's own `add_signal_handler`: uvloop's loses a signal that comes before
        the loop runs, and half a second of imports is still ahead.
        """
        handlers: dict[signal.Signals, Callable[[], None]] = {signal.SIGHUP: self.reload}
        handlers |= {n: partial(self.on_stop_signal, n.name) for n in early_signals.STOP_SIGNALS}
        guarded = {n: self.guard.callback(n.name, handle) for n, handle in handlers.items()}
        on_loop = self.loop.call_soon_threadsafe
        early_signals.hand_over({n: partial(on_loop, handle) for n, handle in guarded.items()})

    def _import_ocs(self) -> None:
        """Import Twisted, autobahn and OCS's framework: half a second, and most of the memory."""
        install_reactor(self.loop)
        with skip_optional_imports():
            import hostmanager.agent.framework.connection  # noqa: PLC0415
        import hostmanager.agent.operations.host_manager  # noqa: F401, PLC0415

    def _run_ocs_agent(self) -> None:
        from hostmanager.agent.framework.connection import RouterConnection  # noqa: PLC0415
        from hostmanager.agent.framework.log_bridge import start_logging  # noqa: PLC0415
        from hostmanager.agent.framework.router_session import RouterSession  # noqa: PLC0415
        from hostmanager.agent.operations.host_manager import HostManager  # noqa: PLC0415

        start_logging(_log_level())
        args = self.namespace
        # The log file is written here: OCS would open whatever is at its name.
        ocs_args = argparse.Namespace(**{**vars(args), "log_dir": None})
        session = RouterSession(ocs_args, f"{args.address_root}.{args.instance_id}")
        self.session = session
        session.on_change = self._on_session_change
        session.on_router = self.guard.callback("the absence of the router", self._on_router)
        self.manager = HostManager(session, host=self.host, on_die=self.exit_after_die)
        self.manager.register()
        self.host.health.enable()
        self.connection = RouterConnection(args.site_hub, session)
        self.loop.call_soon(self._connect)
        run_reactor()

    def _connect(self) -> None:
        self.session.start("manager", {}, password=self.session)
        self.connection.start()
        open_gate = self.guard.callback("delayed launches", self.gate.open)
        self.loop.call_later(REGISTRATION_TIMEOUT, open_gate)

    def _on_router(self, lost_reason: str | None) -> None:
        from hostmanager.agent.framework.heartbeats import RouterHeartbeats  # noqa: PLC0415

        health = self.host.health
        if lost_reason is None:
            self.host.router_absence.on_connected()
            self.manager.publish_figures()
            health.connected(
                RouterHeartbeats(
                    self.session,
                    health.beat,
                    health.set_processes,
                    lambda: self.host.tracker.site_agent_count,
                )
            )
            return
        health.disconnected()
        if not self.session.closing:
            self.host.router_absence.on_lost(lost_reason)

    def _on_session_change(self) -> None:
        self.gate.open()  # registered or refused: that is all of the manager's own start
        self.guard.call("the status for systemd", self.notifier.changed)

    def _router_view(self) -> RouterView:
        session = self.session
        return (
            RouterView()
            if session is None
            else RouterView(session.realm_joined, session.join_count)
        )

    def _status(self) -> str:
        router = "no router" if self.session is None else self.session.status_text
        return status_line(self.host.snapshot.values(), running=self.host.running, router=router)

    # --- the end ----------------------------------------------------------------------------

    def on_stop_signal(self, name: str) -> None:
        """A signal: stop all agents and exit; a second one: escalate."""
        audit.record_request(self.host.journal, name, None, {})
        if self._ending is None:
            log.info("%s: stopping all agents, then exiting", name)
            self._ending = self.loop.create_task(self._end())
        else:
            log.info("%s again: hurrying", name)
            self.host.supervisor.escalate()

    def exit_after_die(self) -> None:
        """All agents have ended: exit, once the client that requested it has the result."""
        if self._ending is None:
            self._ending = self.loop.create_task(self._end(after_die=True))

    async def _end(self, *, after_die: bool = False) -> None:
        self.notifier.stopping()
        try:
            result = await self.manager.stop()
            if not result.ok:
                log.error(result.text)
            self.exit_code = EXIT_OK if result.ok else EXIT_FAILED
            await self.host.target_store.flush()
            if after_die:
                await self.manager.wait_for_result_poll()
            await self.connection.close(GOODBYE_TIMEOUT)
        except Exception:
            log.exception("the end failed")
            self.exit_code = EXIT_FAILED
        stop_reactor()

    # --- SIGHUP -----------------------------------------------------------------------------

    def reload(self) -> None:
        """SIGHUP: read the site config again."""
        audit.record_request(self.host.journal, "SIGHUP", None, {})
        log.info("SIGHUP: reading the site config again")
        reload = self.guard.task(
            "reading the site config again", self._reload(), self._on_reload_failed
        )
        self._reloads.add(reload)
        reload.add_done_callback(self._reloads.discard)

    async def _reload(self) -> None:
        self.notifier.reloading()
        try:
            result = await self.host.update([], reload_config=True)
        except NotRunningError:
            return
        finally:
            self.notifier.reloaded()
        self.host.emit_message(result.text)
        audit.record_result(self.host.journal, "SIGHUP", None, {}, (result.ok, result.text))

    def _on_reload_failed(self, error: Exception) -> None:
        self.host.emit_message(
            f"The site config could not be read again: {error}. All is left as it is"
        )


def _log_unhandled(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log what nobody caught. Not as asyncio does: its texts show the arguments of calls."""
    error = context.get("exception")
    log.error("%s", context.get("message", "a fault on the event loop"), exc_info=error)


def _working_dir_in(argv: Sequence[str]) -> Path:
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--working-dir", default=".")
    path = Path(parser.parse_known_args(argv)[0].working_dir)
    return path if path.is_dir() else Path()


def _log_level() -> str:
    level = os.environ.get("LOGLEVEL", "info").lower()
    return level if level in ("debug", "info", "warn", "error") else "info"


def _start_log(args: argparse.Namespace, settings: ManagerSettings) -> None:
    file = None
    if args.log_dir is not None and settings.output_dir == settings.working_dir / args.log_dir:
        name = encode_id(f"{args.address_root}.{args.instance_id}")
        file = settings.output_dir / f"{name}.log"
    level = {"warn": "WARNING"}.get(_log_level(), _log_level().upper())
    start_log(level, file, ("hostmanager", "asyncio"), f"hostmanager-{args.instance_id}")


def _be_quiet() -> None:
    """Print nothing, not even what OCS prints."""
    null = os.open(os.devnull, os.O_WRONLY)
    for fd in (1, 2):
        os.dup2(null, fd)
    os.close(null)


if __name__ == "__main__":
    main()
