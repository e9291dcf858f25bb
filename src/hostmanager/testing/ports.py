"""TCP ports for servers that are started a moment later."""

import errno
import secrets
import socket

_FIRST_EPHEMERAL_PORT = 32_768
"""From here on, the kernel gives ports to whoever wants any (ip_local_port_range): one of those could
be somebody else's before it is used."""

_reserved: list[socket.socket] = []


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nobody uses, and that nobody else is given meanwhile.

    While this process lives, no other call returns the same port, in no process: each is reserved by
    the name of an abstract socket.

    Raises:
        OSError: None can be had: no descriptors are left, say.
    """
    while True:
        port = 10_000 + secrets.randbelow(_FIRST_EPHEMERAL_PORT - 10_000)
        name = socket.socket(socket.AF_UNIX)
        try:
            name.bind(f"\0hostmanager-port-{port}")
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError as error:
            name.close()
            if error.errno != errno.EADDRINUSE:
                raise
        else:
            _reserved.append(name)
            return port
