"""The page for Prometheus: what it does to slow clients, a loop that hangs, a port that is taken."""

import asyncio
import errno
import re
import socket
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from types import SimpleNamespace

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from hostmanager.agent.metrics import server as module
from hostmanager.agent.metrics.event_counts import READY_BUCKETS, Histogram
from hostmanager.agent.metrics.page import start_page
from hostmanager.agent.metrics.server import HostManagerCollector, MetricsError, make_server
from hostmanager.agent.metrics.view import HostView
from hostmanager.core.events import Timestamp
from hostmanager.core.model import InstanceSpec, Target
from hostmanager.core.record import InstanceRecord
from hostmanager.util.network.listen_address import ListenAddress
from tests.integration.conftest import SHORT
from tests.integration.router.steps import wait_ready
from tests.support import clients
from tests.support.sites import instance
from tests.support.waiting import wait_for

RECORD = InstanceRecord(InstanceSpec('a"\\b', "FakeDataAgent"), Target.UP)
VIEW = HostView(
    now=Timestamp(1000.0, 1_700_000_000.0),
    host="daq1",
    supervising=True,
    router_connected=True,
    router_registrations=2,
    records={RECORD.spec.instance_id: RECORD},
    health={},
    usage={},
    off_target={},
    silenced=frozenset(),
    exits={},
    start_to_ready=Histogram(READY_BUCKETS),
    requests={},
)


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop that turns."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.fixture
def page(loop) -> Iterator[tuple[str, int]]:
    """A page; its address."""
    server = make_server(ListenAddress("127.0.0.1", 0), HostManagerCollector(loop, lambda: VIEW))
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield server.server_address[:2]
    server.shutdown()
    server.server_close()
    thread.join()


def scrape(page: tuple[str, int]) -> str:
    with urllib.request.urlopen(f"http://{page[0]}:{page[1]}/metrics", timeout=30) as reply:
        return reply.read().decode()


def test_a_scrape_has_the_figures_and_quotes_ids(page):
    text = scrape(page)
    assert 'hostmanager_agent_target{agent="a\\"\\\\b"} 1.0' in text
    assert 'hostmanager_manager_info{host="daq1"} 1.0' in text
    assert "hostmanager_router_registrations_total 2.0" in text
    assert "process_cpu_seconds_total" in text


def test_a_loop_that_hangs_is_shown_by_its_lag_alone(page, loop, monkeypatch):
    monkeypatch.setattr(module, "LOOP_TIMEOUT", 0.2)
    hold = threading.Event()
    loop.call_soon_threadsafe(hold.wait)
    try:
        text = scrape(page)
    finally:
        hold.set()
    lag = next(line for line in text.splitlines() if line.startswith("hostmanager_loop_lag_"))
    assert float(lag.split()[1]) >= 0.2
    assert "hostmanager_agent" not in text
    assert "hostmanager_agent_target" in scrape(page)


def test_clients_that_only_connect_cannot_be_more_than_eight_and_are_cut(page, monkeypatch):
    monkeypatch.setattr(module.ScrapeHandler, "timeout", 0.5)
    idle = [socket.create_connection(page) for _ in range(module.MAX_SCRAPES + 1)]

    def is_answered() -> bool:
        with suppress(OSError):
            return "hostmanager_build_info" in scrape(page)
        return False

    assert idle[-1].recv(1) == b""  # at once, or after its time
    wait_for(is_answered, 60, "a scrape after the idle ones were cut")
    for connection in idle:
        connection.close()


def test_a_client_that_sends_a_byte_now_and_then_is_cut_for_another_one(page, monkeypatch):
    monkeypatch.setattr(module, "MAX_SCRAPE_TIME", 0.0)
    slow = [socket.create_connection(page) for _ in range(module.MAX_SCRAPES)]

    def is_answered() -> bool:
        for connection in slow:
            with suppress(OSError):
                connection.send(b"G")
        with suppress(OSError):
            return "hostmanager_build_info" in scrape(page)
        return False

    wait_for(is_answered, 60, "a scrape after the slow ones were cut")
    for connection in slow:
        connection.close()


def test_clients_for_whom_there_is_no_thread_take_no_place(page, monkeypatch):
    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(module.threading.Thread, "start", start)
        for _ in range(module.MAX_SCRAPES):
            with socket.create_connection(page) as connection, suppress(ConnectionError):
                assert connection.recv(1) == b""
    assert "hostmanager_build_info" in scrape(page)


def test_clients_that_ask_again_and_again_get_ten_answers_a_second(page, monkeypatch):
    monkeypatch.setattr(module, "MIN_SCRAPE_INTERVAL", 0.2)
    scrape(page)  # of before
    begun = time.monotonic()
    for _ in range(3):
        scrape(page)
    assert time.monotonic() - begun >= 0.4


def test_without_descriptors_nobody_is_accepted_and_nothing_spins(page, monkeypatch):
    attempts = []

    def accept(server: object) -> None:
        attempts.append(server)
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(module, "ACCEPT_RETRY_DELAY", 0.2)
    with monkeypatch.context() as patch:
        patch.setattr(module.TCPServer, "get_request", accept)
        begun = time.monotonic()
        client = socket.create_connection(page)
        wait_for(lambda: len(attempts) >= 3, 20, "three attempts")
        assert time.monotonic() - begun >= 0.4
    client.close()
    assert "hostmanager_build_info" in scrape(page)


def test_a_file_whose_name_is_no_utf8_costs_only_its_name(loop):
    view = replace(VIEW, configs={"a\udcff.yaml": (True, 0.0, "")})
    registry = CollectorRegistry(auto_describe=False)
    registry.register(HostManagerCollector(loop, lambda: view))
    assert b'hostmanager_config_valid{file="a\\\\udcff.yaml"} 1.0' in generate_latest(registry)


def listening() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


@pytest.mark.parametrize(
    ("address", "text"),
    [
        (lambda port: ListenAddress("127.0.0.1", port), "the port is taken by another program"),
        (lambda _: ListenAddress("192.0.2.1", 0), "this host has no such address"),
        (lambda _: ListenAddress("no..such", 0), "this host has no such address"),
        (lambda _: ListenAddress("no.such.host.invalid", 0), "this host has no such address"),
    ],
)
def test_where_it_cannot_listen_is_one_sentence(
    loop, address: Callable[[int], ListenAddress], text: str
):
    with listening() as taken:
        where = address(taken.getsockname()[1])
        with pytest.raises(MetricsError) as error:
            make_server(where, HostManagerCollector(loop, lambda: VIEW))
    assert str(error.value).startswith(f"--metrics {where}: {text}")
    assert str(error.value).endswith("The manager goes on without metrics.")


def test_where_the_client_library_is_missing_operators_are_told(loop, monkeypatch):
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    monkeypatch.delitem(sys.modules, "hostmanager.agent.metrics.server")
    told: list[str] = []
    parts = SimpleNamespace(messages=SimpleNamespace(emit=told.append))
    start_page(ListenAddress("127.0.0.1", 0), parts, loop)
    wait_for(lambda: told, 20, "the message")
    assert "prometheus_client" in told[0]
    assert "pip install prometheus-client" in told[0]


def test_a_manager_that_takes_any_port_says_which_one(loop):
    told: list[str] = []
    parts = SimpleNamespace(messages=SimpleNamespace(emit=told.append))
    start_page(ListenAddress("127.0.0.1", 0), parts, loop)
    wait_for(lambda: told, 20, "the message")
    port = re.fullmatch(r"the metrics are at port (\d+) \(--metrics 127\.0\.0\.1:0\)", told[0])[1]
    socket.create_connection(("127.0.0.1", int(port)), timeout=20).close()


def test_a_manager_whose_port_is_taken_says_so_and_goes_on_without(site, start_manager):
    site.write(instance("a"))
    with listening() as taken:
        port = taken.getsockname()[1]
        manager = start_manager(site, *SHORT, "--metrics", str(port))
        text = (
            f"--metrics 127.0.0.1:{port}: the port is taken by another program; choose another one."
        )
        wait_for(lambda: text in manager.output(), 20, "the message", manager.output)
    wait_ready(site, "a")
    session = clients.call(site, "status", "manager")[2]
    assert [m for _, m in session["messages"] if m.startswith(text)]
    assert manager.output().count(text) == 1
