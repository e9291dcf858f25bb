"""How long the fuzzers look: seconds each in `make test`, far longer if told.

HOSTMANAGER_EXHAUSTIVE=50 .venv/bin/python -m pytest tests/adversary    # fifty times as many
"""

import os

from hypothesis import HealthCheck, Phase, settings

TIMES = max(1, int(os.environ.get("HOSTMANAGER_EXHAUSTIVE") or 1))


def examples(number: int, *, shrink: bool = True) -> settings:
    """Settings of hypothesis: so many examples, and no clock (the machine may be busy).

    Without `shrink`, the first failure is told as it is: for examples that take seconds.
    """
    return settings(
        max_examples=number * TIMES,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[phase for phase in Phase if shrink or phase is not Phase.shrink],
    )
