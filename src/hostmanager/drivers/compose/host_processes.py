"""What the processes of this machine say about containers; reads /proc, so not on the event loop.

**Half-started containers.** An engine that is killed while it starts a container may refuse ever
after to start it ("task … already exists"), because the container's shim lives on. Removing the
container is safe only if no process of it runs: a second copy would be worse than none. Every
process of a container descends from its shim, which has the container's id in its arguments. So a
visible shim without children is proof. No visible shim proves nothing: the engine may be on
another machine, or the processes of other users hidden.

**The router.** It may be one of our services. Which one is decided by facts, not by names: its
container has published the port, or it has the host's network and a process of it listens there.
"""

import socket
from collections.abc import Iterable
from urllib.parse import urlsplit

import psutil

from hostmanager.drivers.compose.container import Container

SHIM_NAME = "containerd-shim"

DEFAULT_PORTS = {"ws": 80, "wss": 443}


def has_no_process(container_id: str) -> bool:
    """Whether it is certain that no process of a container is left."""
    processes = list(psutil.process_iter(["cmdline"]))
    shims = [p for p in processes if _is_shim_of(p.info["cmdline"] or [], container_id)]
    try:
        return bool(shims) and not any(shim.children() for shim in shims)
    except psutil.Error:
        return False  # it has exited meanwhile; the next attempt will succeed


def _is_shim_of(argv: list[str], container_id: str) -> bool:
    return bool(argv) and SHIM_NAME in argv[0] and container_id in argv


def local_port(url: str) -> int | None:
    """The port of a WebSocket URL if its host is this machine; may take long: DNS."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or DEFAULT_PORTS.get(parts.scheme)
    except ValueError:
        return None
    return port if host and port and _is_local(host) else None


def _is_local(host: str) -> bool:
    try:
        addresses = {str(info[4][0]) for info in socket.getaddrinfo(host, None)}
    except (OSError, UnicodeError):
        return False
    interfaces = psutil.net_if_addrs().values()
    own = {address.address.partition("%")[0] for each in interfaces for address in each}
    return bool(addresses & own) or any(address.startswith("127.") for address in addresses)


def find_listener(port: int, containers: Iterable[Container]) -> Container | None:
    """The container that listens at a port of this machine."""
    alive = [container for container in containers if container.alive]
    for container in alive:
        if port in container.ports:
            return container
    on_host = [container for container in alive if container.host_network and container.pid]
    pids = _listener_process_ids(port) if on_host else set()
    return next((container for container in on_host if container.pid in pids), None)


def _listener_process_ids(port: int) -> set[int]:
    """The processes that listen there, with all their ancestors."""
    pids: set[int] = set()
    try:
        for connection in psutil.net_connections("tcp"):
            is_at_port = getattr(connection.laddr, "port", None) == port
            if is_at_port and connection.status == psutil.CONN_LISTEN and connection.pid:
                process = psutil.Process(connection.pid)
                pids |= {connection.pid, *(parent.pid for parent in process.parents())}
    except (psutil.Error, OSError):
        pass  # processes exit meanwhile, and those of others may be hidden
    return pids
