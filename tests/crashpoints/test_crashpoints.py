"""A sample of the crash points; ``make crashpoints`` has all of them."""

import random
import shutil

import pytest

from tests.crashpoints import campaign, library
from tests.crashpoints.scenarios import SCENARIOS
from tests.crashpoints.subject import Subject
from tests.support.seeds import chosen_seed

OF_ALL = 4
OF_EACH = 2


@pytest.mark.timeout(600)
@pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc, which makes the library, is missing")
def test_killed_at_points_of_a_sample_all_is_as_it_was_asked_for(site, tmp_path):
    rng, killed = random.Random(chosen_seed(7)), 0
    with Subject(site, library.built(tmp_path)) as subject:
        for scenario in rng.sample(SCENARIOS, OF_ALL):
            points = list(campaign.points(scenario, campaign.count(subject, scenario)))
            for point in rng.sample(points, OF_EACH):
                killed += campaign.kill_at(subject, scenario, point)
    assert killed, "none of the points was reached"
