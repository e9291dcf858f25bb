"""What must be true at any time of any day, whatever happens."""

from collections import defaultdict

from hostmanager.core.life import Life, State
from hostmanager.core.model import Target
from tests.core.fakes import World

MOVING = frozenset({State.STARTING, State.STOPPING, State.TERMINATING, State.KILLING})


class Watch:
    """Looks at each change of a world, and remembers what is needed to judge it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.failures = 0
        self.too_soon: list[str] = []
        self._before: dict[str, Life] = {}
        self._deaths: dict[str, list[float]] = defaultdict(list)
        world.snapshot.listen(self._changed)

    def _changed(self, name: str, life: Life | None) -> None:
        before = self._before.pop(name, None)
        if life is None:
            return
        self._before[name] = life
        if before is None or before.state is life.state:
            return
        if before.state is not State.DOWN and len(life.exits) > len(before.exits):
            self.failures += 1
        if life.state is State.STARTING and life.streak > 1:
            self._judge(name, before, life)

    def _judge(self, name: str, before: Life, life: Life) -> None:
        """A launch that answers a second failure in a row, or a later one."""
        restart, now = self.world.supervisor.policy.restart, self.world.clock.mono
        failed = life.exits[-1] if life.exits else now
        shortest = min(
            restart.max_delay * (1 - restart.jitter),
            restart.first_delay * (1 - restart.jitter) * 2.0 ** min(life.streak - 2, 60),
        )
        latest = before.launched.mono if before.launched else 0.0
        by_policy = now - failed >= shortest - 1e-6
        by_impatience = now - latest >= restart.impatience - 1e-6
        if not (by_policy or by_impatience):
            self.too_soon.append(f"{name}: {now - failed:.3f} s after failure {life.streak}")

    def failures_in_a_row_are_answered_no_sooner_than_the_policy_says(self) -> None:
        """The first at once, others after a delay; people may be a little quicker."""
        assert self.too_soon == []

    def everything_is_as_wanted_or_explained(self) -> None:
        """Wanted and shown agree; or something is under way with a deadline, or says why not."""
        for name, life in self.world.snapshot.items():
            at_goal = life.state.value == life.target.value and not life.pending
            blocked = life.state is State.BLOCKED and life.spec.obstacle is not None
            waiting = life.state is State.WAITING and life.target is Target.UP
            soon = life.deadline is not None and life.deadline >= self.world.clock.mono - 1e-6
            assert (
                at_goal
                or blocked
                or ((waiting or life.state in MOVING) and soon)
                or (life.state in MOVING and life.trouble)
            ), f"{name} is {life.state}, wanted {life.target}: {life}"
