"""What is made of messages that anybody may have published, and of errors of the connection."""

import ssl
from types import SimpleNamespace

import pytest
from autobahn.wamp.exception import ApplicationError

from hostmanager.client.site_model import Site, SiteHost
from hostmanager.client.watch import feed_listener as module
from hostmanager.client.watch.feed_listener import FeedListener

HUB = {"wamp_server": "wss://router:1/ws", "wamp_realm": "r", "address_root": "obs"}


@pytest.fixture
def changed():
    return []


@pytest.fixture
def listener(changed):
    config = SimpleNamespace(hub=SimpleNamespace(data=HUB))
    site = Site("site.yaml", config, {"daq1": SiteHost("daq1", "hm-daq1", {})})
    return FeedListener(site, SimpleNamespace(manager_changed=changed.append))


def beat(listener, heard, *message, topic="obs.reg.istry/1.feeds.heartbeat"):
    listener._on_heartbeat(heard)(*message, details=SimpleNamespace(topic=topic))


@pytest.mark.parametrize(
    ("message", "agent_class"),
    [
        ([[{}, {"agent_class": "Registry"}]], "Registry"),
        ([({}, {"agent_class": 7})], "7"),
        ([[{}, {}]], ""),
        ([[{}, "nonsense"]], ""),
        (["nonsense"], ""),
        ([], ""),
    ],
)
def test_a_heartbeat_names_its_agent_whatever_else_is_in_it(listener, message, agent_class):
    heard = {}
    beat(listener, heard, *message)
    assert heard == {"reg.istry/1": agent_class}


def test_what_is_heard_is_bounded(listener, monkeypatch):
    monkeypatch.setattr(module, "MAX_HEARD", 2)
    heard = {}
    for number in range(5):
        beat(listener, heard, topic=f"obs.a{number}.feeds.heartbeat")
    assert len(heard) == 2
    assert module.LISTENER_OPTIONS["maxMessagePayloadSize"] == module.MAX_HEARD_BYTES


def test_whatever_a_feed_says_its_manager_is_asked(listener, changed):
    listener._on_feed("daq1")({"anything": 1}, None)
    assert changed == ["daq1"]


def test_the_first_heartbeat_after_a_silence_is_news_and_further_ones_are_not(listener, changed):
    heard = listener._on_pulse("daq1")
    heard()
    assert not changed
    listener._pulses["daq1"].is_silent = True
    heard()
    heard()
    assert changed == ["daq1"]


def test_why_nothing_can_be_heard_is_said_once(listener, caplog):
    certificate = ssl.SSLCertVerificationError(1, "certificate verify failed")
    certificate.verify_message, certificate.verify_code = "certificate has expired", 10
    lost = ApplicationError("wamp.close.transport_lost")
    for error in (ConnectionRefusedError(), certificate, certificate, TimeoutError(), lost):
        listener._report(error)
    assert [record.levelname for record in caplog.records].count("WARNING") == 1
    assert (
        "wss://router:1/ws: certificate verify failed: certificate has expired. Renew"
        in caplog.text
    )
