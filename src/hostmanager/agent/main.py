"""The program: puts the rooms together and runs them on one event loop.

The order of things matters for how soon agents are up, and for how soon anybody can ask for
them. The site file is read and the first agents are launched before Twisted, autobahn and OCS's
agent framework are imported. The others follow when the manager stands: all of a large host at
once would take the processors away from it, just when it has most to do.
"""

import argparse
import asyncio
import faulthandler
import logging
import os
import resource
import signal
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from hostmanager.agent import early_signals, pid1
from hostmanager.agent.bootstrap import close_host, make_host_from_args, make_settings
from hostmanager.agent.directories import FolderError
from hostmanager.agent.framework.event_loop import install_reactor, new_loop, skip_optional_imports
from hostmanager.agent.host import NotRunningError, StartupState
from hostmanager.agent.log_output import LogOutput, start_log
from hostmanager.agent.operations import audit as record
from hostmanager.agent.options import Settings, make_parser
from hostmanager.agent.sd_notify import Notifier, NotifySocket, from_environ, status_line
from hostmanager.agent.single_instance import ManagerRunningError, acquire
from hostmanager.drivers.process import LaunchGate
from hostmanager.drivers.process.priority import raise_manager_priority
from hostmanager.siteconfig.command_line import UsageError, parse_agent_args
from hostmanager.siteconfig.diagnostics import SiteFileError
from hostmanager.siteconfig.plugins.installed_classes import finish_class_probe, start_class_probe
from hostmanager.siteconfig.site_file import SiteFile, with_known_classes
from hostmanager.siteconfig.stable_read import load_stable
from hostmanager.util.names import encode_id
from hostmanager.util.secret import Secret

log = logging.getLogger("hostmanager")

FILES = 16384
"""Files that may be open, if the hard limit allows: some four for each agent."""

EXIT_OK, EXIT_FAILED, EXIT_USAGE = 0, 1, 2

LAUNCHING_SWITCH_INTERVAL = 0.0005
"""Seconds between two turns of Python's threads while the first agents are launched."""

FIRST_LAUNCHES, FIRST_LAUNCHES_PREFERRED = 1, 5
"""Agents for each processor that are launched before the manager stands; more, if it takes
precedence over them."""

REGISTRATION_TIME = 0.25
"""Seconds that the other agents wait for the manager to be registered with its router."""

GOODBYE_TIME = 0.2
"""Seconds that saying goodbye to the router may take."""


def main(args: Sequence[str] | None = None, prog: str | None = None) -> None:
    """Run the manager until it is told to end.

    Args:
        args: The command line; default: the process's own.
        prog: Name of the command for its help.
    """
    early_signals.install()  # by whoever imports this, too late for some; then here
    pid1.leave_process_1()
    argv = list(sys.argv[1:] if args is None else args)
    preferred = raise_manager_priority()  # its own start takes precedence, too
    line = from_environ(os.environ)  # before anything is launched that could inherit it
    try:
        probe = start_class_probe(sys.executable, _working_dir_in(argv))
    except OSError as error:
        print(
            f"hostmanager: no program can be started by this user with {sys.executable}: {error}. "
            "Agents could not be either; make it accessible, or use another interpreter.",
            file=sys.stderr,
        )
        raise SystemExit(EXIT_USAGE) from None
    try:
        namespace, site = parse_agent_args(make_parser(prog), argv, os.environ, read=load_stable)
        if isinstance(namespace.access_policy, str):  # passwords may be in it
            namespace.access_policy = Secret(namespace.access_policy)
        if namespace.quiet:
            _be_quiet()
        settings, remarks = make_settings(namespace, site)
        alone = acquire(settings.state_dir, settings.key, settings.site_key)
    except (UsageError, ManagerRunningError, SiteFileError, FolderError, ValueError) as error:
        probe.kill()
        probe.wait()
        print(f"hostmanager: {error}", file=sys.stderr)
        raise SystemExit(EXIT_USAGE) from None
    except BaseException:
        probe.kill()  # --help and the like
        probe.wait()
        raise
    output = _start_log(namespace, settings)
    for remark in remarks:
        log.warning(remark)
    site = with_known_classes(site, finish_class_probe(probe))
    _allow_files()
    gate = LaunchGate()
    gate.close(len(os.sched_getaffinity(0)) * _first_launches(preferred))
    with alone:
        raise SystemExit(ManagerProcess(namespace, settings, site, line, output, gate=gate).run())


def _first_launches(preferred: bool) -> int:
    return FIRST_LAUNCHES_PREFERRED if preferred else FIRST_LAUNCHES


def _allow_files() -> None:
    """Allow ourselves as many open files as we may have: each agent takes a few."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES if most == resource.RLIM_INFINITY else min(FILES, most)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


class ManagerProcess:
    """One run of the manager."""

    def __init__(
        self,
        namespace: argparse.Namespace,
        settings: Settings,
        site: SiteFile,
        line: NotifySocket,
        output: LogOutput,
        *,
        gate: LaunchGate,
    ) -> None:
        self.namespace = namespace
        self.output = output
        self.site = site
        self.loop = new_loop()
        asyncio.set_event_loop(self.loop)
        self.loop.set_exception_handler(_log_fault)
        self.gate = gate
        self.host = make_host_from_args(settings, self.loop, gate)
        self.guard = self.host.supervisor.guard
        self.session: Any = None
        self.service = Notifier(line, self.host.clock, self._status)
        if self.service.enabled:
            faulthandler.enable()  # where it hung, if systemd's watchdog has to end it
            self.host.snapshot.subscribe(lambda *_: self.service.changed())
        self.changed = self.guard.callback("the status for systemd", self.service.changed)
        self.exit_code = EXIT_OK
        self._ending: asyncio.Task[None] | None = None
        self._reloading: set[asyncio.Task[None]] = set()

    def run(self) -> int:
        """Run until told to end; returns the exit status."""
        self._handle_signals()
        # Launching threads get their turns while the main thread imports what follows.
        usual = sys.getswitchinterval()
        sys.setswitchinterval(LAUNCHING_SWITCH_INTERVAL)
        record.manager_started(self.host.journal)
        self.host.start(self.site, before=self._before())
        self.loop.call_soon(self.service.ready)
        self.loop.call_soon(self.host.dockers.start)
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

    def _before(self) -> StartupState:
        forced = self.namespace.initial_state
        recalled = self.host.wanted.load(forced=forced is not None)
        restarts = dict(self.host.wanted.restarts)
        if early_signals.told_to_end():  # what runs is ended, nothing is launched for a moment
            recalled, restarts, forced = {}, {}, "down"
        return StartupState(self.host.driver.discover(), recalled, forced, restarts)

    def _handle_signals(self) -> None:
        """Act on signals, on the loop.

        Not by the loop's own `add_signal_handler`: uvloop's loses a signal that comes before
        the loop runs, and half a second of imports is still ahead.
        """
        ends = {n: partial(self.on_stop_signal, n.name) for n in early_signals.ENDING}
        acts: dict[signal.Signals, Callable[[], None]] = {**ends, signal.SIGHUP: self.reload}
        on_loop = self.loop.call_soon_threadsafe
        guarded = {n: self.guard.callback(n.name, act) for n, act in acts.items()}
        early_signals.hand_over({n: partial(on_loop, act) for n, act in guarded.items()})

    def _import_ocs(self) -> None:
        """Import Twisted, autobahn and OCS's framework: half a second, and most of the memory."""
        install_reactor(self.loop)
        with skip_optional_imports():
            import hostmanager.agent.framework.connection  # noqa: PLC0415
        import hostmanager.agent.operations.host_manager  # noqa: F401, PLC0415

    def _run_ocs_agent(self) -> None:
        from twisted.internet import reactor  # noqa: PLC0415 - it has been installed by now

        from hostmanager.agent.framework import connection  # noqa: PLC0415
        from hostmanager.agent.framework import log_bridge as ocs_log  # noqa: PLC0415
        from hostmanager.agent.operations import host_manager as operations  # noqa: PLC0415

        ocs_log.start_logging(_log_level())
        args = self.namespace
        # The log file is ours to write: OCS would open whatever lies at its name.
        for_ocs = argparse.Namespace(**{**vars(args), "log_dir": None})
        session = connection.RouterSession(for_ocs, f"{args.address_root}.{args.instance_id}")
        self.session, session.changed = session, self._router_changed
        session.on_router = self.guard.callback("the absence of the router", self._router)
        self.manager = operations.HostManager(session, host=self.host, leave=self.exit_after_die)
        self.manager.register()
        self.connection = connection.RouterConnection(args.site_hub, session)
        self.reactor = reactor
        self.loop.call_soon(self._connect, session)
        reactor.run(installSignalHandlers=False)

    def _router(self, gone: str | None) -> None:
        if gone is None:
            self.host.router.came()
        elif not self.session.closing:
            self.host.router.went(gone)

    def _status(self) -> str:
        router = "no router" if self.session is None else self.session.standing
        return status_line(self.host.snapshot.values(), running=self.host.running, router=router)

    def _connect(self, session: Any) -> None:
        session.start("manager", {}, password=session)
        self.connection.start()
        opens = self.guard.callback("launches that were kept back", self.gate.open)
        self.loop.call_later(REGISTRATION_TIME, opens)

    def _router_changed(self) -> None:
        self.gate.open()  # registered or refused: the manager stands
        self.changed()

    # --- the end ----------------------------------------------------------------------------

    def on_stop_signal(self, name: str) -> None:
        """A signal: stop all agents and exit; once more: by stronger means."""
        record.record_request(self.host.journal, name, None, {})
        if self._ending is None:
            log.info("%s: stopping all agents, then exiting", name)
            self._ending = self.loop.create_task(self._end())
        else:
            log.info("%s again: hurrying", name)
            self.host.supervisor.escalate()

    def exit_after_die(self) -> None:
        """All agents have ended: exit, once the client that asked for it was answered."""
        if self._ending is None:
            self._ending = self.loop.create_task(self._end(answering=True))

    async def _end(self, *, answering: bool = False) -> None:
        self.service.stopping()
        try:
            answer = await self.manager.stop()
            if not answer.ok:
                log.error(answer.text)
            self.exit_code = EXIT_OK if answer.ok else EXIT_FAILED
            await self.host.wanted.flush()
            if answering:
                await self.manager.wait_for_result_poll()
            await self.connection.close(GOODBYE_TIME)
        except Exception:
            log.exception("the end did not go as it should")
            self.exit_code = EXIT_FAILED
        self.reactor.stop()

    def reload(self) -> None:
        """SIGHUP: read the site file again."""
        record.record_request(self.host.journal, "SIGHUP", None, {})
        log.info("SIGHUP: reading the site config again")
        what = "reading the site config again"
        task = self.guard.task(what, self._reload(), self._not_reloaded)
        self._reloading.add(task)
        task.add_done_callback(self._reloading.discard)

    async def _reload(self) -> None:
        self.service.reloading()
        try:
            await self._read_again()
        finally:
            self.service.reloaded()

    def _not_reloaded(self, error: Exception) -> None:
        self.host.emit_message(
            f"The site config could not be read again: {error}. All is left as it is"
        )

    async def _read_again(self) -> None:
        if not self.host.running:
            return
        try:
            answer = await self.host.update([], reload_config=True)
        except NotRunningError:
            return  # stopped while the file was read
        self.host.emit_message(answer.text)
        record.record_result(self.host.journal, "SIGHUP", None, {}, (answer.ok, answer.text))


def _log_fault(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
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


def _start_log(args: argparse.Namespace, settings: Settings) -> LogOutput:
    file = None
    if args.log_dir is not None and settings.output_dir == settings.working_dir / args.log_dir:
        name = encode_id(f"{args.address_root}.{args.instance_id}")
        file = settings.output_dir / f"{name}.log"
    level = {"warn": "WARNING"}.get(_log_level(), _log_level().upper())
    return start_log(level, file, ("hostmanager", "asyncio"))


def _be_quiet() -> None:
    """Print nothing, whoever prints: OCS prints, too."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    for fd in (1, 2):
        os.dup2(nothing, fd)
    os.close(nothing)


if __name__ == "__main__":
    main()
