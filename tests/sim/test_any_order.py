"""Anything in any order: hypothesis drives a supervisor among fakes and looks for a way
to break what an operator relies on."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from hostmanager.core.life import NOTHING_ALIVE, State
from hostmanager.core.model import Target
from hostmanager.core.requests import Request
from tests.core.fakes import (
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
from tests.sim.invariants import Watch

NAMES = ("a", "b", "c")
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
    UNKILLABLE,
)
SOMEBODY = st.sampled_from(NAMES)
TARGETS = st.sampled_from([Target.UP, Target.DOWN])
LONGEST_STOP = 10 + 5 + 5 + 5 + 1  # each step, one more for remnants, and a bit
LONGEST_WAIT = 10 + 25 + 1  # the longest delay, the slowest launch, and a bit


class AnyOrder(RuleBasedStateMachine):
    """Operators, reloads, failures and time, in any order."""

    @initialize(seed=st.integers(0, 1000))
    def begin(self, seed: int) -> None:
        self.world = World(seed=seed)
        self.watch = Watch(self.world)
        self.supervisor = self.world.supervisor
        self.edition = 0
        self.wanted: dict[str, Target] = {}  # by the last who said something
        for name in NAMES:
            self.add(name, Target.UP)

    def edit(self, name: str, **more: object):
        self.edition += 1
        return spec(name, fingerprint=str(self.edition), **more)

    # --- the site file ------------------------------------------------------------------

    @rule(name=SOMEBODY, wish=TARGETS)
    def add(self, name: str, wish: Target) -> None:
        if name not in self.supervisor.known():
            self.supervisor.add(self.edit(name, initial_target=wish))
            self.wanted[name] = wish

    @rule(name=SOMEBODY, wish=TARGETS, blocked=st.booleans())
    def replace(self, name: str, wish: Target, blocked: bool) -> None:
        if name in self.supervisor.known():
            obstacle = "no such class" if blocked else None
            self.supervisor.replace(self.edit(name, initial_target=wish, obstacle=obstacle))
            self.wanted[name] = wish

    @rule(name=SOMEBODY, blocked=st.booleans())
    def update(self, name: str, blocked: bool) -> None:
        if name in self.supervisor.known():
            obstacle = "no such class" if blocked else None
            self.supervisor.update(self.edit(name, obstacle=obstacle))

    @rule(name=SOMEBODY)
    def retire(self, name: str) -> None:
        if name in self.supervisor.known():
            self.supervisor.retire(name)
            del self.wanted[name]

    # --- operators ----------------------------------------------------------------------

    @rule(name=SOMEBODY | st.just("all"), wish=TARGETS)
    def request(self, name: str, wish: Target) -> None:
        for each in NAMES if name == "all" else (name,):
            if each in self.wanted:
                self.wanted[each] = wish
        if name == "all" or name in self.supervisor.known():
            self.supervisor.carry_out([Request(name, wish)])

    @rule(name=SOMEBODY)
    def press_up_ten_times(self, name: str) -> None:
        for _ in range(10):
            self.request(name, Target.UP)

    @rule(name=SOMEBODY)
    def restart(self, name: str) -> None:
        self.request(name, Target.DOWN)
        self.request(name, Target.UP)

    @rule()
    def hurry(self) -> None:
        self.supervisor.hurry()

    # --- the world ------------------------------------------------------------------------

    @rule(name=SOMEBODY, behaviours=st.lists(st.sampled_from(BEHAVIOURS), max_size=3))
    def plan(self, name: str, behaviours: list[Behaviour]) -> None:
        self.world.driver.plan[name] = behaviours

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

    # --- what an operator relies on -------------------------------------------------------

    @invariant()
    def never_two_processes_of_one_instance_and_none_in_spite_of_an_obstacle(self) -> None:
        """The fake driver raises the moment that it is asked for either."""

    @invariant()
    def what_is_shown_at_rest_has_nothing_alive(self) -> None:
        for name, life in self.world.snapshot.items():
            if life.state in NOTHING_ALIVE:
                assert not self.world.driver.alive(name)
                assert name not in self.world.driver.in_flight

    @invariant()
    def nothing_that_lives_is_unknown(self) -> None:
        for name in (*self.world.driver.processes, *self.world.driver.in_flight):
            assert name in self.world.snapshot

    @invariant()
    def the_last_request_decides(self) -> None:
        known = self.supervisor.known()
        assert set(known) == set(self.wanted)
        for name in known:
            assert self.world.snapshot[name].target is self.wanted[name]

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
        driver = self.world.driver
        driver.plan.clear()
        self.world.clock.advance(LONGEST_STOP)
        for name in NAMES:
            driver.unblock(name)
        self.world.clock.advance(LONGEST_STOP + LONGEST_WAIT)
        for name in NAMES:  # launched by an old plan, perhaps, and unkillable
            driver.unblock(name)
        self.world.clock.advance(LONGEST_WAIT)
        assert not self.supervisor.leaving()
        for name, target in self.wanted.items():
            life = self.world.snapshot[name]
            if life.spec.obstacle is not None and not driver.alive(name):
                assert life.state is State.BLOCKED
            else:
                assert life.state.value == target.value, life
        self.supervisor.stop_all()
        at_rest = []
        self.supervisor.when_at_rest(lambda: at_rest.append(True))
        self.world.clock.advance(LONGEST_STOP)
        assert at_rest == [True]


AnyOrder.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
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
        assert world.life().state is State.DOWN, behaviour
