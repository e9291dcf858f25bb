"""Looks at the whole site through the router, and at the router itself."""

import argparse

from hostmanager.alerts.findings import observe
from hostmanager.alerts.model import SiteObservation
from hostmanager.client.watch.site_sessions import ROUTER_PROBE, SiteSessions

LOOK_INTERVAL = 5.0
"""Seconds between two looks at the site."""


class SiteWatch(SiteSessions):
    """The sessions of all managers, as the alarm service sees them.

    Args:
        args: The options that name the site config.
        alerts_id: The id of this service: that the router answers for it is its sign of life.
    """

    def __init__(self, args: argparse.Namespace, alerts_id: str) -> None:
        super().__init__(args, alerts_id, LOOK_INTERVAL)
        self.start()

    def look(self) -> SiteObservation:
        """What is known of the site now."""
        self.follow_site_config()
        if self.router is None:
            everything = frozenset(self.site.hosts)
            return SiteObservation((), everything, everything | {ROUTER_PROBE})
        sessions = {host: self.latest(host) for host in self.site.hosts}
        return observe(self.site, sessions, self.router_error)
