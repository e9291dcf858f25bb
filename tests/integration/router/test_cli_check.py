"""`hostmanager check` with a real router: what is told of each way in which it can be wrong."""

import socket
import time

import pytest
import yaml

from hostmanager.cli.main import main
from hostmanager.testing import crossbar_router as routers
from hostmanager.testing.crossbar_router import CrossbarRouter
from hostmanager.testing.ports import free_port
from tests.support.plugins import ask_plugins_once

PERMITTED = {"call": True, "register": True, "publish": True, "subscribe": True}


def with_more_paths(config, root):
    """Crossbar's configuration, with a second realm, and bridges that are set up wrongly."""
    worker = config["workers"][0]
    (realm,) = worker["realms"]
    mute = {"name": "mute", "permissions": []}
    worker["realms"] = [
        {**realm, "roles": [*realm["roles"], mute]},
        {**realm, "name": "other_realm"},
    ]
    paths = worker["transports"][0]["paths"]
    mine = paths["call"]
    paths["call_other"] = {**mine, "realm": "other_realm"}
    paths["call_mute"] = {**mine, "role": "mute"}
    paths["page"] = {"type": "json", "value": {"hello": "you"}}
    return config


@pytest.fixture(scope="module")
def odd_router(no_router_is_left, tmp_path_factory):
    original = routers.crossbar_config

    def config(port, realm, root):
        return with_more_paths(original(port, realm, root), root)

    routers.crossbar_config = config
    try:
        with CrossbarRouter(tmp_path_factory.mktemp("odd"), address_root="obs") as running:
            yield running
    finally:
        routers.crossbar_config = original


@pytest.fixture
def checked(odd_router, tmp_path, monkeypatch, capsys):
    """Check a site whose hub has these values instead of the right ones."""

    ask_plugins_once(monkeypatch)

    def go(*arguments, host=None, here=False, **hub):
        right = {
            "wamp_server": odd_router.url,
            "wamp_http": odd_router.http,
            "wamp_realm": odd_router.realm,
            "address_root": "obs",
        }
        data = {"hub": {**right, **hub}, "hosts": {"daq1": {**(host or {}), "agent-instances": []}}}
        file = tmp_path / "site.yaml"
        file.write_text(yaml.safe_dump(data, sort_keys=False))
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main(["check", *([] if here else ["--elsewhere"]), *arguments, str(file)])
        printed = capsys.readouterr()
        assert "Traceback" not in printed.err
        lines = [line.removeprefix(str(file)) for line in printed.out.splitlines()]
        return end.value.code, lines, printed.err

    return go


def refused_port():
    """An address where nobody listens."""
    return f"127.0.0.1:{free_port()}"


def test_a_good_router_is_good(checked):
    code, lines, _ = checked()
    assert (code, lines) == (0, [])


def test_what_is_registered_for_the_check_is_gone_after_it(checked, odd_router):
    assert checked()[0] == 0
    assert odd_router.answers()
    code, lines, _ = checked()
    assert (code, lines) == (0, [])


def test_no_router_at_all_is_exit_status_3_if_nothing_else_is_wrong(checked):
    server, http = f"ws://{refused_port()}/ws", f"http://{refused_port()}/call"
    code, lines, _ = checked(wamp_server=server, wamp_http=http)
    assert code == 3
    assert [line.split(". ")[0] for line in lines] == [
        f":2:16: error: no router answers at {server}: Connection refused",
        f":3:14: error: no HTTP bridge answers at {http}",
    ]
    for half in ({"wamp_server": server}, {"wamp_http": http}):  # then it is a wrong address
        code, lines, _ = checked(**half)
        assert (code, len(lines)) == (1, 1)
    code, lines, _ = checked(
        wamp_server=server, wamp_http=http, host={"crossbar": 5, "crossbar_timeout": 1}
    )
    assert code == 1
    assert len(lines) == 3


def test_left_out_it_is_not_missed(checked):
    gone = {"wamp_server": f"ws://{refused_port()}/ws", "wamp_http": f"http://{refused_port()}/x"}
    assert checked("--offline", **gone)[:2] == (0, [])


@pytest.mark.parametrize(
    ("hub", "location", "expected"),
    [
        ({"wamp_realm": "tset_realm"}, ":4:15:", "has no realm 'tset_realm'"),
        ({"address_root": "observatory"}, ":5:17:", "register below 'observatory'"),
        ({"wamp_server": "http://127.0.0.1:1/ws"}, ":2:16:", "is the address of an HTTP bridge"),
        ({"wamp_http": "PATH/call_other"}, ":3:14:", "does not see what is registered"),
        ({"wamp_http": "PATH/call_mute"}, ":5:17:", "may call nothing below 'obs'"),
        ({"wamp_http": "PATH/page"}, ":3:14:", "is not the HTTP bridge of a router"),
        ({"wamp_http": "PATH/nowhere"}, ":3:14:", "is not the HTTP bridge of a router"),
        ({"wamp_http": "nonsense"}, ":3:14:", "is not the address of an HTTP bridge"),
        ({"wamp_server": "SECURE/ws"}, ":2:16:", "Is there TLS on this port?"),
        ({"wamp_server": "WS/page"}, ":2:16:", "is not a WAMP router"),
        ({"wamp_server": "WS/nowhere"}, ":2:16:", "is not a WAMP router"),
        ({"wamp_server": "WS/call"}, ":2:16:", "is not a WAMP router"),
    ],
)
def test_each_way_to_be_wrong_is_reported_at_its_place(
    checked, odd_router, hub, location, expected
):
    base = f"127.0.0.1:{odd_router.port}"
    given = {
        key: value.replace("PATH", f"http://{base}")
        .replace("WS", f"ws://{base}")
        .replace("SECURE", f"wss://{base}")
        for key, value in hub.items()
    }
    code, lines, _ = checked(**given)
    assert code == 1
    assert any(line.startswith(location) and expected in line for line in lines), lines


def test_a_wrong_address_root_is_refused_to_agents_and_to_clients(checked):
    _, lines, _ = checked(address_root="observatory")
    assert ["'register'" in line or "'call'" in line for line in lines] == [True, True]


def test_a_port_that_listens_and_says_nothing_costs_its_limit(checked):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        hub = {
            "wamp_server": f"ws://127.0.0.1:{port}/ws",
            "wamp_http": f"http://127.0.0.1:{port}/call",
        }
        started = time.monotonic()
        code, lines, _ = checked("--answer-time", "0.5", **hub)
    assert code == 3
    assert all("does not answer within 0.5 s" in line for line in lines)
    assert len(lines) == 2
    assert time.monotonic() - started < 30


def test_a_host_with_a_router_of_its_own_is_checked_by_that(checked, odd_router):
    away = {"wamp_server": f"ws://{refused_port()}/ws", "wamp_http": f"http://{refused_port()}/x"}
    near = {"wamp_server": odd_router.url, "wamp_http": odd_router.http}
    assert checked("--site-host", "daq1", host=near, here=True, **away)[:2] == (0, [])
    code, lines, _ = checked("--site-host", "daq1", host=away, here=True)
    assert (code, [line[:6] for line in lines]) == (3, [":8:18:", ":9:16:"])
    # From elsewhere, 127.0.0.1 there is another machine: only the hub can be tried.
    code, lines, remarks = checked(host=near, **away)
    assert (code, len(lines)) == (3, 2)
    assert f"not checked: the router as seen from host daq1: {odd_router.url}" in remarks


def test_what_the_command_line_says_counts_instead(checked, odd_router):
    http = f"http://127.0.0.1:{odd_router.port}/nowhere"
    code, lines, _ = checked("--site-http", http)
    assert code == 1
    assert lines[0].startswith(": error: what answers at")
    assert "is not the HTTP bridge" in lines[0]
    assert checked("--site-http", odd_router.http, wamp_http=http)[:2] == (0, [])


def test_without_a_bridge_there_is_a_warning(checked):
    code, lines, _ = checked(wamp_http=None)
    assert code == 0
    assert len(lines) == 1
    assert lines[0].startswith(":2:16: warning: there is no 'wamp_http'")
    assert checked("--strict", wamp_http=None)[0] == 1


def test_a_frozen_router_is_one_that_does_not_answer(checked, odd_router):
    odd_router.suspend()
    try:
        code, lines, _ = checked("--answer-time", "1")
    finally:
        odd_router.resume()
    assert code == 3
    assert ["does not answer within 1 s" in line for line in lines] == [True, True]
    assert checked()[0] == 0
