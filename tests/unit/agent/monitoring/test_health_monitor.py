"""Heartbeats that come, do not come, come late, and a router that goes away, on a clock by hand."""

from collections.abc import Collection
from random import Random

import pytest
from tests.unit.core.fakes import World

from hostmanager.agent.monitoring.health_monitor import (
    STEP,
    WINDOW_INTERVAL,
    HealthChange,
    HealthMonitor,
)
from hostmanager.core.health import READY, Health
from hostmanager.core.model import InstanceSettings, InstanceSpec, Target
from hostmanager.core.protocols import guard_of

DAY = 86_400.0

SETTINGS = InstanceSettings()

RUNNING, SUCCEEDED, FAILED, DEGRADED = 3, 5, 6, 8
"""Op codes of OCS."""


class Agents:
    """Agents that beat once a second, as OCS's do, and a router that passes that on."""

    def __init__(self, world: World, monitor: HealthMonitor) -> None:
        self.world, self.monitor = world, monitor
        self.listened_to: set[str] = set()
        self.beating: dict[str, dict[str, int]] = {}
        self.returns_at: dict[str, float] = {}
        self.processes: dict[str, list[str]] = {}
        self.delivered = 0
        self.router = False
        self._beat()

    def listen_to(self, instance_ids: Collection[str]) -> None:
        self.listened_to = set(instance_ids)

    def is_listening_to(self, instance_id: str) -> bool:
        return instance_id in self.listened_to

    def request_processes(self, instance_id: str) -> None:
        self.monitor.set_processes(instance_id, self.processes.get(instance_id, []))

    def register(self, name: str, **op_codes: int) -> None:
        self.beating[name] = op_codes or {"acq": RUNNING}

    def _beat(self) -> None:
        now = self.world.clock.mono
        for name, op_codes in self.beating.items():
            record = self.world.snapshot.get(name)
            received = (
                self.router and name in self.listened_to and now >= self.returns_at.get(name, 0)
            )
            if received and record is not None and record.run.pid is not None:
                self.delivered += 1
                self.monitor.beat(name, f"session {record.run.pid}", op_codes)
        self.world.clock.call_later(1.0, self._beat)

    def router_comes(self) -> None:
        self.router = True
        self.monitor.connected(self)

    def router_goes(self) -> None:
        self.router, self.listened_to = False, set()
        self.monitor.disconnected()


@pytest.fixture
def changes() -> list[HealthChange]:
    return []


@pytest.fixture
def world():
    return World()


@pytest.fixture
def agents(world, changes):
    guard = guard_of(world.clock)
    monitor = HealthMonitor(world.snapshot, world.clock, guard, changes.append)
    monitor.enable()
    return Agents(world, monitor)


def start(world: World, agents: Agents, *names: str) -> None:
    for name in names:
        world.supervisor.add(InstanceSpec(name, "FakeDataAgent"), Target.UP)
        agents.register(name)


def test_an_agent_is_ready_with_its_first_heartbeat(world, agents):
    agents.router_comes()
    world.supervisor.add(InstanceSpec("a", "FakeDataAgent"), Target.UP)
    world.clock.advance(5.0)
    assert agents.monitor.health("a") is Health.STARTING
    agents.register("a")
    world.clock.advance(2.0)
    assert agents.monitor.health("a") is Health.OK
    assert agents.monitor.health("a") in READY
    run = agents.monitor.run("a")
    assert run is not None
    assert run.ready_at is not None
    assert 1005.0 <= run.ready_at.monotonic <= 1007.0


def test_one_that_never_registers_is_named_after_its_time(world, agents, changes):
    agents.router_comes()
    world.supervisor.add(InstanceSpec("a", "FakeDataAgent"), Target.UP)
    world.clock.advance(SETTINGS.ready_timeout - 2.0)
    assert agents.monitor.health("a") is Health.STARTING
    world.clock.advance(5.0)
    assert agents.monitor.health("a") is Health.UNREGISTERED
    assert "has not registered with the router within 60 s" in changes[-1].text
    agents.register("a")
    world.clock.advance(2.0)
    assert agents.monitor.health("a") is Health.OK
    assert changes[-1].text == "has registered"


@pytest.mark.parametrize("phase", [number * 0.7 for number in range(15)])
def test_a_hang_is_seen_15_to_25_seconds_after_the_last_heartbeat(world, agents, phase):
    agents.router_comes()
    start(world, agents, "a", "b")
    world.clock.advance(100.0 + phase)
    del agents.beating["a"]
    gone = world.clock.mono  # up to a second after its last heartbeat
    while agents.monitor.health("a") is not Health.NO_HEARTBEAT:
        world.clock.advance(0.1)
        assert world.clock.mono - gone < 60.0
    assert (
        SETTINGS.heartbeat_timeout - 1.0
        <= world.clock.mono - gone
        <= SETTINGS.heartbeat_timeout + WINDOW_INTERVAL + STEP
    )
    assert agents.monitor.health("b") is Health.OK
    agents.register("a")
    world.clock.advance(2.0)
    assert agents.monitor.health("a") is Health.OK


def test_most_heartbeats_are_not_even_delivered(world, agents):
    agents.router_comes()
    start(world, agents, *(f"a{number}" for number in range(20)))
    world.clock.advance(100.0)
    before = agents.delivered
    world.clock.advance(100 * WINDOW_INTERVAL)
    beats = 20 * 100 * WINDOW_INTERVAL
    assert agents.delivered - before <= 0.11 * beats  # a window ends once all are heard


def test_a_new_run_is_not_ready_by_a_late_heartbeat_of_the_old_one(world, agents):
    agents.router_comes()
    start(world, agents, "a")
    world.clock.advance(15.0)
    run = agents.monitor.run("a")
    assert run is not None
    del agents.beating["a"]
    world.driver.let_die("a")
    world.clock.advance(0.5)
    agents.monitor.beat("a", run.session, {"acq": RUNNING})
    assert agents.monitor.health("a") is Health.STARTING
    agents.register("a")
    world.clock.advance(2.0)
    assert agents.monitor.health("a") is Health.OK


def test_a_process_that_failed_counts_a_task_that_failed_does_not(world, agents, changes):
    agents.router_comes()
    start(world, agents, "a")
    agents.processes["a"] = ["acq"]
    agents.register("a", acq=RUNNING, init=FAILED)
    world.clock.advance(30.0)
    assert agents.monitor.health("a") is Health.OK
    assert str(agents.monitor.run("a").operations["init"]) == "failed"
    agents.register("a", acq=DEGRADED, init=SUCCEEDED)
    world.clock.advance(30.0)
    assert agents.monitor.health("a") is Health.DEGRADED
    agents.register("a", acq=FAILED, init=SUCCEEDED)
    world.clock.advance(30.0)
    assert agents.monitor.health("a") is Health.FAILED
    assert changes[-1].text == "answers, but has failed processes: acq"


def test_nothing_false_is_reported_in_a_day_of_router_outages(world, agents, changes):
    random = Random(7)
    names = [f"a{number}" for number in range(10)]
    agents.router_comes()
    start(world, agents, *names)
    world.clock.advance(60.0)
    end = world.clock.mono + DAY
    outages = 0
    while world.clock.mono < end:
        world.clock.advance(random.expovariate(1 / 240.0))
        agents.router_goes()
        outages += 1
        assert {agents.monitor.health(name) for name in names} == {Health.UNKNOWN}
        world.clock.advance(random.expovariate(1 / 60.0))
        agents.router_comes()
        for name in names:  # as autobahn's runner comes back
            agents.returns_at[name] = world.clock.mono + random.uniform(0.0, 16.0)
    assert outages > 200
    bad = {Health.NO_HEARTBEAT, Health.UNREGISTERED}
    assert [change for change in changes if change.after in bad] == []


def test_a_manager_that_was_held_up_itself_blames_nobody(world, agents):
    agents.router_comes()
    start(world, agents, "a")
    world.clock.advance(100.0)
    agents.monitor.run("a")
    world.clock.mono += 120.0  # nothing happened: the machine was suspended
    world.clock.advance(3.0)
    assert agents.monitor.health("a") is Health.OK


def test_without_being_enabled_nothing_is_known(world, changes):
    monitor = HealthMonitor(world.snapshot, world.clock, guard_of(world.clock), changes.append)
    world.supervisor.add(InstanceSpec("a", "FakeDataAgent"), Target.UP)
    assert monitor.health("a") is None
    assert monitor.run("a") is None


def test_settings_say_how_long_and_whether(world, agents):
    agents.router_comes()
    quick = InstanceSettings(ready_timeout=5.0, heartbeat_timeout=30.0)
    world.supervisor.add(InstanceSpec("a", "Fake", settings=quick), Target.UP)
    off = InstanceSettings(heartbeat_timeout=0.0)
    world.supervisor.add(InstanceSpec("b", "Fake", settings=off), Target.UP)
    world.clock.advance(40.0)
    assert agents.monitor.health("a") is Health.UNREGISTERED
    assert agents.monitor.health("b") is None
    agents.register("a")
    world.clock.advance(20.0)
    del agents.beating["a"]
    world.clock.advance(25.0)
    assert agents.monitor.health("a") is Health.OK
    world.clock.advance(20.0)
    assert agents.monitor.health("a") is Health.NO_HEARTBEAT


def test_of_other_hosts_only_those_that_are_asked_for_are_reported(world, agents):
    heard: list[str] = []
    agents.monitor.on_remote_beat = heard.append
    agents.monitor.listen_for(frozenset({"far"}))
    assert agents.listened_to == set()
    agents.router_comes()
    assert agents.listened_to == {"far"}
    for name in ("far", "other"):
        agents.monitor.beat(name, "1", {})
    assert heard == ["far"]
    agents.monitor.listen_for(frozenset())
    agents.monitor.beat("far", "1", {})
    assert (heard, agents.listened_to) == (["far"], set())
