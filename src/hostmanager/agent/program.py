"""One run of the manager's program: its event loop, its signals, the router, the end.

The order matters for how soon agents are up, and how soon the manager replies. The first agents are
launched before Twisted, autobahn and OCS's agent framework are imported. The others follow when the
manager is registered: all of a large host at once would take the processors away from it, just when
it has most to do.
"""

import argparse
import asyncio
import faulthandler
import logging
import signal
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from hostmanager.agent import audit
from hostmanager.agent.bootstrap import close_parts, make_parts
from hostmanager.agent.daemon import early_signals
from hostmanager.agent.daemon.log_output import log_level
from hostmanager.agent.daemon.sd_notify import Notifier, status_line
from hostmanager.agent.framework.event_loop import (
    install_reactor,
    new_loop,
    run_reactor,
    skip_optional_imports,
    stop_reactor,
)
from hostmanager.agent.host import NotRunningError
from hostmanager.agent.metrics.page import start_page
from hostmanager.agent.settings import ManagerSettings
from hostmanager.agent.targets.startup_state import StartupState, load_startup_state
from hostmanager.drivers.process import LaunchGate
from hostmanager.siteconfig.site_file import SiteFile
from hostmanager.util.network.notify_socket import NotifySocket

log = logging.getLogger("hostmanager")

EXIT_OK, EXIT_FAILED = 0, 1

SWITCH_INTERVAL = 0.0005
"""Seconds between two turns of Python's threads. With Python's own 5 ms, a thread that looks for what an
agent left behind has one call of the kernel each 5 ms for as long as another renders a status."""

REGISTRATION_TIMEOUT = 0.25
"""Seconds that the other agents wait for the manager to be registered with its router."""

GOODBYE_TIMEOUT = 0.2
"""Seconds that leaving the router may take."""


class ManagerProgram:
    """One run of the manager.

    Args:
        namespace: The command line.
        settings: What it and the site config amount to.
        notify_socket: Systemd's, for the state of the manager.
        gate: Delays the launches of all but the first agents.
    """

    def __init__(
        self,
        namespace: argparse.Namespace,
        settings: ManagerSettings,
        notify_socket: NotifySocket,
        gate: LaunchGate,
    ) -> None:
        self.namespace = namespace
        self.loop = new_loop()
        asyncio.set_event_loop(self.loop)
        self.loop.set_exception_handler(_log_unhandled)
        self.gate = gate
        self.parts = make_parts(settings, self.loop, gate)
        self.guard = self.parts.supervisor.guard
        self.session: Any = None
        self.notifier = Notifier(notify_socket, self.parts.clock, self._status)
        if self.notifier.enabled:
            faulthandler.enable()  # where it hung, if systemd's watchdog has to end it
            self.parts.snapshot.subscribe(lambda *_: self.notifier.changed())
        self.exit_code = EXIT_OK
        self._ending: asyncio.Task[None] | None = None
        self._reloads: set[asyncio.Task[None]] = set()

    def run(self, site_config: SiteFile) -> int:
        """Supervise the agents of the site config until requested to end; returns the exit status."""
        self._handle_signals()
        sys.setswitchinterval(SWITCH_INTERVAL)
        parts, soon = self.parts, self.loop.call_soon
        audit.record_manager_start(parts.journal)
        parts.host.start(site_config, before=self._startup_state())
        soon(self.notifier.ready)
        soon(parts.compose.start)
        if self.namespace.metrics is not None:
            soon(start_page, self.namespace.metrics, parts, self.loop)
        try:
            self._import_ocs()
            self._run_ocs_agent()
        except Exception:
            log.exception("the manager failed; its agents are being ended")
            self.exit_code = EXIT_FAILED
            self.gate.open()
            self.loop.run_until_complete(parts.host.stop())
        self.loop.run_until_complete(close_parts(parts, self.exit_code))
        return self.exit_code

    def _startup_state(self) -> StartupState:
        initial_state = self.namespace.initial_state
        before = load_startup_state(self.parts.driver, self.parts.target_store, initial_state)
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
        with skip_optional_imports(tls=not self.namespace.site_hub.startswith("ws:")):
            install_reactor(self.loop)
            import hostmanager.agent.framework.connection  # noqa: PLC0415
        import hostmanager.agent.operations.host_manager  # noqa: F401, PLC0415

    def _run_ocs_agent(self) -> None:
        from hostmanager.agent.framework.connection import RouterConnection  # noqa: PLC0415
        from hostmanager.agent.framework.log_bridge import start_logging  # noqa: PLC0415
        from hostmanager.agent.framework.router_session import RouterSession  # noqa: PLC0415
        from hostmanager.agent.operations.host_manager import HostManager  # noqa: PLC0415

        start_logging(log_level())
        args = self.namespace
        # The log file is written here: OCS would open whatever is at its name.
        ocs_args = argparse.Namespace(**{**vars(args), "log_dir": None})
        session = RouterSession(ocs_args, f"{args.address_root}.{args.instance_id}")
        self.session = session
        session.on_change = self._on_session_change
        session.on_router = self.guard.callback("the absence of the router", self._on_router)
        self.manager = HostManager(session, parts=self.parts, on_die=self.exit_after_die)
        self.manager.register()
        self.parts.health.enable()
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

        parts = self.parts
        if lost_reason is None:
            parts.router_absence.on_connected()
            self.manager.publish_figures()
            tracker = parts.host.tracker
            heartbeats = RouterHeartbeats(
                self.session, parts.health, lambda: tracker.site_agent_count
            )
            parts.health.connected(heartbeats)
            return
        parts.health.disconnected()
        if not self.session.closing:
            parts.router_absence.on_lost(lost_reason)

    def _on_session_change(self) -> None:
        self.gate.open()  # registered or refused: that is all of the manager's own start
        self.guard.call("the status for systemd", self.notifier.changed)

    def _status(self) -> str:
        router = "no router" if self.session is None else self.session.status_text
        records, running = self.parts.snapshot.values(), self.parts.host.running
        return status_line(records, running=running, router=router)

    # --- the end ----------------------------------------------------------------------------

    def on_stop_signal(self, name: str) -> None:
        """A signal: stop all agents and exit; a second one: escalate."""
        audit.record_request(self.parts.journal, name, None, {})
        if self._ending is None:
            log.info("%s: stopping all agents, then exiting", name)
            self._ending = self.loop.create_task(self._end())
        else:
            log.info("%s again: hurrying", name)
            self.parts.supervisor.escalate()

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
            await self.parts.target_store.flush()
            if after_die:
                await self.session.wait_for_result_poll()
            await self.connection.close(GOODBYE_TIMEOUT)
        except Exception:
            log.exception("the end failed")
            self.exit_code = EXIT_FAILED
        stop_reactor()

    # --- SIGHUP -----------------------------------------------------------------------------

    def reload(self) -> None:
        """SIGHUP: read the site config again."""
        audit.record_request(self.parts.journal, "SIGHUP", None, {})
        log.info("SIGHUP: reading the site config again")
        reload = self.guard.task("reading the site config again", self._reload())
        self._reloads.add(reload)
        reload.add_done_callback(self._reloads.discard)

    async def _reload(self) -> None:
        self.notifier.reloading()
        try:
            result = await self.parts.host.update([], reload_config=True)
        except NotRunningError:
            return
        except Exception as error:
            self.parts.messages.emit(
                f"The site config could not be read again: {error}. All is left as it is"
            )
            raise
        finally:
            self.notifier.reloaded()
        self.parts.messages.emit(result.text)
        audit.record_result(self.parts.journal, "SIGHUP", None, {}, (result.ok, result.text))


def _log_unhandled(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log what nobody caught. Not as asyncio does: its texts show the arguments of calls."""
    error = context.get("exception")
    log.error("%s", context.get("message", "a fault on the event loop"), exc_info=error)
