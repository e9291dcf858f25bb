"""Runs the alarm service: the loop that observes, the agent of OCS, the lock, systemd's socket."""

import argparse
import logging
import os
import threading
import time
from collections.abc import MutableMapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from hostmanager.alerts.findings import observe
from hostmanager.alerts.message import AlertMessage
from hostmanager.alerts.model import SiteObservation
from hostmanager.alerts.rules_file import RULES_FILE, RulesFile, read_rules
from hostmanager.alerts.sender import SendResult, check_urls, send_by_child
from hostmanager.alerts.service import AlarmService
from hostmanager.alerts.state_file import StateDirectoryError, state_directory
from hostmanager.client.errors import ClientError
from hostmanager.client.watch.site_sessions import (
    ROUTER_PROBE,
    SiteSessions,
    keep_connections_alive,
)
from hostmanager.siteconfig.command_line import UsageError, resolve_site_file
from hostmanager.siteconfig.diagnostics import SiteFileError
from hostmanager.util.lockfile import acquire_lock
from hostmanager.util.network.notify_socket import NotifySocket, from_environ
from hostmanager.util.text import pluralize

log = logging.getLogger(__name__)

POLL_INTERVAL = 5.0
"""Seconds between two requests to a manager."""

STEP_INTERVAL = 2.0
"""Seconds between two decisions."""

MAX_FAILED_STEPS = 10
"""Unexpected failures in a row after which the service ends: systemd starts it again, and its
missing heartbeat is noticed."""

ONCE_TIMEOUT = 300.0
"""Seconds that `--once` may take."""


def load_rules(args: argparse.Namespace) -> RulesFile:
    """Read the rules that the options name, and have apprise check the URLs.

    Raises:
        ClientError: They cannot be used; the text has file, line and the right form.
    """
    try:
        path = Path(args.config) if args.config else None
        path = path or resolve_site_file(args, os.environ).parent / RULES_FILE
        file = read_rules(path)
    except (SiteFileError, UsageError) as error:
        raise ClientError(str(error)) from None
    problems, unchecked = check_urls(file)
    if problems or unchecked:
        raise ClientError("\n".join(map(str, problems)) or f"no alarm can be sent: {unchecked}")
    return file


def send_test(file: RulesFile) -> dict[str, SendResult]:
    """Send a test message to each receiver; returns the results, by receiver and number."""
    results = {}
    host = os.uname().nodename
    message = AlertMessage(
        "[test] hostmanager alerts",
        f"A test of the alarms, sent from {host} by {file.path}. Nothing is wrong.",
    )
    for location, url in file.urls:
        results[f"{location.receiver} {location.number} ({url.partition('://')[0]})"] = (
            send_by_child(url, message)
        )
    return results


@dataclass(frozen=True, slots=True)
class PreparedService:
    """A service that may run: it holds the lock of its state directory."""

    sessions: SiteSessions
    service: AlarmService
    lock: int


def prepare(args: argparse.Namespace) -> PreparedService:
    """Check everything, and take the lock.

    Raises:
        ClientError: Something is wrong, or the service is already running.
    """
    file = load_rules(args)
    keep_connections_alive()
    sessions = SiteSessions(args, args.alerts_id, POLL_INTERVAL)
    sessions.start()
    try:
        directory = state_directory(args.state_dir, args.alerts_id, sessions.site.path, os.environ)
        lock = acquire_lock(str(directory / "alerts.lock"), str(os.getpid()))
    except (StateDirectoryError, OSError) as error:
        raise ClientError(str(error)) from None
    if lock is None:
        raise ClientError(
            f"an alarm service is already running with the state directory {directory}. "
            "`hostmanager alerts --status` shows it."
        )
    log.info("rules of %s, state in %s", file.path, directory)
    return PreparedService(sessions, AlarmService(file.rules, directory, send_by_child), lock)


def observe_site(sessions: SiteSessions) -> SiteObservation:
    """What is known of the site now, by its present site config."""
    sessions.follow_site_config()
    site, poller = sessions.site, sessions.poller
    if poller.latest(ROUTER_PROBE) is None:
        everything = frozenset(site.hosts)
        return SiteObservation((), everything, everything | {ROUTER_PROBE})
    latest = {host: poller.latest(host) for host in site.hosts}
    return observe(site, latest, sessions.router_error)


def run_once(prepared: PreparedService) -> None:
    """Observe until what is wrong now has lasted long enough to be reported, or is over; send; end."""
    deadline = time.monotonic() + ONCE_TIMEOUT
    prepared.sessions.poller.wait_for_all()
    while True:
        prepared.service.step(observe_site(prepared.sessions))
        if prepared.service.is_settled or time.monotonic() > deadline:
            return
        time.sleep(STEP_INTERVAL)


def run_service(
    args: argparse.Namespace, prepared: PreparedService, environ: MutableMapping[str, str]
) -> None:
    """Run until SIGTERM or SIGINT."""
    from hostmanager.alerts.ocs_agent import run_agent  # noqa: PLC0415 - Twisted takes half a second

    notify = from_environ(environ)
    observe_forever = partial(_observe_forever, prepared, notify)
    threading.Thread(target=observe_forever, name="observing", daemon=True).start()
    run_agent(prepared.sessions.site, args.alerts_id, prepared.service)
    notify.send("STOPPING=1")


def _observe_forever(prepared: PreparedService, notify: NotifySocket) -> None:
    failures, is_ready, status = 0, False, ""
    prepared.sessions.poller.wait_for_all()
    while True:
        try:
            prepared.service.step(observe_site(prepared.sessions))
            failures = 0
        except Exception:
            failures += 1
            log.exception("observing the site failed unexpectedly")
            if failures >= MAX_FAILED_STEPS:
                os._exit(70)  # EX_SOFTWARE: one that observes nothing must not seem to live
        else:
            text = pluralize(prepared.service.open_incidents, "open incident")
            lines = ["WATCHDOG=1", *([] if is_ready else ["READY=1"])]
            lines += [] if text == status else [f"STATUS={text}"]
            if notify.send("\n".join(lines)):
                is_ready, status = True, text
        time.sleep(STEP_INTERVAL)
