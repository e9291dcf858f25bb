"""The feed: names and types as OCS demands them, and when samples are published."""

import re
from dataclasses import replace
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ocs.common.influxdb_drivers import format_data
from ocs.ocs_feed import Block, Feed
from tests.unit.core.fakes import FakeClock

from hostmanager.agent.metrics import feed as module
from hostmanager.agent.metrics.feed import FEED_INTERVAL, GATHERING, FeedPublisher, field_name
from hostmanager.agent.monitoring.health_monitor import HealthChange
from hostmanager.agent.monitoring.resource_usage import Usage
from hostmanager.core.events import Timestamp
from hostmanager.core.health import Health
from hostmanager.core.model import InstanceSpec, Target
from hostmanager.core.record import CurrentRun, InstanceRecord, State
from hostmanager.core.snapshot import Snapshot
from hostmanager.util.guard import Guard
from hostmanager.util.names import MAX_ID_CHARS

IDS = st.text(min_size=1, max_size=40)
ALL_FIELDS = (*module.AGENT_FIELDS, *module.USAGE_FIELDS)
USAGE = Usage(1000.0, 1, 0.5, 3.0, 4096, 4096, 2, 5, None, None)
RECORD = InstanceRecord(InstanceSpec("fake-1", "FakeDataAgent"), Target.UP)


def read_field_name(name: str) -> tuple[str, str]:
    """The instance-id and the field, as the documentation says that they can be read."""
    encoded, _, field = name.removeprefix("agent_").rpartition("_")
    escapes = re.compile(rb"_(_|[0-9a-f]{2})")
    data = escapes.sub(
        lambda m: b"-" if m[1] == b"_" else bytes.fromhex(m[1].decode()), encoded.encode()
    )
    return data.decode("utf-8", "surrogatepass"), field


@given(IDS, st.sampled_from([field.name for field in ALL_FIELDS]))
def test_a_field_name_is_one_for_ocs_and_can_be_read_again(instance_id, field):
    name = field_name(instance_id, field)
    assert Feed.verify_data_field_string(name)
    if len(instance_id) <= 10:  # of a longer one, there may be a digest
        assert read_field_name(name) == (instance_id, field)


def test_the_longest_ids_have_names_of_their_own():
    names = {field_name("é" * (MAX_ID_CHARS - 1) + end, "state") for end in "ab"}
    assert len(names) == 2
    assert all(Feed.verify_data_field_string(name) for name in names)


class World:
    """A publisher on a host of which only what it reads is there."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.snapshot = Snapshot(Guard(lambda delay, call: None))
        self.health: dict[str, Health] = {}
        self.usage: dict[str, Usage] = {}
        self.listeners: list = []
        self.connected = True
        self.blocks: list[dict] = []
        parts = SimpleNamespace(
            clock=self.clock,
            settings=SimpleNamespace(host="daq1"),
            snapshot=self.snapshot,
            health=SimpleNamespace(health=self.health.get, listeners=self.listeners),
            resources=SimpleNamespace(usage=self.usage.get),
        )
        self.put(State.DOWN)
        self.publisher = FeedPublisher(parts, self.blocks.extend, lambda: self.connected)
        self.publisher.start()
        self.first = self.take()

    def put(self, state: State, **changes: object) -> None:
        self.snapshot.put("fake-1", replace(RECORD, state=state, **changes))

    def take(self) -> dict[str, dict]:
        """The latest blocks that were published since the last time, by name."""
        taken = {block["block_name"]: block for block in self.blocks}
        self.blocks.clear()
        return taken


@pytest.fixture
def world():
    return World()


def states(block: dict) -> list[int]:
    return block["data"][field_name("fake-1", "state")]


def test_at_the_start_there_is_a_sample_of_the_host_and_of_each_agent(world):
    assert set(world.first) == {"host", "agent_fake__1"}


def test_changes_are_published_together_each_with_its_time(world):
    world.put(State.STARTING)
    started = Timestamp(world.clock.mono, world.clock.wall)
    world.put(State.UP, run=CurrentRun(pid=7, started_at=started))
    assert not world.blocks
    world.clock.advance(GATHERING)
    block = world.take()["agent_fake__1"]
    assert states(block) == [2, 1]
    assert block["timestamps"] == sorted(set(block["timestamps"]))


def test_the_first_change_after_a_quiet_time_is_published_at_once_and_further_ones_gathered(world):
    world.clock.advance(GATHERING)
    world.put(State.BACKOFF)
    world.clock.advance(0.0)
    assert states(world.take()["agent_fake__1"]) == [3]
    messages = []
    for _ in range(40):  # a second of an agent that changes all the time
        world.put(State.STARTING)
        world.put(State.BACKOFF)
        world.clock.advance(0.025)
        messages += world.blocks
        world.blocks.clear()
    assert len(messages) <= 1 + 1.0 / GATHERING


def test_what_changes_no_figure_is_not_published(world):
    world.put(State.DOWN, deadline=5.0)
    world.clock.advance(GATHERING)
    assert not world.blocks


def test_a_change_of_health_is_published(world):
    world.health["fake-1"] = Health.FAILED
    world.listeners[0](HealthChange("fake-1", Health.OK, Health.FAILED, ""))
    world.clock.advance(GATHERING)
    assert world.take()["agent_fake__1"]["data"][field_name("fake-1", "health")] == [4]


def test_once_a_minute_all_is_published_with_what_was_measured(world):
    world.usage["fake-1"] = USAGE
    world.clock.advance(FEED_INTERVAL)
    taken = world.take()
    assert set(taken) == {"host", "agent_fake__1", "usage_fake__1"}
    assert taken["usage_fake__1"]["data"][field_name("fake-1", "cpu")] == [0.5]
    world.usage["fake-1"] = replace(USAGE, cpu=None)  # the first sample of a run
    world.clock.advance(FEED_INTERVAL)
    assert set(world.take()) == {"host", "agent_fake__1"}


def test_without_a_router_nothing_is_kept_for_later(world):
    world.connected = False
    world.put(State.UP)
    world.clock.advance(FEED_INTERVAL)
    world.connected = True
    world.put(State.STOPPING)
    world.clock.advance(GATHERING)
    assert states(world.take()["agent_fake__1"]) == [4]


def test_what_is_removed_is_published_no_more(world):
    world.put(State.UP)
    world.snapshot.put("fake-1", None)
    world.clock.advance(FEED_INTERVAL)
    taken = world.take()
    assert taken["host"]["data"]["host_agents"] == [0]
    world.clock.advance(FEED_INTERVAL)
    assert set(world.take()) == {"host"}


def test_a_storm_of_changes_is_bounded(world):
    for _ in range(200):
        world.put(State.UP)
        world.put(State.DOWN)
    world.clock.advance(GATHERING)
    assert len(states(world.take()["agent_fake__1"])) == module.MAX_GATHERED


def test_types_never_change_and_ocs_takes_every_block(world):
    world.usage["fake-1"] = replace(USAGE, cpu=0.0)
    world.put(State.UP, run=CurrentRun(pid=7, started_at=Timestamp(world.clock.mono, 0.0)))
    world.clock.advance(FEED_INTERVAL)
    types = {field.name: field.type for field in (*ALL_FIELDS, *module.HOST_FIELDS)}
    assert {block["block_name"] for block in world.blocks} > {"usage_fake__1"}
    for message in [*world.first.values(), *world.blocks]:
        Feed.verify_influxdb_tags(message)
        Block(message["block_name"], message["data"].keys()).extend(message)
        for field, values in message["data"].items():
            tag = message["influxdb_tags"][field]["_field"]
            assert {type(value) for value in values} == {types[tag]}, field


def test_influxdb_gets_the_agent_as_a_tag_without_what_ends_a_tag():
    samples = [(1000.0, [1, 1, 1, 0, 2.0, 1.0])]
    block = module.make_block("agent_x", module.AGENT_FIELDS, samples, "daq 1", "a,b=c/d")
    feed = {"feed_name": "agents", "agent_class": "HostManager", "agent_address": "obs.hm1"}
    lines = format_data({"agent_x": block}, feed, "line")
    start = (
        "HostManager,feed=agents,address_root=obs,instance_id=hm1,host=daq%201,agent=a%2Cb%3Dc/d "
    )
    assert f"{start}state=1i 1000000000000" in lines
    assert f"{start}uptime=2.0 1000000000000" in lines
