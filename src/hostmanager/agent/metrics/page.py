"""Starts the page for Prometheus."""

import asyncio
import threading

from hostmanager.agent.metrics.view import take_view
from hostmanager.agent.parts import ManagerParts
from hostmanager.util.network.listen_address import ListenAddress

_HINT = "`pip install prometheus-client` in its environment. The manager goes on without metrics."

IDLE_WAKE_INTERVAL = 3600.0
"""Seconds between two checks whether to end; it ends with the program."""


def start_page(
    address: ListenAddress,
    parts: ManagerParts,
    loop: asyncio.AbstractEventLoop,
) -> None:
    """Serve the metrics of a host until the program ends, in threads.

    What that takes is imported there as well. If that fails, operators get a message.
    """

    def serve() -> None:
        try:
            # Only for those who want it: some 2 MB.
            from hostmanager.agent.metrics.server import (  # noqa: PLC0415
                HostManagerCollector,
                MetricsError,
                make_server,
            )
        except ImportError as error:
            text = f"--metrics {address}: {error}; {_HINT}"
            loop.call_soon_threadsafe(parts.messages.emit, text)
            return
        collector = HostManagerCollector(loop, lambda: take_view(parts))
        try:
            server = make_server(address, collector)
        except MetricsError as error:
            loop.call_soon_threadsafe(parts.messages.emit, str(error))
            return
        if address.port == 0:
            text = f"the metrics are at port {server.server_address[1]} (--metrics {address})"
            loop.call_soon_threadsafe(parts.messages.emit, text)
        server.serve_forever(poll_interval=IDLE_WAKE_INTERVAL)

    threading.Thread(target=serve, name="metrics", daemon=True).start()
