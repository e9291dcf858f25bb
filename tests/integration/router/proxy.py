"""A cable between a manager and its router, which can be pulled and plugged in again."""

import contextlib
import socket
import threading
from typing import Self

from hostmanager.testing.crossbar_router import CrossbarRouter


class Cable:
    """Forwards connections to a router, while it is plugged in.

    Args:
        router: The one at the other end.
    """

    def __init__(self, router: CrossbarRouter) -> None:
        self._router = router
        self._plugged = True
        self._open: list[socket.socket] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.connections = 0
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        """The websocket address at this end."""
        return f"ws://127.0.0.1:{self._listening.getsockname()[1]}/ws"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.pull()
        self._listening.close()

    def pull(self) -> None:
        """End every connection, and let no new one through."""
        self._plugged = False
        ends, self._open = self._open, []
        for end in ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def plug(self) -> None:
        """Let connections through again."""
        self._plugged = True

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listening.accept()
                if not self._plugged:
                    near.close()
                    continue
                self.connections += 1
                far = socket.create_connection(("127.0.0.1", self._router.port))
                self._open += [near, far]
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=_forward, args=(source, sink), daemon=True).start()


def _forward(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    for end in (source, sink):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
