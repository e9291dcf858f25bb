"""The rules in numbers: when to relaunch, how stable an instance is, how long a stop may take.

Pure functions of their arguments. All times are seconds on a monotonic clock:
decisions never depend on the wall clock, which can jump.
"""

from dataclasses import dataclass, field, replace

STABILITY_WINDOW = 120.0
"""Unexpected exits older than this are forgotten by `stability` (contract, section 5)."""

STABILITY_WEIGHT = 5.0
"""An exit t seconds ago takes 5/t off the stability (contract, section 5)."""


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """When an instance is restarted after an unexpected exit.

    After the first exit it is restarted at once. After each further exit, as long as no run in
    between lasted `stable_after` seconds, there is a delay that doubles from `first_delay` up to
    `max_delay`, give or take `jitter` (a fraction). It is given up only if its settings
    say so.

    Attributes:
        first_delay: Delay before the second relaunch, seconds.
        max_delay: Longest delay, seconds (option ``--restart-delay-max``).
        max_remote_delay: Longest delay while something remote is missing (the image of a
            service, from a registry), seconds.
        stable_after: A run of this many seconds ends a streak of failures.
        jitter: Largest relative deviation of a delay, so that the agents of a site that
            fail together do not return together.
        min_request_interval: Shortest time between two requested launches during a delay,
            seconds: requests cannot turn a failing agent into a busy loop.
    """

    first_delay: float = 1.0
    max_delay: float = 10.0
    max_remote_delay: float = 300.0
    stable_after: float = 60.0
    jitter: float = 0.25
    min_request_interval: float = 1.0

    def with_max_delay(self, max_delay: float | None) -> "RestartPolicy":
        """The policy of an instance with a longest delay of its own; None: it has none."""
        return self if max_delay is None else replace(self, max_delay=max_delay)

    def count_failure(self, streak: int, ran_for: float) -> int:
        """Count a failure after a run of `ran_for` seconds.

        Returns:
            The number of failures in a row, this one included.
        """
        return 1 if ran_for >= self.stable_after else streak + 1

    def delay(self, streak: int, jitter_sample: float, *, remote: bool = False) -> float:
        """Seconds to wait before the next launch after `streak` failures in a row.

        Args:
            streak: Failures in a row, 1 or more.
            jitter_sample: A random number from 0 to 1, which places the jitter.
            remote: Whether something remote is missing.
        """
        if streak <= 1:
            return 0.0
        longest = max(self.max_delay, self.max_remote_delay) if remote else self.max_delay
        # The exponent is bounded: a year of failures must not overflow a float.
        plain = min(longest, self.first_delay * 2.0 ** min(streak - 2, 60))
        spread = plain * (1.0 + self.jitter * (2.0 * jitter_sample - 1.0))
        return min(longest, spread)


@dataclass(frozen=True, slots=True)
class CpuBudget:
    """The part of a host's CPU that its failing instances may use together.

    Attributes:
        share: Part of the host's CPU time, 0 to 1. A tenth is harmless; attempts come at random
            moments, so the aim is below it.
        cpus: How many CPUs there are.
        longest_period: Longest time from one attempt to the next, seconds, however many fail.
    """

    share: float = 0.08
    cpus: int = 1
    longest_period: float = 3600.0

    @property
    def rate(self) -> float:
        """CPU seconds per second."""
        return self.share * self.cpus


MANAGER_NICE = -10
"""The priority (nice value) of the manager beside its agents, where it may be raised."""


@dataclass(frozen=True, slots=True)
class StopPolicy:
    """How long each stage of a stop may take before the next one, seconds.

    A stop is SIGINT to the agent, after `interrupt` SIGTERM to its process group, after
    `terminate` more SIGKILL to the group; then the kill is repeated every `kill` seconds.
    """

    interrupt: float = 10.0
    terminate: float = 5.0
    kill: float = 5.0


@dataclass(frozen=True, slots=True)
class Policy:
    """All the numbers that the transitions use."""

    restart: RestartPolicy = field(default_factory=RestartPolicy)
    stop: StopPolicy = field(default_factory=StopPolicy)
    budget: CpuBudget = field(default_factory=CpuBudget)


def recent_exits(exits: tuple[float, ...], now: float) -> tuple[float, ...]:
    """The unexpected exits that still count for `stability`."""
    return tuple(t for t in exits if now - t < STABILITY_WINDOW)


def stability(exits: tuple[float, ...], now: float) -> float:
    """How stable an instance is, 0 to 1 (contract, section 5).

    Args:
        exits: Times of the unexpected exits, monotonic seconds.
        now: The present, on the same clock.
    """
    total = 0.0
    for exited_at in recent_exits(exits, now):
        age = now - exited_at
        if age <= STABILITY_WEIGHT:
            return 0.0
        total += STABILITY_WEIGHT / age
    return max(0.0, 1.0 - total)
