"""What is counted of the instances of a site config."""

import pytest

from hostmanager.agent.site_tracker import is_forkable
from hostmanager.core.model import InstanceSettings, InstanceSpec, Kind, Target


@pytest.mark.parametrize(
    ("parts", "counts"),
    [
        ({}, True),
        ({"settings": InstanceSettings(warm=False)}, False),
        ({"settings": InstanceSettings(environment=(("A", "b"),))}, False),
        ({"settings": InstanceSettings(manual=True)}, False),
        ({"kind": Kind.DOCKER}, False),
        ({"initial_target": Target.DOWN}, False),
        ({"inoperable_reason": "No plugin provides it."}, False),
    ],
)
def test_a_fork_server_is_for_agents_that_are_to_be_up_and_share_it(parts, counts):
    assert is_forkable(InstanceSpec("a", "A", **parts)) is counts
