"""Makes clients of managers with the password that the options of a command name."""

import argparse
import getpass
from collections.abc import Iterable

from hostmanager.client.errors import ClientError
from hostmanager.client.managers.manager_client import ManagerClient
from hostmanager.client.managers.request_origin import command_origin
from hostmanager.client.site_model import Site
from hostmanager.siteconfig.entry import MANAGER_CLASS


def make_clients(
    site: Site, args: argparse.Namespace, hosts: Iterable[str]
) -> dict[str, ManagerClient]:
    """Make a client for the manager of each of these hosts that has one.

    Args:
        site: The site.
        args: The options. A face with users of its own (`web`) adds `requested_by`, and `password`:
            used as it is, where `privs` may be a level whose password this user's file has.
        hosts: The hosts.

    Raises:
        ClientError: There is no password for the requested privileges.
    """
    ids = site.managers
    privs = read_privileges(args)
    origin = command_origin(args)
    return {
        host: ManagerClient(site, host, ids[host], _password(privs, ids[host]), origin)
        for host in hosts
        if host in ids
    }


def make_agent_client(
    site: Site, args: argparse.Namespace, instance_id: str, agent_class: str
) -> ManagerClient:
    """Make a client for an agent that belongs to no host, such as the alarm service.

    Raises:
        ClientError: There is no password for the requested privileges.
    """
    password = _password(read_privileges(args), instance_id, agent_class)
    return ManagerClient(site, "", instance_id, password, command_origin(args))


def read_privileges(args: argparse.Namespace) -> str | int | None:
    """Read `--privs` as `OCSClient` does: a level as a number, a password as text."""
    if hasattr(args, "password"):
        return str(args.password) if args.password else None
    text = args.privs
    if text == "-":
        return getpass.getpass("Password for the managers: ")
    return int(text) if text in {"1", "2", "3"} else text


def _password(
    privs: str | int | None, instance_id: str, agent_class: str = MANAGER_CLASS
) -> str | None:
    if privs is None or isinstance(privs, str):
        return privs
    from ocs.access import client_get_password  # noqa: PLC0415 - imports pydantic

    try:
        password = client_get_password(privs, agent_class, instance_id)
    except Exception as error:
        reason = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) else str(error)
        raise ClientError(
            f"--privs {privs}: OCS's password file cannot be used: {reason}. "
            "$OCS_PASSWORDS_FILE names another file; --privs - asks for the password."
        ) from None
    if not password and privs > 1:
        raise ClientError(
            f"--privs {privs}: OCS's password file has no password of that level for {instance_id}."
        )
    return str(password)
