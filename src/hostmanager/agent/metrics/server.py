"""The page for Prometheus: served by threads, so that no client can hold up the loop.

A scrape asks the loop for a view (how long that takes is the loop's lag) and makes the text in
its own thread. Between scrapes nothing happens. While the loop hangs, the page says just that.
"""

import asyncio
import logging
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from socketserver import TCPServer, ThreadingMixIn
from typing import Any

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.core import Metric as Family
from prometheus_client.exposition import MetricsHandler
from prometheus_client.registry import Collector

from hostmanager.agent.metrics.event_counts import Histogram
from hostmanager.agent.metrics.table import LOOP_LAG, LOOP_LAG_HELP, METRICS, Metric
from hostmanager.agent.metrics.view import HostView
from hostmanager.util.network.listen_address import ListenAddress, why_not_listening

log = logging.getLogger(__name__)

_FAMILIES: dict[str, Any] = {
    "gauge": GaugeMetricFamily,
    "counter": CounterMetricFamily,
    "histogram": HistogramMetricFamily,
}

LOOP_TIMEOUT = 2.0
"""Seconds that a scrape waits for the event loop."""

CLIENT_TIMEOUT = 10.0
"""Seconds that a client may take to send its request, and to take a part of the answer."""

MAX_SCRAPES = 8
"""Clients at a time; one more is turned away."""

MAX_SCRAPE_TIME = 30.0
"""Seconds after which a client is cut if another one finds no place: it may send a byte now and then."""

MIN_SCRAPE_INTERVAL = 0.1
"""Seconds from one client to the next: the text of a scrape takes processor time from the loop, some
40 ms for 500 agents, and any user of this host may ask for it."""

ACCEPT_RETRY_DELAY = 1.0
"""Seconds without a new client after one could not be accepted, for lack of descriptors, say."""


class MetricsError(Exception):
    """The page cannot be served; the text is for people."""


class HostManagerCollector(Collector):
    """Makes the metrics of one scrape.

    Args:
        loop: The event loop.
        take_view: Takes a view; called on the loop.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, take_view: Callable[[], HostView]) -> None:
        self._loop, self._take_view = loop, take_view

    def collect(self) -> Iterator[Family]:
        """Make the metrics."""
        lag, view = self._ask_loop()
        yield GaugeMetricFamily(LOOP_LAG, LOOP_LAG_HELP, value=lag)
        if view is not None:
            for metric in METRICS:
                yield _family(metric, view)

    def _ask_loop(self) -> tuple[float, HostView | None]:
        reply: Future[tuple[float, HostView]] = Future()

        def on_loop() -> None:
            if not reply.set_running_or_notify_cancel():
                return  # nobody waits any more
            lag = time.monotonic() - asked_at
            try:
                reply.set_result((lag, self._take_view()))
            except Exception as error:
                reply.set_exception(error)

        asked_at = time.monotonic()
        try:
            self._loop.call_soon_threadsafe(on_loop)
            return reply.result(LOOP_TIMEOUT)
        except (TimeoutError, RuntimeError):  # it hangs; it is closed
            reply.cancel()
            return time.monotonic() - asked_at, None


def _family(metric: Metric, view: HostView) -> Family:
    family = _FAMILIES[metric.kind](metric.name, metric.help, labels=metric.labels)
    for names, value in metric.read(view):
        # Bytes of a file's name that are no UTF-8 would cost the whole page.
        labels = [name.encode("utf-8", "backslashreplace").decode() for name in names]
        if isinstance(value, Histogram):
            family.add_metric(labels, value.cumulative(), value.total)
        else:
            family.add_metric(labels, value)
    return family


class ScrapeHandler(MetricsHandler):
    """Answers Prometheus; whoever says nothing is not waited for."""

    timeout = CLIENT_TIMEOUT  # of `socketserver.StreamRequestHandler`


class _Server(ThreadingMixIn, TCPServer):
    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, address: ListenAddress, registry: CollectorRegistry) -> None:
        self._served: dict[Any, float] = {}  # connections, with the times of their begin
        self._lock = threading.Lock()
        self._next_at = 0.0  # monotonic time
        flags = socket.AI_PASSIVE
        host, port = address.host or None, address.port
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)[0]
        self.address_family = found[0]
        super().__init__(found[4][:2], ScrapeHandler.factory(registry))  # type: ignore[arg-type]

    def get_request(self) -> tuple[Any, Any]:
        """Accept a client. What fails would fail again at once: it is still there."""
        time.sleep(max(0.0, self._next_at - time.monotonic()))
        self._next_at = time.monotonic() + MIN_SCRAPE_INTERVAL
        try:
            return super().get_request()
        except OSError:
            time.sleep(ACCEPT_RETRY_DELAY)
            raise

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a client in a thread of its own, unless there are too many."""
        with self._lock:
            is_full = len(self._served) >= MAX_SCRAPES
            if is_full:
                self._cut_slow_clients()
            else:
                self._served[request] = time.monotonic()
        if is_full:
            self.shutdown_request(request)
        else:
            super().process_request(request, client_address)

    def _cut_slow_clients(self) -> None:
        oldest = time.monotonic() - MAX_SCRAPE_TIME
        for request in [each for each, begun in self._served.items() if begun < oldest]:
            with suppress(OSError):  # it is gone already
                request.shutdown(socket.SHUT_RDWR)  # its thread finds the end, and closes it

    def close_request(self, request: Any) -> None:
        """Close a connection, whatever became of it: its place is free."""
        with self._lock:
            self._served.pop(request, None)
        super().close_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log what is our own fault; clients may go, or be too slow."""
        if not isinstance(sys.exception(), OSError):
            log.error("the metrics could not be made", exc_info=True)


def make_server(address: ListenAddress, collector: Collector) -> TCPServer:
    """Make the server of the page, which listens already.

    Raises:
        MetricsError: It cannot listen there.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(collector)
    ProcessCollector(registry=registry)
    try:
        return _Server(address, registry)
    except (OSError, UnicodeError) as error:
        reason = why_not_listening(error)
        text = f"--metrics {address}: {reason}. The manager goes on without metrics."
        raise MetricsError(text) from None
