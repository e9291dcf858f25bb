"""What is drawn at random in tests: the same in each run, or another each time.

``HM_TEST_SEED=random make test`` draws anew, hypothesis too, and prints each seed;
``HM_TEST_SEED=7`` takes that one again (of hypothesis: ``TEST_ARGS=--hypothesis-seed=7``).
``HOSTMANAGER_EXHAUSTIVE=50`` has hypothesis try fifty times as many examples.
"""

import os
import secrets

from hypothesis import HealthCheck, Phase, settings

RANDOM = "random"
TIMES = max(1, int(os.environ.get("HOSTMANAGER_EXHAUSTIVE") or 1))


def chosen_seed(usual: int) -> int:
    """The seed of a campaign, printed: `usual`, unless ``HM_TEST_SEED`` says otherwise."""
    said = os.environ.get("HM_TEST_SEED") or str(usual)
    seed = secrets.randbelow(10**6) if said == RANDOM else int(said)
    print(f"to see this again: HM_TEST_SEED={seed}")
    return seed


def choose_examples() -> None:
    """Have hypothesis try the same examples in each run, unless they are to be random.

    It looks at no clock: the machine may be busy.
    """
    settings.register_profile(
        "repeatable",
        derandomize=True,
        max_examples=100 * TIMES,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    repeatable = settings.get_profile("repeatable")
    settings.register_profile(RANDOM, repeatable, derandomize=False, print_blob=True)
    random = os.environ.get("HM_TEST_SEED") == RANDOM
    settings.load_profile(RANDOM if random else "repeatable")


def examples(number: int, *, shrink: bool = True) -> settings:
    """Settings of hypothesis: so many examples.

    Without `shrink`, the first failure is told as it is: for examples that take seconds.
    """
    phases = [phase for phase in Phase if shrink or phase is not Phase.shrink]
    return settings(max_examples=number * TIMES, phases=phases)
