"""What is made of heartbeats that anybody may have published, and of those that do not come."""

import pytest

from hostmanager.client.watch import feed_listener, heartbeats
from hostmanager.client.watch.heartbeats import SILENT_AFTER, HeardAgents, ManagerHeartbeats

TOPIC = "obs.reg.istry/1.feeds.heartbeat"


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
def test_a_heartbeat_names_its_agent_whatever_else_is_in_it(message, agent_class):
    heard = HeardAgents("obs")
    heard.hear(TOPIC, message)
    assert heard.classes == {"reg.istry/1": agent_class}


def test_what_is_heard_is_bounded(monkeypatch):
    monkeypatch.setattr(heartbeats, "MAX_HEARD", 2)
    heard = HeardAgents("obs")
    for number in range(5):
        heard.hear(f"obs.a{number}.feeds.heartbeat", [])
    assert len(heard.classes) == 2
    options = feed_listener.LISTENER_OPTIONS
    assert options["maxMessagePayloadSize"] == feed_listener.MAX_HEARD_BYTES


def test_the_first_heartbeat_after_a_silence_is_news_and_further_ones_are_not():
    managers = ManagerHeartbeats(["daq1", "daq2"], now=0.0)
    assert not managers.hear("daq1", 2.0)
    assert managers.fallen_silent(SILENT_AFTER + 1.0) == ["daq2"]
    assert managers.fallen_silent(SILENT_AFTER + 1.5) == []
    assert managers.hear("daq2", 5.0)
    assert not managers.hear("daq2", 5.5)
    assert managers.fallen_silent(5.5) == ["daq1"]
