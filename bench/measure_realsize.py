"""A host of 55 documented instances of socs: how soon its manager answers, and who uses the CPU.

Only with ``HOSTMANAGER_REALSIZE`` set: it needs root, namespaces, and an environment with socs,
which is installed at the first time (see `tests.integration.realsize`). The router is its own.
"""

import os

from tests.integration.realsize import hosts

from bench.experiment import Experiment
from bench.harness import Harness
from bench.model import CannotMeasureError, Goal, Row, Samples

ENABLED = bool(os.environ.get("HOSTMANAGER_REALSIZE"))
WINDOW = 30


def answers(harness: Harness, kind: str, samples: Samples) -> None:
    """Launched until the manager process is shown running, caches warm and cold."""
    _possible()
    repeats = 1 if harness.quick else 5
    for number in range(repeats):
        for key, options in (("realsize_warm", []), ("realsize_cold", ["--cold"])):
            harness.step(f"{key}, {number + 1} of {repeats}")
            answered = hosts.run(kind, *options)["answers"]
            assert answered is not None, "the manager did not answer"
            samples.setdefault(key, []).append(answered)


def a_minute_later(harness: Harness, kind: str, samples: Samples) -> None:
    """CPU of runs that failed, of the manager, and how long a call takes beside them."""
    _possible()
    for number in range(1 if harness.quick else 3):
        harness.step(f"{number + 1}, a minute and {WINDOW} s")
        seen = hosts.run(kind, "--settle", "60", "--window", str(WINDOW))
        for key in ("failed_share", "manager_share"):
            samples.setdefault(f"realsize_{key}", []).append(100 * seen[key])
        samples.setdefault("realsize_latency", []).append(seen["latency"])


def _possible() -> None:
    why = hosts.obstacle()
    if why is not None:
        raise CannotMeasureError(why)


EXPERIMENTS = (
    Experiment(
        "realsize",
        (
            Row("realsize_warm", "55 agents of socs: launched → answers", Goal(median=1.5)),
            Row("realsize_cold", "… with cold caches", Goal(median=1.5)),
        ),
        answers,
    ),
    Experiment(
        "realsize_later",
        (
            Row(
                "realsize_failed_share",
                "… a minute later: runs that fail, of the host's CPU",
                Goal(median=10),
                unit="%",
            ),
            Row("realsize_manager_share", "… the manager, of a core", unit="%"),
            Row("realsize_latency", "… a call of a client"),
        ),
        a_minute_later,
    ),
)
