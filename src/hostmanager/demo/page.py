"""The demo's page for browsers: `hostmanager web`, where its extra is installed."""

import socket
import subprocess
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from hostmanager.testing.ports import free_port

USUAL_PORT = 8090


def port_problem(port: int) -> str:
    """Why nothing can listen on a port of 127.0.0.1; empty: it can."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            return error.strerror or str(error)
    return ""


def page_port() -> int:
    """The usual port, or any that is free."""
    return free_port() if port_problem(USUAL_PORT) else USUAL_PORT


@dataclass(slots=True)
class DemoPage:
    """One run of it.

    Attributes:
        process: The process.
        port: Its TCP port, on 127.0.0.1.
        log: The file with what it prints.
    """

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    def describe(self) -> str:
        """Its address, or why there is none, for people; empty while it starts."""
        if self.process.poll() is not None:
            lines = self.log.read_text(errors="replace").splitlines()
            reason = lines[-1].removeprefix("hostmanager web: ") if lines else "it has ended."
            return f"No page for browsers in this demo: {reason}"
        with closing(socket.socket()) as probe:
            answers = probe.connect_ex(("127.0.0.1", self.port)) == 0
        return f"The whole site in a browser: http://127.0.0.1:{self.port}/" if answers else ""

    def end(self) -> None:
        """End it, whatever it does."""
        self.process.kill()
        self.process.wait()
