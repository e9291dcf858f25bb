"""The managers of the hosts that a command names."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hostmanager.client.errors import ClientError, ManagerError, require_router
from hostmanager.client.managers.credentials import make_clients
from hostmanager.client.managers.manager_client import ManagerClient
from hostmanager.client.managers.parallel import fetch_sessions
from hostmanager.client.site_model import Site
from hostmanager.client.status.selection import select_hosts
from hostmanager.util.text import join_names


@dataclass(frozen=True, slots=True)
class TargetManagers:
    """The managers of the hosts that a command names.

    Attributes:
        site: The site.
        hosts: The hosts that have a manager, in the order of the file.
        managers: By host.
    """

    site: Site
    hosts: Sequence[str]
    managers: Mapping[str, ManagerClient]

    def fetch_sessions(self, answer_timeout: float) -> dict[str, dict[str, Any] | ManagerError]:
        """Get their `manager` sessions.

        Raises:
            ClientError: There is no router.
        """
        sessions = fetch_sessions(self.managers, answer_timeout)
        require_router(list(sessions.values()))
        return sessions


def select_managers(site: Site, args: argparse.Namespace) -> TargetManagers:
    """Find the managers of the hosts that `--host` names, else of all.

    Raises:
        ClientError: None of them has one.
    """
    selected = select_hosts(site, args.host)
    hosts = [host for host in selected if host in site.managers]
    if not hosts:
        raise ClientError(
            f"{join_names(selected, 5)}: no manager in the site config; add an entry of class "
            "HostManager."
        )
    return TargetManagers(site, hosts, make_clients(site, args, hosts))
