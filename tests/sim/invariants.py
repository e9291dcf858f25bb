"""What must be true at any time of any day, whatever happens."""

from collections import defaultdict

from hostmanager.core.model import Kind, Target
from hostmanager.core.record import NOT_RUNNING_STATES, InstanceRecord, State, restart_denial_reason
from tests.unit.core.fake_engine import MixedWorld

MOVING = frozenset({State.STARTING, State.STOPPING, State.TERMINATING, State.KILLING})


def _is_called_off(record: InstanceRecord) -> bool:
    unwanted = (
        record.target is Target.DOWN
        or record.request.removing
        or record.request.replacement is not None
    )
    return unwanted or record.state is State.INOPERABLE or record.request.restart_denied is not None


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

    def _changed(self, name: str, record: InstanceRecord | None) -> None:
        before = self._before.pop(name, None)
        self._keep(name, before, record)
        if record is None:
            return
        self._before[name] = record
        if record.spec.is_passive and record.target is Target.PASSIVE:
            self.asked.pop(name, None)
        if before is None or before.state is record.state:
            return
        self._judge_what_nobody_manages(name, record)
        self._judge_first_failure(name, before, record)
        if before.state is not State.DOWN and len(record.failures.exit_times) > len(
            before.failures.exit_times
        ):
            self.failures += 1
        if record.state is State.STARTING and record.failures.consecutive > 1:
            self._judge(name, before, record)

    def restart_requested(self, name: str) -> None:
        """Somebody is about to request a restart."""
        record = self.world.snapshot.get(name)
        if record is not None and record.run.run_id and restart_denial_reason(record) is None:
            self.restarts[name] = record.run.run_id

    def _keep(
        self, name: str, before: InstanceRecord | None, record: InstanceRecord | None
    ) -> None:
        """What the host keeps on the disk, and what has become of requests."""
        if record is None or _is_called_off(record):
            self.restarts.pop(name, None)
        run = record.request.restart_of if record is not None else None
        if run:
            self.kept[name] = run
        elif run is None and name in self.kept:
            self.done = {name: self.kept.pop(name)}
        if before is None or record is None or before.request.restart_of is None or run is not None:
            return
        is_done = record.run.pid is not None and record.run.run_id != before.request.restart_of
        if not (is_done or _is_called_off(record) or before.request.replacement is not None):
            self.lost.append(f"{name}: {before} -> {record}")

    def _judge_what_nobody_manages(self, name: str, record: InstanceRecord) -> None:
        needs = {State.STARTING: Target.UP, State.STOPPING: Target.DOWN}.get(record.state)
        if record.request.restart_of is not None:
            return  # that was asked for
        if record.spec.is_passive and needs and self.asked.get(name) is not needs:
            self.unasked.append(f"{name}: {record.state} at {self.world.clock.mono}")

    def _judge_first_failure(
        self, name: str, before: InstanceRecord, record: InstanceRecord
    ) -> None:
        failed = (
            len(record.failures.exit_times) > len(before.failures.exit_times)
            and record.failures.consecutive == 1
        )
        process = record.spec.kind is Kind.HOST and record.spec.inoperable_reason is None
        if failed and process and before.state is State.UP and record.state is not State.STARTING:
            # What it left behind goes first; or that was one failure too many, by its settings.
            excused = record.state in (State.TERMINATING, State.GIVEN_UP)
            if record.target is Target.UP and not excused:
                self.too_late.append(f"{name}: {record.state} at {self.world.clock.mono}")

    def _judge(self, name: str, before: InstanceRecord, record: InstanceRecord) -> None:
        """A launch that answers a second failure in a row, or a later one."""
        restart, now = self.world.supervisor.policy.restart, self.world.clock.mono
        failed = record.failures.exit_times[-1] if record.failures.exit_times else now
        shortest = min(
            restart.max_delay * (1 - restart.jitter),
            restart.first_delay
            * (1 - restart.jitter)
            * 2.0 ** min(record.failures.consecutive - 2, 60),
        )
        latest = before.run.started_at.monotonic if before.run.started_at else 0.0
        by_policy = now - failed >= shortest - 1e-6
        by_impatience = now - latest >= restart.min_request_interval - 1e-6
        if not (by_policy or by_impatience):
            self.too_soon.append(
                f"{name}: {now - failed:.3f} s after failure {record.failures.consecutive}"
            )

    def failures_in_a_row_are_answered_no_sooner_than_the_policy_says(self) -> None:
        """The first at once, others after a delay; people may be a little quicker."""
        assert self.too_soon == []

    def the_first_failure_of_an_agent_is_answered_at_once_whatever_the_engine_does(self) -> None:
        """An agent's relaunch is delayed by its own failures, and by whom it comes after, alone."""
        assert self.too_late == [], self.too_late
        for name, record in self.world.snapshot.items():
            waits = record.spec.settings.after and not record.run.launch_begun
            starting = record.spec.kind is Kind.HOST and record.state is State.STARTING
            if starting and record.run.started_at and not waits:
                assert self.world.driver.launches[name][-1] == record.run.started_at.monotonic

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
        for name, record in self.world.snapshot.items():
            if record.state in NOT_RUNNING_STATES:
                assert not driver.alive(name), f"{name} is shown {record.state}, but is alive"
                assert name not in driver.in_flight
            resting = (
                record.state in (State.DOWN, State.BACKOFF) and record.spec.kind is Kind.DOCKER
            )
            if resting and engine.connected:
                assert not engine.alive(name), f"{name} is shown {record.state}, but is alive"

    def what_is_out_of_sight_is_shown_as_such(self) -> None:
        """Never down, nor up: nobody knows. But what is blocked is, whatever runs."""
        for name, record in self.world.snapshot.items():
            if record.spec.has_no_service:
                assert record.state is State.INOPERABLE, f"{name} is {record.state}"
            elif record.spec.kind is Kind.DOCKER and self.world.engine.lost:
                assert record.state is State.UNOBSERVED, f"{name} is {record.state}"
            elif record.spec.kind is Kind.HOST:
                assert record.state is not State.UNOBSERVED

    def everything_is_as_wanted_or_explained(self) -> None:
        """Wanted and shown agree; or something is under way with a deadline, or says why not."""
        for name, record in self.world.snapshot.items():
            passive = record.target is Target.PASSIVE and record.state in (State.UP, State.DOWN)
            at_goal = (
                passive or record.state.value == record.target.value
            ) and not record.request.replacement
            unseen = record.state is State.UNOBSERVED and (
                record.deadline is not None or record.error
            )
            blocked = record.state is State.INOPERABLE and record.spec.inoperable_reason is not None
            blocked |= record.state is State.GIVEN_UP and record.fails_too_often
            waiting = record.state is State.BACKOFF and record.target is Target.UP
            soon = record.deadline is not None and record.deadline >= self.world.clock.mono - 1e-6
            assert (
                at_goal
                or blocked
                or unseen
                or (record.request.is_held and self.world.supervisor.stop_gate.waiting_for(name))
                or ((waiting or record.state in MOVING) and soon)
                or (record.state in MOVING and record.error)
            ), f"{name} is {record.state}, wanted {record.target}: {record}"
