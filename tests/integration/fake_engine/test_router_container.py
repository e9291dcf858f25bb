"""Which container listens where the router is: by what is published, or by who listens."""

import os
import socket
from dataclasses import replace

import pytest

from hostmanager.drivers.compose.container import Container, from_inspect
from hostmanager.drivers.compose.host_processes import find_listener, local_port
from tests.integration.fake_engine.server import inspected

A = Container("a" * 64, "p-a-1", "p", "a", pid=1_000_000, start_stamp="t1")


@pytest.mark.parametrize(
    ("url", "port"),
    [
        ("ws://127.0.0.1:8001/ws", 8001),
        ("ws://localhost:8001/ws", 8001),
        ("wss://localhost/ws", 443),
        ("ws://localhost/ws", 80),
        (f"ws://{socket.gethostname()}:8001/ws", 8001),
        ("ws://192.0.2.1:8001/ws", None),  # an address for documentation: nobody's
        ("ws://no-such-host.invalid:8001/ws", None),
        ("ws://localhost:nonsense/ws", None),
        ("ws//localhost:8001", None),
        ("rs://localhost", None),
        ("ws://[::1", None),
        (f"ws://{'x' * 300}:8001/ws", None),
        ("", None),
    ],
)
def test_only_an_address_of_this_machine_has_a_port_here(url, port):
    assert local_port(url) == port


def test_who_has_published_the_port_listens_there():
    router = replace(A, id="r" * 64, ports=frozenset({8001, 8080}))
    assert find_listener(8001, [A, router]) is router
    assert find_listener(8002, [A, router]) is None
    assert find_listener(8001, [replace(router, status="exited")]) is None


def test_of_those_with_the_network_of_the_host_it_is_looked_who_listens():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        ours = replace(A, pid=os.getpid(), host_network=True)
        other = replace(A, id="b" * 64, pid=1_000_001, host_network=True)
        assert find_listener(port, [other, ours]) is ours
        assert find_listener(port, [replace(ours, host_network=False)]) is None
    assert find_listener(port, [ours]) is None


@pytest.mark.parametrize(
    ("settings", "ports"),
    [
        ({"Ports": {"8080/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8001"}]}}, {8001}),
        ({"Ports": {"80/tcp": [{"HostPort": "1"}, {"HostPort": "2"}], "81/tcp": None}}, {1, 2}),
        *[(odd, set()) for odd in (None, [], {"Ports": None}, {"Ports": []}, {"Ports": {"1": 2}})],
        ({"Ports": {"1": [None, {"HostPort": None}, {"HostPort": "x"}, {"HostPort": ""}]}}, set()),
    ],
)
def test_whatever_the_engine_says_of_ports_is_understood_or_none(settings, ports):
    for host_config in (None, [], {"NetworkMode": "host"}, {"NetworkMode": 3}):
        container = from_inspect(
            {
                **inspected("a" * 64, "one"),
                "NetworkSettings": settings,
                "HostConfig": host_config,
            }
        )
        assert container is not None
        assert container.ports == frozenset(ports)
        assert container.host_network is (host_config == {"NetworkMode": "host"})
