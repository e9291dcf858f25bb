"""A sample of the crash points, another one each time; ``make crashpoints`` has all of them.

``HM_CRASHPOINTS_SEED=7 pytest tests/crashpoints`` takes the same sample again.
"""

import os
import random
import secrets
import shutil
import time

import pytest

from tests.crashpoints import campaign, library
from tests.crashpoints.scenarios import SCENARIOS
from tests.crashpoints.subject import Subject

SECONDS = 30.0
OF_EACH = 2


@pytest.mark.timeout(600)
@pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc, which makes the library, is missing")
def test_killed_at_points_of_a_sample_all_is_as_it_was_asked_for(site, tmp_path):
    seed = int(os.environ.get("HM_CRASHPOINTS_SEED", secrets.randbelow(10**6)))
    print(f"seed {seed}")
    rng, until, killed = random.Random(seed), time.monotonic() + SECONDS, 0
    with Subject(site, library.built(tmp_path)) as subject:
        while time.monotonic() < until:
            scenario = rng.choice(SCENARIOS)
            points = list(campaign.points(scenario, campaign.count(subject, scenario)))
            for point in rng.sample(points, OF_EACH):
                killed += campaign.kill_at(subject, scenario, point)
    assert killed, "none of the points was reached"
