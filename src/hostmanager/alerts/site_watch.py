"""Looks at the whole site through the router, and at the router itself."""

import argparse
import logging
import os
import socket

from hostmanager.alerts.findings import observe
from hostmanager.alerts.model import SiteObservation
from hostmanager.client.errors import ClientError, FailureKind, ManagerError
from hostmanager.client.manager_client import ManagerClient, make_clients
from hostmanager.client.poller import SessionPoller
from hostmanager.client.site_model import Site, read_site

log = logging.getLogger(__name__)

LOOK_INTERVAL = 5.0
"""Seconds between two looks at the site."""

_ROUTER = ""
"""Stands for the router among the hosts that are polled."""

_KEEPALIVE = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
)


def keep_connections_alive() -> None:
    """Have this process notice that a router was unplugged while it waits for an answer.

    OCS's client waits without a limit.
    """
    from urllib3.connection import HTTPConnection  # noqa: PLC0415 - of requests, which OCS imports

    HTTPConnection.default_socket_options = [
        *HTTPConnection.default_socket_options,
        *_KEEPALIVE,
    ]


class SiteWatch:
    """Asks all managers again and again, and the router for this service itself.

    Args:
        args: The options that name the site config.
        alerts_id: The id of this service: that the router answers for it is its sign of life.
    """

    def __init__(self, args: argparse.Namespace, alerts_id: str) -> None:
        self._args = args
        self._alerts_id = alerts_id
        # While it is broken, too, somebody has to be told what else is wrong.
        self.site: Site = read_site(args, or_copy=True)
        if self.site.notice:
            log.warning("%s", self.site.notice)
        self._signature = _signature(self.site.path)
        self._poller = self._poll(self.site)
        self._problem = ""

    def _poll(self, site: Site) -> SessionPoller:
        clients = make_clients(site, self._args, site.hosts)
        probe = ManagerClient(site, _ROUTER, self._alerts_id, None)
        return SessionPoller({**clients, _ROUTER: probe}, LOOK_INTERVAL, self._args.answer_time)

    def look(self) -> SiteObservation:
        """What is known of the site now."""
        self._follow_site_config()
        router = self._poller.latest(_ROUTER)
        if router is None:
            everything = frozenset(self.site.hosts)
            return SiteObservation((), everything, everything | {_ROUTER})
        gone = None
        if isinstance(router, ManagerError) and router.kind in (
            FailureKind.ROUTER,
            FailureKind.TIMEOUT,
        ):
            gone = router
        return observe(
            self.site, {host: self._poller.latest(host) for host in self.site.hosts}, gone
        )

    def wait_for_answers(self) -> None:
        """Wait until each manager has answered once, or had its time."""
        self._poller.wait_for_all()

    def _follow_site_config(self) -> None:
        """Read the site config again when it has changed; a broken one changes nothing."""
        signature = _signature(self.site.path)
        if signature == self._signature:
            return
        try:
            site = read_site(self._args)
        except ClientError as error:
            self._signature = signature
            log.warning("the site config is not read again: %s", error)
            return
        poller = self._poll(site)  # if it cannot be made, the one of before goes on
        self._poller.stop()
        self._signature, self.site, self._poller = signature, site, poller
        log.info("the site config was read again")


def _signature(path: str) -> tuple[int, ...]:
    try:
        status = os.stat(path)  # noqa: PTH116
    except OSError:
        return ()
    return status.st_ino, status.st_size, status.st_mtime_ns
