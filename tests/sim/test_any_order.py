"""Anything in any order: hypothesis drives a supervisor among fakes and looks for a way
to break what an operator relies on."""

from collections.abc import Callable

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from hostmanager.core.model import InstanceSpec, Kind, Target
from hostmanager.core.record import ANY_RUN, STOPPING_STATES, State
from hostmanager.core.requests import Request
from tests.sim.invariants import Watch
from tests.support.seeds import examples
from tests.unit.core.fake_engine import MixedWorld, foreign, passive, service
from tests.unit.core.fakes import (
    CRASHES,
    IGNORES_SIGINT,
    IGNORES_SIGTERM,
    LEAVES_SOME,
    NO_PROGRAM,
    OBEYS,
    SLOW_DISK,
    UNKILLABLE,
    Behaviour,
    World,
    spec,
)

NAMES = ("a", "b", "c", "d", "e")
Maker = Callable[..., InstanceSpec]


def obstructed(name: str, **more: object) -> InstanceSpec:
    """An agent that cannot be operated."""
    return spec(name, inoperable_reason="no such class", **more)


BEHAVIOURS = (
    *(OBEYS, CRASHES, IGNORES_SIGINT, IGNORES_SIGTERM, LEAVES_SOME, NO_PROGRAM, SLOW_DISK),
    Behaviour(answers_after=None),
    Behaviour(answers_after=None, fails_at="output file"),
    Behaviour(answers_after=25.0),
    Behaviour(stops_after=3.0),
    Behaviour(ends_after=30.0, code=0),
    Behaviour(ends_after=70.0),
    Behaviour(leaves=1, remnants_ignore=frozenset({2})),
    Behaviour(ignores=frozenset({1, 2}), leaves=2),
    Behaviour(ends_after=1.0, cpu=5.0),
    UNKILLABLE,
)
SOMEBODY = st.sampled_from(NAMES)
KINDS = st.sampled_from([spec, spec, service, service, foreign, obstructed, passive])
TARGETS = st.sampled_from([Target.UP, Target.DOWN])
LONGEST_STOP = 10 + 5 + 5 + 5 + 1  # each step, one more for remnants, and a bit
LONGEST_DELAY = 5 * 5.0 / 0.1 * 1.25  # if all five fail as above: their budget, and jitter
LONGEST_WAIT = LONGEST_DELAY + 25 + 1  # and the slowest launch, and a bit


class AnyOrder(RuleBasedStateMachine):
    """Operators, reloads, others at the engine, failures and time, in any order."""

    @initialize(seed=st.integers(0, 1000))
    def begin(self, seed: int) -> None:
        self.world = MixedWorld(seed=seed)
        self.watch = Watch(self.world)
        self.supervisor = self.world.supervisor
        self.edition = 0
        self.wanted: dict[str, Target] = {}  # by the last who said something
        for name, make in zip(NAMES, (spec, spec, service, service, passive), strict=True):
            self.add(name, make, Target.UP)

    def edit(self, name: str, make: Maker, **more: object) -> InstanceSpec:
        self.edition += 1
        return make(name, fingerprint=str(self.edition), **more)

    def entry(self, name: str, make: Maker, requested: Target, **more: object) -> InstanceSpec:
        """A new entry; note what is wanted of it, which nobody wants of a passive one."""
        if make is passive:
            self.wanted[name] = Target.PASSIVE
            self.watch.asked.pop(name, None)
            return self.edit(name, passive)
        self.wanted[name] = requested
        return self.edit(name, make, initial_target=requested, **more)

    # --- the site file, and compose files ---------------------------------------------------

    @rule(name=SOMEBODY, make=KINDS, requested=TARGETS)
    def add(self, name: str, make: Maker, requested: Target) -> None:
        if name not in self.supervisor.specs():
            self.supervisor.add(self.entry(name, make, requested))

    @rule(name=SOMEBODY, make=KINDS, requested=TARGETS)
    def replace(self, name: str, make: Maker, requested: Target) -> None:
        if name in self.supervisor.specs():
            self.supervisor.replace(self.entry(name, make, requested))

    @rule(name=SOMEBODY, blocked=st.booleans())
    def update(self, name: str, blocked: bool) -> None:
        known = self.supervisor.specs().get(name)
        if known is None or known.is_unmanaged:
            return
        make = (
            (foreign if blocked else service)
            if known.kind is Kind.DOCKER
            else obstructed
            if blocked
            else spec
        )
        self.supervisor.update(self.edit(name, make))

    @rule(name=SOMEBODY)
    def retire(self, name: str) -> None:
        if name in self.supervisor.specs():
            self.supervisor.remove(name)
            del self.wanted[name]

    # --- operators ----------------------------------------------------------------------

    @rule(name=SOMEBODY | st.just("all"), requested=TARGETS)
    def request(self, name: str, requested: Target) -> None:
        known = self.supervisor.specs()
        for each in NAMES if name == "all" else (name,):
            if each in known and known[each].is_unmanaged:
                self.watch.asked[each] = requested
            elif each in known:
                self.wanted[each] = requested
        if name == "all" or name in known:
            self.supervisor.apply_requests([Request(name, requested)])

    @rule(name=SOMEBODY)
    def press_up_ten_times(self, name: str) -> None:
        for _ in range(10):
            self.request(name, Target.UP)

    @rule(name=SOMEBODY)
    def restart(self, name: str) -> None:
        self.request(name, Target.DOWN)
        self.request(name, Target.UP)

    @rule(name=SOMEBODY | st.just("all"))
    def request_a_restart(self, name: str) -> None:
        for each in NAMES if name == "all" else (name,):
            self.watch.restart_requested(each)
            self.supervisor.restart(each)

    @rule()
    def hurry(self) -> None:
        self.supervisor.escalate()

    @rule()
    def stop_the_manager(self) -> None:
        for name in self.supervisor.configured_specs():
            self.wanted[name] = Target.DOWN
        self.supervisor.stop_all()

    @rule()
    def begin_again(self) -> None:
        for known in self.supervisor.specs().values():
            self.wanted[known.instance_id] = known.initial_target
            self.watch.asked.pop(known.instance_id, None)
            self.watch.restarts.pop(known.instance_id, None)  # what nobody manages runs on
            was = self.world.snapshot[known.instance_id].spec
            if known.is_unmanaged and was.is_unmanaged:  # as the host does: observed anew
                self.supervisor.remove_now(known.instance_id)
            self.supervisor.add(known)

    @rule(stale=st.booleans())
    def kill_the_manager(self, stale: bool) -> None:
        """Another comes at once; perhaps a restart was done, and is still on the disk."""
        world, known, watch = self.world, self.supervisor.specs(), self.watch
        if any(record.request.replacement is not None for record in world.snapshot.values()):
            return
        kept = {**(watch.done if stale else {}), **watch.kept}
        self.supervisor.abandon()  # its timers ring no more
        for driver in (world.driver, world.engine):
            driver.forget_everything()
        world.start_manager()
        watch.follow()
        watch.kept.clear()
        self.supervisor = world.supervisor
        runs = world.driver.discover()
        for name, entry in known.items():
            one, run = runs.get(name), kept.get(name)
            if entry.kind is Kind.HOST and (one is None or run not in (one.run_id, ANY_RUN)):
                run = None  # as the host finds out
            requested = watch.asked.get(name) if entry.is_unmanaged else self.wanted[name]
            self.supervisor.add(entry, requested, one, run)
        for name in runs.keys() - known.keys():
            self.supervisor.adopt_unlisted(name, runs[name])

    # --- the world ------------------------------------------------------------------------

    @rule(name=SOMEBODY, behaviours=st.lists(st.sampled_from(BEHAVIOURS), max_size=3))
    def plan(self, name: str, behaviours: list[Behaviour]) -> None:
        self.world.driver.plan[name] = list(behaviours)
        self.world.engine.plan[name] = list(behaviours)

    @rule(name=SOMEBODY)
    def crash(self, name: str) -> None:
        self.world.driver.let_die(name)

    @rule(name=SOMEBODY)
    def unblock(self, name: str) -> None:
        self.world.driver.unblock(name)

    @rule(length=st.sampled_from([0.0, 0.001, 0.3, 1.0, 2.0, 5.0, 10.0, 61.0]))
    def pass_time(self, length: float) -> None:
        self.world.clock.advance(length)

    @rule(length=st.floats(-1e6, 1e6))
    def jump_wall_clock(self, length: float) -> None:
        self.world.clock.jump(length)

    # --- the engine, and others who use it ------------------------------------------------------

    @rule(name=SOMEBODY, behaviour=st.sampled_from(BEHAVIOURS))
    def others_start(self, name: str, behaviour: Behaviour) -> None:
        self.world.engine.others_start(name, behaviour)

    @rule(name=SOMEBODY, removed=st.booleans())
    def others_end(self, name: str, removed: bool) -> None:
        self.world.engine.others_end(name, removed=removed)

    @rule(name=SOMEBODY)
    def let_the_engine_restart_it_or_not(self, name: str) -> None:
        self.world.engine.restarting ^= {name}

    @rule(name=SOMEBODY)
    def finish_up(self, name: str) -> None:
        self.world.engine.finish_up(name)

    @rule(name=SOMEBODY)
    def lose_its_image_or_find_it(self, name: str) -> None:
        self.world.engine.unavailable ^= {name}

    @rule()
    def freeze_the_engine(self) -> None:
        self.world.engine.freeze()

    @rule()
    def lose_the_engine(self) -> None:
        self.world.engine.disconnect()

    @rule()
    def see_the_engine_again(self) -> None:
        self.world.engine.come_back()

    # --- what an operator relies on -------------------------------------------------------

    @invariant()
    def never_two_of_one_instance_and_none_in_spite_of_an_obstacle(self) -> None:
        self.watch.nothing_was_asked_of_a_driver_that_must_never_be()

    @invariant()
    def what_is_shown_at_rest_has_nothing_alive(self) -> None:
        self.watch.what_is_shown_at_rest_has_nothing_alive()

    @invariant()
    def what_is_out_of_sight_never_shows_down(self) -> None:
        self.watch.what_is_out_of_sight_is_shown_as_such()

    @invariant()
    def a_passive_one_is_never_started_or_ended_unless_somebody_asked(self) -> None:
        self.watch.a_passive_one_is_never_started_or_ended_unless_somebody_asked()

    @invariant()
    def no_engine_trouble_delays_the_relaunch_of_an_agent(self) -> None:
        watch = self.watch
        watch.the_first_failure_of_an_agent_is_answered_at_once_whatever_the_engine_does()

    @invariant()
    def nothing_that_lives_is_unknown(self) -> None:
        for name in (*self.world.driver.processes, *self.world.driver.in_flight):
            assert name in self.world.snapshot

    @invariant()
    def the_last_request_decides(self) -> None:
        known = self.supervisor.specs()
        assert set(known) == set(self.wanted)
        for name, entry in known.items():
            target = self.world.snapshot[name].target
            asked = {self.watch.asked.get(name), Target.PASSIVE}
            if self.world.snapshot[name].request.restart_of is not None:
                asked.add(Target.UP)
            assert target in (asked if entry.is_unmanaged else {self.wanted[name]})

    @invariant()
    def a_restart_is_under_way_until_the_new_run_exists(self) -> None:
        self.watch.a_restart_is_under_way_until_the_new_run_exists()

    @invariant()
    def whatever_is_not_as_wanted_has_a_deadline_or_a_reason(self) -> None:
        self.watch.everything_is_as_wanted_or_explained()

    @invariant()
    def restarts_keep_the_distance_that_the_policy_says(self) -> None:
        self.watch.failures_in_a_row_are_answered_no_sooner_than_the_policy_says()

    def teardown(self) -> None:
        """With a world that behaves from now on, all is as wanted within the policy's bound."""
        if not hasattr(self, "world"):
            return
        self.calm_down()
        self.world.clock.advance(LONGEST_STOP)
        self.unblock_all()
        self.world.clock.advance(LONGEST_STOP + LONGEST_WAIT)
        self.unblock_all()  # launched by an old plan, perhaps, and unkillable
        self.world.clock.advance(LONGEST_WAIT)
        assert not self.supervisor.removing()
        for name, target in self.wanted.items():
            self.is_as_it_should_be(name, target)
        for name, run in self.watch.restarts.items():
            assert self.world.snapshot[name].run.run_id != run, f"{name} was not restarted"
        assert not [
            record
            for record in self.world.snapshot.values()
            if record.request.restart_of is not None
        ]
        assert not self.watch.kept
        self.supervisor.stop_all()
        at_rest = []
        self.supervisor.when_idle(lambda: at_rest.append(True))
        self.world.clock.advance(LONGEST_STOP)
        assert at_rest == [True]

    def calm_down(self) -> None:
        self.world.driver.plan.clear()
        self.world.engine.plan.clear()
        self.world.engine.restarting.clear()
        self.world.engine.unavailable.clear()
        self.world.engine.come_back()

    def unblock_all(self) -> None:
        for name in NAMES:
            self.world.driver.unblock(name)
            if name in self.world.snapshot and self.world.snapshot[name].state in STOPPING_STATES:
                self.world.engine.others_end(name)

    def is_as_it_should_be(self, name: str, target: Target) -> None:
        record = self.world.snapshot[name]
        if record.spec.inoperable_reason is not None and not self.world.driver.alive(name):
            assert record.state is State.INOPERABLE
        elif record.spec.is_unmanaged:
            assert record.target is Target.PASSIVE
            assert record.state is (State.UP if self.world.engine.alive(name) else State.DOWN)
        else:
            assert record.state.value == target.value, record


AnyOrder.TestCase.settings = settings(examples(60), stateful_step_count=40)
TestAnyOrder = AnyOrder.TestCase


def test_the_bound_of_a_stop_holds_whatever_it_ignores():
    stubborn = [b for b in BEHAVIOURS if b is not UNKILLABLE and b.fails_at is None]
    for behaviour in stubborn:
        world = World()
        world.driver.plan["a"] = [behaviour]
        world.supervisor.add(spec())
        world.clock.advance(26)
        world.supervisor.stop_all()
        world.clock.advance(LONGEST_STOP)
        assert world.record().state is State.DOWN, behaviour


def test_an_agent_that_ends_and_becomes_a_service_of_others_is_not_lost_by_a_start():
    state = AnyOrder()
    state.begin(seed=0)
    state.retire(name="a")
    state.add(make=passive, name="a", requested=Target.UP)
    state.begin_again()
    state.what_is_shown_at_rest_has_nothing_alive()
    state.retire(name="a")
    state.nothing_that_lives_is_unknown()
    state.teardown()
