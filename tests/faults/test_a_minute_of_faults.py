"""A minute of the fault suite: another seed each time, printed, and kept in the message.

``HM_FAULTS_SEED=7 pytest tests/faults/test_a_minute_of_faults.py`` runs that one again.
"""

import os
import secrets

import pytest

from tests.faults.campaign import Campaign
from tests.faults.environment import World
from tests.faults.report import report

SECONDS = 60.0


@pytest.mark.timeout(300)
def test_a_minute_of_random_faults_is_survived(own_router, make_site):
    seed = int(os.environ.get("HM_FAULTS_SEED", secrets.randbelow(10**6)))
    with World(make_site(own_router), own_router) as world:
        campaign = Campaign(world, seed)
        campaign.run(SECONDS)
        print(report([campaign]))
        if world.router is not own_router:
            world.router.stop()
    if campaign.problem:
        pytest.fail(campaign.problem, pytrace=False)
    assert campaign.survived.total() > SECONDS / 3, "a machine this slow proves nothing"
