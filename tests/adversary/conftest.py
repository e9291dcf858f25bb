"""How long the fuzzers look: seconds each in `make test`, far longer if told.

HOSTMANAGER_EXHAUSTIVE=50 .venv/bin/python -m pytest tests/adversary    # fifty times as many
"""

import os

from hypothesis import HealthCheck, settings

TIMES = max(1, int(os.environ.get("HOSTMANAGER_EXHAUSTIVE") or 1))


def examples(number: int) -> settings:
    """Settings of hypothesis: so many examples, and no clock (the machine may be busy)."""
    return settings(
        max_examples=number * TIMES,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
