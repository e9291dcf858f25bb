"""What the options and the site config of a host come to."""

from pathlib import Path

import pytest

from hostmanager.agent.settings import is_warm_worth_it
from hostmanager.core.model import InstanceSettings, InstanceSpec, Kind
from hostmanager.siteconfig.site_file import SiteFile

PLAIN = InstanceSettings()


@pytest.mark.parametrize(
    ("settings", "kind", "worth"),
    [
        ([PLAIN, PLAIN], Kind.HOST, True),
        ([PLAIN], Kind.HOST, False),
        ([PLAIN, InstanceSettings(warm=False)], Kind.HOST, False),
        ([PLAIN, InstanceSettings(environment=(("A", "b"),))], Kind.HOST, False),
        ([PLAIN, PLAIN], Kind.DOCKER, False),
    ],
)
def test_a_fork_server_is_for_two_agents_that_share_it(settings, kind, worth):
    specs = [
        InstanceSpec(f"a{number}", "A", kind=kind, settings=each)
        for number, each in enumerate(settings)
    ]
    assert is_warm_worth_it(SiteFile(Path("site.yaml"), {}, "h", tuple(specs))) == worth
