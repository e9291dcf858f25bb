"""The page for Prometheus: served by threads, so that no client can hold up the loop.

A scrape asks the loop for a view (how long that takes is the loop's lag) and makes the text in
its own thread. Between scrapes nothing happens. While the loop hangs, the page says just that.
"""

import asyncio
import errno
import logging
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from socketserver import TCPServer, ThreadingMixIn
from typing import Any

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.core import Metric as Family
from prometheus_client.exposition import MetricsHandler
from prometheus_client.registry import Collector

from hostmanager.agent.metrics.address import MetricsAddress
from hostmanager.agent.metrics.event_counts import Histogram
from hostmanager.agent.metrics.table import LOOP_LAG, LOOP_LAG_HELP, METRICS, Metric
from hostmanager.agent.metrics.view import HostView

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
    for labels, value in metric.read(view):
        if isinstance(value, Histogram):
            family.add_metric(labels, value.cumulative(), value.total)
        else:
            family.add_metric(labels, value)
    return family


class _Handler(MetricsHandler):
    timeout = CLIENT_TIMEOUT  # of `socketserver.StreamRequestHandler`


class _Server(ThreadingMixIn, TCPServer):
    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, address: MetricsAddress, registry: CollectorRegistry) -> None:
        self._places = threading.BoundedSemaphore(MAX_SCRAPES)
        flags = socket.AI_PASSIVE
        host, port = address.host or None, address.port
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)[0]
        self.address_family = found[0]
        super().__init__(found[4][:2], _Handler.factory(registry))  # type: ignore[arg-type]

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a client in a thread of its own, unless there are too many."""
        if self._places.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve a client."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log what is our own fault; clients may go, or be too slow."""
        if not isinstance(sys.exception(), OSError):
            log.error("the metrics could not be made", exc_info=True)


def make_server(address: MetricsAddress, collector: Collector) -> TCPServer:
    """Make the server of the page, which listens already.

    Raises:
        MetricsError: It cannot listen there.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(collector)
    ProcessCollector(registry=registry)
    try:
        return _Server(address, registry)
    except OSError as error:
        raise MetricsError(_why_not(address, error)) from None


def _why_not(address: MetricsAddress, error: OSError) -> str:
    match error:
        case OSError(errno=errno.EADDRINUSE):
            reason = "the port is taken by another program; choose another one"
        case OSError(errno=errno.EACCES):
            reason = "this user may not listen there; choose a port above 1023"
        case OSError(errno=errno.EADDRNOTAVAIL) | socket.gaierror():
            reason = "this host has no such address; leave out the host for 127.0.0.1"
        case _:
            reason = error.strerror or str(error)
    return f"--metrics {address}: {reason}. The manager goes on without metrics."
