"""How much of the host's CPU failing agents may use, and so how long each waits for its restart.

An agent that fails while it starts uses at every attempt what its start costs: with agents of
today, most of a CPU second for their imports. One of them every ten seconds is harmless; twenty
keep a host busy for good, at the cost of the healthy agents. So all failing agents of a host share
a budget of its CPU time. As long as they stay within it together, the restart policy alone
decides. Beyond it, each gets its fair share: a run that used c seconds of CPU is followed by a
delay of c / share seconds.

Fair is max-min fair: an agent that needs less than an equal share keeps what it needs, the others
share the rest evenly. A cheap agent is never held up by an expensive one.

How many agents fail is not known when the first one does. So the delay is decided twice: at the
failure, and again when the delay is over, with what is known then.

Pure functions of their arguments; times are seconds, CPU times too.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from hostmanager.core.policy import CpuBudget, RestartPolicy


@dataclass(frozen=True, slots=True)
class FailedRun:
    """The latest failed run of a failing instance.

    Attributes:
        cpu: Seconds of CPU that it used, with its descendants.
        duration: Its length, seconds.
        ended_at: When it ended (monotonic seconds).
        jitter_sample: The random number from 0 to 1 that places the jitter of the pause after it; None
            once the pause was cut short because somebody asked for it.
        max_delay: The longest delay of its instance, if it has one of its own, seconds.
    """

    cpu: float
    duration: float
    ended_at: float = 0.0
    jitter_sample: float | None = None
    max_delay: float | None = None


@dataclass(frozen=True, slots=True)
class Backoff:
    """The decision after a failure.

    Attributes:
        delay: Seconds until the next launch.
        reason: Why it is longer than by the restart policy alone, as a sentence for operators;
            empty if it is not.
        rounds: Decisions in a row that had such a reason.
    """

    delay: float = 0.0
    reason: str = ""
    rounds: int = 0


NO_BACKOFF = Backoff()


def decide_backoff(
    restart: RestartPolicy,
    budget: CpuBudget,
    run: FailedRun,
    others: Iterable[FailedRun],
    *,
    streak: int,
    rounds: int,
) -> Backoff:
    """Decide how long an instance waits for its next launch.

    Args:
        restart: The policy for one instance.
        budget: What all failing instances may use together.
        run: Its run that failed now.
        others: The latest failed runs of the other failing instances.
        streak: Its failures in a row, this one included.
        rounds: `Backoff.rounds` of the decision before.
    """
    jitter_sample = run.jitter_sample or 0.0
    ordinary = restart.with_max_delay(run.max_delay).delay(streak, jitter_sample)
    demands = [_demand(failed_run, restart) for failed_run in (run, *others)]
    share = fair_share(demands, budget.rate)
    if streak <= 1 or demands[0] <= share:
        return Backoff(ordinary)
    period = min(run.cpu / share, budget.longest_period)
    # At first anywhere in the period, so that agents that fail together do not return together.
    spread = jitter_sample if rounds == 0 else 1.0 + restart.jitter * (2.0 * jitter_sample - 1.0)
    delay = max(ordinary, period * spread - run.duration)
    return Backoff(delay, _reason(len(demands) - 1, budget), rounds + 1)


def fair_share(demands: Iterable[float], budget: float) -> float:
    """The largest share for each with which all together stay within the budget.

    A lower demand takes only that. Infinite if the budget is enough for all.
    """
    rising = sorted(demands)
    for number, demand in enumerate(rising):
        share = budget / (len(rising) - number)
        if demand > share:
            return share
        budget -= demand
    return math.inf


def _demand(run: FailedRun, restart: RestartPolicy) -> float:
    """CPU seconds per second that the restart policy alone would come to use in the long run."""
    return run.cpu / (run.duration + restart.with_max_delay(run.max_delay).max_delay)


def _reason(others: int, budget: CpuBudget) -> str:
    agents = "It"
    if others:
        agents = f"It and {others} other failing agent{'s' if others > 1 else ''} together"
    share = f"{budget.share * 100:.3g} % of this host's CPU"
    return (
        f"{agents} may use {share}, and would use more, so the restart is delayed; `up` restarts it "
        "now."
    )
