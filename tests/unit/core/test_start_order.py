"""The setting `after`: who is waited for, how long, and what ends the waiting."""

import pytest

from hostmanager.core.health import Health
from hostmanager.core.model import InstanceSettings, RemoteInstance, Target
from hostmanager.core.record import State
from hostmanager.core.start_order import find_cycle, without_cycles
from tests.unit.core.fake_engine import service
from tests.unit.core.fakes import Behaviour, spec


@pytest.fixture
def health(world):
    """The health of each instance, as the test sets it; nobody follows those that are not set."""
    known = {}
    world.supervisor.start_gate.health = known.get
    return known


def after(*others, **more):
    return InstanceSettings(after=others, **more)


def start(world, *specs):
    for each in specs:
        world.supervisor.add(each, Target.UP)
    world.clock.advance(2)


def states(world):
    return {name: record.state for name, record in world.snapshot.items()}


def waiting(world, name="a"):
    return world.supervisor.start_gate.waiting_for(name)


@pytest.mark.parametrize("make", [spec, service], ids=["process", "service"])
def test_an_instance_waits_until_another_is_ready_whatever_their_order_in_the_file(
    world, health, make
):
    health["b"] = Health.STARTING
    start(world, make("a", settings=after("b")), make("b"))
    assert waiting(world) == ("b",)
    assert states(world) == {"a": State.STARTING, "b": State.UP}
    world.clock.advance(30)
    assert waiting(world) == ("b",)
    health["b"] = Health.OK
    world.clock.advance(3)
    assert waiting(world) == ()
    assert states(world) == {"a": State.UP, "b": State.UP}
    assert not any("although" in text for text in world.messages_of())


def test_the_time_of_its_run_begins_with_its_launch(world, health):
    health["b"] = Health.STARTING
    start(world, spec("a", settings=after("b")), spec("b"))
    world.clock.advance(30)
    health["b"] = Health.OK
    world.clock.advance(3)
    a, b = world.record("a"), world.record("b")
    assert a.run.started_at.monotonic - b.run.started_at.monotonic > 29


@pytest.mark.parametrize("known", [Health.STARTING, Health.UNKNOWN, Health.UNREGISTERED])
def test_no_wait_is_endless_and_its_end_is_reported(world, health, known):
    health["b"] = known
    start(world, spec("a", settings=after("b")), spec("b"))
    world.clock.advance(62)
    assert states(world)["a"] is State.UP
    assert "is started although b is not known to be ready" in world.messages_of()


def test_without_a_router_it_is_enough_that_the_other_runs(world, health):
    health["b"] = Health.UNKNOWN
    start(world, spec("a", settings=after("b")), spec("b"))
    assert waiting(world) == ("b",)
    world.clock.advance(12)
    assert states(world)["a"] is State.UP


def test_whom_nobody_follows_is_ready_when_it_runs(world):
    start(world, spec("a", settings=after("b")), spec("b"))
    assert states(world) == {"a": State.UP, "b": State.UP}
    assert world.messages_of()[-1].startswith("up")


def test_a_one_shot_is_waited_for_until_it_is_done(world):
    world.driver.plan["b"] += [Behaviour(ends_after=20.0, code=0)]
    one_shot = InstanceSettings(one_shot=True)
    start(world, spec("a", settings=after("b")), spec("b", settings=one_shot))
    assert waiting(world) == ("b",)
    world.clock.advance(22)
    assert states(world) == {"a": State.UP, "b": State.DOWN}


def test_who_is_down_or_not_known_is_not_waited_for(world):
    world.supervisor.add(spec("b"), Target.DOWN)
    start(world, spec("a", settings=after("b", "nobody")))
    assert states(world) == {"a": State.UP, "b": State.DOWN}


def test_a_later_death_of_the_other_stops_nobody(world, health):
    health["b"] = Health.OK
    world.driver.plan["b"] += [Behaviour(ends_after=20.0, code=1)]
    start(world, spec("a", settings=after("b")), spec("b"))
    pid = world.record("a").run.pid
    world.clock.advance(60)
    assert world.record("b").failures.restarts > 0
    assert world.record("a").run.pid == pid


def test_what_waits_and_is_not_needed_any_more_is_never_launched(world, health):
    health["b"] = Health.STARTING
    start(world, spec("a", settings=after("b")), spec("b"))
    world.supervisor.stop_all()
    assert states(world)["a"] is State.DOWN
    world.clock.advance(120)
    assert not world.driver.launches["a"]
    assert world.record("a").failures.consecutive == 0


def test_what_waits_is_not_launched_by_a_manager_that_left_it_to_the_next(world, health):
    health["b"] = Health.STARTING
    start(world, spec("a", settings=after("b")), spec("b"))
    world.supervisor.abandon()
    world.clock.advance(120)
    assert not world.driver.launches["a"]


def test_a_waiting_service_is_seen_as_it_is(world, health):
    health["b"] = Health.STARTING
    start(world, service("a", settings=after("b")), spec("b"))
    assert states(world)["a"] is State.STARTING
    world.engine.disconnect()
    world.clock.advance(60)
    assert states(world)["a"] is State.UNOBSERVED
    assert waiting(world) == ()
    world.engine.come_back()
    world.clock.advance(1)
    assert waiting(world) == ("b",)
    world.engine.others_start("a")
    world.clock.advance(1)
    assert states(world)["a"] is State.UP
    world.clock.advance(120)
    assert not world.engine.launches["a"]


def test_a_circle_holds_nobody_back(world, health):
    health |= {"a": Health.STARTING, "b": Health.STARTING}
    start(world, spec("a", settings=after("b")), spec("b", settings=after("a")))
    assert states(world) == {"a": State.UP, "b": State.UP}


@pytest.fixture
def gate(world):
    """The gate of a host whose site has `b`, `c` and `off` on another one; it notes who is heard."""
    gate = world.supervisor.start_gate
    gate.remote = {
        "b": RemoteInstance("far", ready_timeout=90.0),
        "c": RemoteInstance("far", after=("a",)),
        "off": RemoteInstance("far", is_awaited=False),
    }
    gate.listened = []
    gate.listen_for = gate.listened.append
    return gate


def test_one_of_another_host_is_waited_for_until_it_is_heard(world, gate):
    gate.heard("b")  # earlier, and perhaps gone since
    world.clock.advance(10)
    start(world, spec("a", settings=after("b")))
    assert (waiting(world), gate.name("b")) == (("b",), "b (host far)")
    world.clock.advance(30)
    assert gate.listened == [{"b"}]
    gate.heard("b")
    world.clock.advance(1)
    assert states(world) == {"a": State.UP}
    assert gate.listened == [{"b"}, set()]
    assert not any("although" in text for text in world.messages_of())


def test_one_of_another_host_that_is_never_heard_is_waited_for_its_ready_timeout(world, gate):
    start(world, spec("a", settings=after("b")))
    world.clock.advance(86)
    assert states(world)["a"] is State.STARTING
    world.clock.advance(4)
    assert states(world)["a"] is State.UP
    assert "is started although b (host far) is not known to be ready" in world.messages_of()


def test_a_restart_after_a_failure_does_not_wait_for_other_hosts(world, gate):
    world.driver.plan["a"] += [Behaviour(ends_after=5.0)]
    start(world, spec("a", settings=after("b")))
    gate.heard("b")
    world.clock.advance(7)
    assert len(world.driver.launches["a"]) == 2


def test_who_is_not_started_by_itself_or_in_a_circle_is_not_waited_for(world, gate):
    start(world, spec("a", settings=after("off", "c")))
    assert states(world) == {"a": State.UP}
    assert gate.listened == []


def test_what_is_not_needed_any_more_is_not_listened_for(world, gate):
    start(world, spec("a", settings=after("b")))
    world.supervisor.stop_all()
    world.clock.advance(1)
    assert gate.listened == [{"b"}, set()]


CYCLIC = {"a": ("b",), "b": ("c",), "c": ("b", "d"), "d": (), "e": ("e", "d")}


@pytest.mark.parametrize(
    ("start", "cycle"),
    [("a", []), ("b", ["b", "c", "b"]), ("c", ["c", "b", "c"]), ("d", []), ("e", ["e", "e"])],
)
def test_a_cycle_is_found_for_its_members_alone(start, cycle):
    assert find_cycle(CYCLIC, start) == cycle


def test_of_a_cycle_only_its_own_part_of_the_order_is_dropped():
    kept = {name: without_cycles(CYCLIC, name) for name in CYCLIC}
    assert kept == {"a": ["b"], "b": [], "c": ["d"], "d": [], "e": ["d"]}
