"""The sessions of all managers of a site, followed, and whether its router answers.

The site config file is followed, too: when it changes, the managers that it names then are asked.
"""

import argparse
import logging
import os
from collections.abc import Callable

from hostmanager.client.errors import ClientError, FailureKind, ManagerError
from hostmanager.client.managers.credentials import make_clients
from hostmanager.client.managers.http_bridge import KEEPALIVE
from hostmanager.client.managers.manager_client import ManagerClient
from hostmanager.client.site_model import Site, read_site
from hostmanager.client.watch.poller import SessionPoller

log = logging.getLogger(__name__)

ROUTER_PROBE = ""
"""Stands for the router among the hosts that are polled."""


def keep_connections_alive() -> None:
    """Have OCS's client, too, notice that a router was unplugged while it waits for an answer."""
    from urllib3.connection import HTTPConnection  # noqa: PLC0415 - of requests, which OCS imports

    options = dict.fromkeys([*HTTPConnection.default_socket_options, *KEEPALIVE])
    HTTPConnection.default_socket_options = list(options)


class SiteSessions:
    """Asks all managers again and again, and the router for an agent of its own, once it is started.

    Args:
        args: The options that name the site config, the privileges and the answer time.
        probe_id: An instance-id that the router is asked for: that it answers at all, were it
            "no such agent", is its sign of life.
        interval: Seconds from one question to a manager to the next.
        on_answer: Gets the host of each answer (`ROUTER_PROBE`: the router's), in a thread.

    Attributes:
        site: The site config as it was read last.
        poller: Asks the managers, and the router as `ROUTER_PROBE`; another one once the site
            config has changed.

    Raises:
        ClientError: There is no site config that can be used.
    """

    def __init__(
        self,
        args: argparse.Namespace,
        probe_id: str,
        interval: float,
        on_answer: Callable[[str], object] = lambda _: None,
    ) -> None:
        self._args = args
        self._probe_id = probe_id
        self._interval = interval
        self._on_answer = on_answer
        # While it is broken, too, somebody has to be notified of what else is wrong.
        self.site: Site = read_site(args, or_copy=True)
        if self.site.notice:
            log.warning("%s", self.site.notice)
        self._signature = _signature(self.site.path)
        self.poller = SessionPoller({}, interval, args.answer_time)
        self._is_stopped = False

    def start(self) -> None:
        """Begin to ask.

        Raises:
            ClientError: There is no password for the requested privileges.
        """
        self.poller = self._poll(self.site)

    def _poll(self, site: Site) -> SessionPoller:
        clients = make_clients(site, self._args, site.hosts)
        probe = ManagerClient(site, ROUTER_PROBE, self._probe_id, None)
        managers = {**clients, ROUTER_PROBE: probe}
        return SessionPoller(managers, self._interval, self._args.answer_time, self._on_answer)

    @property
    def router_error(self) -> ManagerError | None:
        """Why the router does not answer; None: it does, or has had no time to."""
        router = self.poller.latest(ROUTER_PROBE)
        if isinstance(router, ManagerError) and router.kind in (
            FailureKind.ROUTER,
            FailureKind.TIMEOUT,
        ):
            return router
        return None

    def stop(self) -> None:
        """Ask no more. Does not wait for an answer."""
        self._is_stopped = True
        self.poller.stop()

    def follow_site_config(self) -> bool:
        """Read the site config again when it has changed; a broken one changes nothing. Blocks.

        Returns:
            Whether it was read again.
        """
        signature = _signature(self.site.path)
        if signature == self._signature:
            return False
        try:
            site = read_site(self._args)
        except ClientError as error:
            self._signature = signature
            log.warning("the site config is not read again: %s", error)
            return False
        poller = self._poll(site)  # if it cannot be made, the one of before goes on
        self.poller.stop()
        self._signature, self.site, self.poller = signature, site, poller
        if self._is_stopped:  # meanwhile, by another thread
            poller.stop()
        log.info("the site config was read again")
        return True


def _signature(path: str) -> tuple[int, ...]:
    try:
        status = os.stat(path)  # noqa: PTH116
    except OSError:
        return ()
    return status.st_ino, status.st_size, status.st_mtime_ns
