"""systemd's end of sd_notify: a socket that keeps what it is told."""

import socket
from contextlib import suppress
from pathlib import Path
from typing import Self


class NotifySocket:
    """What ``NOTIFY_SOCKET`` names; `messages` are the datagrams that came, the oldest first."""

    def __init__(self, path: Path | str) -> None:
        self.address = str(path)
        bound = "\0" + self.address[1:] if self.address.startswith("@") else self.address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(bound)
        self._socket.setblocking(False)
        self._read: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    @property
    def messages(self) -> list[str]:
        with suppress(BlockingIOError):
            while True:
                self._read.append(self._socket.recv(65536).decode())
        return list(self._read)

    def times(self, text: str) -> int:
        """How often this was told."""
        return sum(text in message.splitlines() for message in self.messages)

    @property
    def status(self) -> str:
        """The line of status that counts now."""
        lines = [m.removeprefix("STATUS=") for m in self.messages if m.startswith("STATUS=")]
        return lines[-1] if lines else ""
