"""What must be true at any time of any day, whatever happens."""

from collections import defaultdict

from hostmanager.core.model import Kind, Target
from hostmanager.core.record import NOT_RUNNING_STATES, InstanceRecord, State, restart_denial_reason
from tests.unit.core.fake_engine import MixedWorld

MOVING = frozenset({State.STARTING, State.STOPPING, State.TERMINATING, State.KILLING})


def _is_called_off(life: InstanceRecord) -> bool:
    unwanted = (
        life.target is Target.DOWN or life.request.removing or life.request.replacement is not None
    )
    return unwanted or life.state is State.INOPERABLE or life.request.restart_denied is not None


class Watch:
    """Looks at each change of a world, and remembers what is needed to judge it."""

    def __init__(self, world: MixedWorld) -> None:
        self.world = world
        self.failures = 0
        self.too_soon: list[str] = []
        self.too_late: list[str] = []
        self.unasked: list[str] = []
        self.asked: dict[str, Target] = {}  # what passive ones were told, until it is reached
        self.lost: list[str] = []
        self.restarts: dict[str, str] = {}  # the runs that are to be ended for a restart
        self.kept: dict[str, str] = {}  # the same, as the host keeps them on the disk
        self.done: dict[str, str] = {}  # those that are about to be taken off it
        self._before: dict[str, InstanceRecord] = {}
        self._deaths: dict[str, list[float]] = defaultdict(list)
        self.follow()

    def follow(self) -> None:
        """Look at the manager that there is now."""
        self._before.clear()
        self.world.snapshot.subscribe(self._changed)

    def _changed(self, name: str, life: InstanceRecord | None) -> None:
        before = self._before.pop(name, None)
        self._keep(name, before, life)
        if life is None:
            return
        self._before[name] = life
        if life.spec.is_unmanaged and life.target is Target.PASSIVE:
            self.asked.pop(name, None)
        if before is None or before.state is life.state:
            return
        self._judge_what_nobody_manages(name, life)
        self._judge_first_failure(name, before, life)
        if before.state is not State.DOWN and len(life.failures.exit_times) > len(
            before.failures.exit_times
        ):
            self.failures += 1
        if life.state is State.STARTING and life.failures.consecutive > 1:
            self._judge(name, before, life)

    def restart_requested(self, name: str) -> None:
        """Somebody is about to request a restart."""
        life = self.world.snapshot.get(name)
        if life is not None and life.run.run_id and restart_denial_reason(life) is None:
            self.restarts[name] = life.run.run_id

    def _keep(self, name: str, before: InstanceRecord | None, life: InstanceRecord | None) -> None:
        """What the host keeps on the disk, and what has become of requests."""
        if life is None or _is_called_off(life):
            self.restarts.pop(name, None)
        run = life.request.restart_of if life is not None else None
        if run:
            self.kept[name] = run
        elif run is None and name in self.kept:
            self.done = {name: self.kept.pop(name)}
        if before is None or life is None or before.request.restart_of is None or run is not None:
            return
        is_done = life.run.pid is not None and life.run.run_id != before.request.restart_of
        if not (is_done or _is_called_off(life) or before.request.replacement is not None):
            self.lost.append(f"{name}: {before} -> {life}")

    def _judge_what_nobody_manages(self, name: str, life: InstanceRecord) -> None:
        needs = {State.STARTING: Target.UP, State.STOPPING: Target.DOWN}.get(life.state)
        if life.request.restart_of is not None:
            return  # that was asked for
        if life.spec.is_unmanaged and needs and self.asked.get(name) is not needs:
            self.unasked.append(f"{name}: {life.state} at {self.world.clock.mono}")

    def _judge_first_failure(self, name: str, before: InstanceRecord, life: InstanceRecord) -> None:
        failed = (
            len(life.failures.exit_times) > len(before.failures.exit_times)
            and life.failures.consecutive == 1
        )
        process = life.spec.kind is Kind.HOST and life.spec.inoperable_reason is None
        if failed and process and before.state is State.UP and life.state is not State.STARTING:
            cleared = life.state is State.TERMINATING  # it left others behind; those go first
            if life.target is Target.UP and not cleared:
                self.too_late.append(f"{name}: {life.state} at {self.world.clock.mono}")

    def _judge(self, name: str, before: InstanceRecord, life: InstanceRecord) -> None:
        """A launch that answers a second failure in a row, or a later one."""
        restart, now = self.world.supervisor.policy.restart, self.world.clock.mono
        failed = life.failures.exit_times[-1] if life.failures.exit_times else now
        shortest = min(
            restart.max_delay * (1 - restart.jitter),
            restart.first_delay
            * (1 - restart.jitter)
            * 2.0 ** min(life.failures.consecutive - 2, 60),
        )
        latest = before.run.started_at.monotonic if before.run.started_at else 0.0
        by_policy = now - failed >= shortest - 1e-6
        by_impatience = now - latest >= restart.min_request_interval - 1e-6
        if not (by_policy or by_impatience):
            self.too_soon.append(
                f"{name}: {now - failed:.3f} s after failure {life.failures.consecutive}"
            )

    def failures_in_a_row_are_answered_no_sooner_than_the_policy_says(self) -> None:
        """The first at once, others after a delay; people may be a little quicker."""
        assert self.too_soon == []

    def the_first_failure_of_an_agent_is_answered_at_once_whatever_the_engine_does(self) -> None:
        """An agent's relaunch is delayed by its own failures alone."""
        assert self.too_late == []
        for name, life in self.world.snapshot.items():
            if life.spec.kind is Kind.HOST and life.state is State.STARTING and life.run.started_at:
                assert self.world.driver.launches[name][-1] == life.run.started_at.monotonic

    def a_passive_one_is_never_started_or_ended_unless_somebody_asked(self) -> None:
        """Others do that, as they like."""
        assert self.unasked == []

    def a_restart_is_under_way_until_the_new_run_exists(self) -> None:
        """Unless somebody wants it down, it goes, or it cannot be launched again."""
        assert self.lost == []

    def nothing_was_asked_of_a_driver_that_must_never_be(self) -> None:
        """Two processes of an instance, an `up` for what runs, a container that is not ours …"""
        assert self.world.wrongs == [], self.world.wrongs

    def what_is_shown_at_rest_has_nothing_alive(self) -> None:
        """As far as somebody tells: a frozen engine does not."""
        driver, engine = self.world.driver, self.world.engine
        for name, life in self.world.snapshot.items():
            if life.state in NOT_RUNNING_STATES:
                assert not driver.alive(name), f"{name} is shown {life.state}, but is alive"
                assert name not in driver.in_flight
            resting = life.state in (State.DOWN, State.BACKOFF) and life.spec.kind is Kind.DOCKER
            if resting and engine.in_sight:
                assert not engine.alive(name), f"{name} is shown {life.state}, but is alive"

    def what_is_out_of_sight_is_shown_unseen(self) -> None:
        """Never down, nor up: nobody knows. But what is blocked is, whatever runs."""
        for name, life in self.world.snapshot.items():
            if life.spec.has_no_service:
                assert life.state is State.INOPERABLE, f"{name} is {life.state}"
            elif life.spec.kind is Kind.DOCKER and self.world.engine.lost:
                assert life.state is State.UNOBSERVED, f"{name} is {life.state}"
            elif life.spec.kind is Kind.HOST:
                assert life.state is not State.UNOBSERVED

    def everything_is_as_wanted_or_explained(self) -> None:
        """Wanted and shown agree; or something is under way with a deadline, or says why not."""
        for name, life in self.world.snapshot.items():
            passive = life.target is Target.PASSIVE and life.state in (State.UP, State.DOWN)
            at_goal = (
                passive or life.state.value == life.target.value
            ) and not life.request.replacement
            unseen = life.state is State.UNOBSERVED and (life.deadline is not None or life.error)
            blocked = life.state is State.INOPERABLE and life.spec.inoperable_reason is not None
            waiting = life.state is State.BACKOFF and life.target is Target.UP
            soon = life.deadline is not None and life.deadline >= self.world.clock.mono - 1e-6
            assert (
                at_goal
                or blocked
                or unseen
                or ((waiting or life.state in MOVING) and soon)
                or (life.state in MOVING and life.error)
            ), f"{name} is {life.state}, wanted {life.target}: {life}"
