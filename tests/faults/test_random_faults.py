"""Some of the fault suite; its seed is in the message of a failure. `make faults` has more."""

import pytest

from tests.faults.campaign import Campaign
from tests.faults.environment import World
from tests.faults.report import report
from tests.support.seeds import chosen_seed

FAULTS = 24
LONGEST = 200.0
"""Seconds, on a machine too busy for so many."""


@pytest.mark.timeout(300)
def test_random_faults_are_survived(own_router, make_site):
    with World(make_site(own_router), own_router) as world:
        campaign = Campaign(world, chosen_seed(7))
        campaign.stop = lambda: campaign.survived.total() >= FAULTS
        campaign.run(LONGEST)
        print(report([campaign]))
        if world.router is not own_router:
            world.router.stop()
    if campaign.problem:
        pytest.fail(campaign.problem, pytrace=False)
    assert campaign.survived, "none was injected"
