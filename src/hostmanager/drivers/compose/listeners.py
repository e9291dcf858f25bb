"""Which container listens at an address of this machine: the router may be one of our services.

By facts, not by names: a container has published the port, or it has the network of the host and
one of its processes listens there.
"""

import socket
from collections.abc import Iterable
from urllib.parse import urlsplit

import psutil

from hostmanager.drivers.compose.container import Container

DEFAULT_PORTS = {"ws": 80, "wss": 443}


def local_port(url: str) -> int | None:
    """The port of a web socket's address, if that is on this machine; may take long: DNS."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or DEFAULT_PORTS.get(parts.scheme)
    except ValueError:
        return None
    return port if host and port and _is_local(host) else None


def _is_local(host: str) -> bool:
    try:
        found = {str(info[4][0]) for info in socket.getaddrinfo(host, None)}
    except (OSError, UnicodeError):
        return False
    own = {
        address.address.partition("%")[0] for a in psutil.net_if_addrs().values() for address in a
    }
    return bool(found & own) or any(address.startswith("127.") for address in found)


def find_listener(port: int, containers: Iterable[Container]) -> Container | None:
    """The container that listens at a port of this machine; reads /proc."""
    alive = [container for container in containers if container.alive]
    for container in alive:
        if port in container.ports:
            return container
    on_host = [container for container in alive if container.host_network and container.pid]
    kin = _listener_process_ids(port) if on_host else set()
    return next((container for container in on_host if container.pid in kin), None)


def _listener_process_ids(port: int) -> set[int]:
    """The processes that listen there, with all that they descend from."""
    kin: set[int] = set()
    try:
        for connection in psutil.net_connections("tcp"):
            there = getattr(connection.laddr, "port", None) == port
            if there and connection.status == psutil.CONN_LISTEN and connection.pid:
                process = psutil.Process(connection.pid)
                kin |= {connection.pid, *(parent.pid for parent in process.parents())}
    except (psutil.Error, OSError):
        pass  # processes come and go; and those of others may not be looked at
    return kin
