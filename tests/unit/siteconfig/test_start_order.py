"""The setting `after`: ids that the host does not have, and cycles. The first entry is on line 9."""

import pytest

from hostmanager.siteconfig.full_check import check_site
from hostmanager.siteconfig.settings import settings_data, settings_from_data
from hostmanager.siteconfig.site_file import load_site_file
from tests.unit.siteconfig.conftest import site_of

ENTRIES = (
    "- {instance-id: a, agent-class: A, host-manager: {after: %s}}\n"
    "- {instance-id: registry, agent-class: A, host-manager: {after: %s}}"
)


def load(scf, first, second="[]"):
    return load_site_file(scf(site_of(ENTRIES % (first, second))), "daq")


def test_the_order_is_read_and_given_to_clients(scf):
    site = load(scf, "[registry]")
    settings = site.specs[0].settings
    assert (site.diagnostics, settings.after) == ((), ("registry",))
    assert settings_from_data({"after": ["registry"]}, settings) == settings
    assert dict(settings_data(settings)) == {"after": ("registry",)}


@pytest.mark.parametrize(
    ("first", "words"),
    [
        ("registry", "the setting 'after' is 'registry', not a list of instance-ids"),
        ("[1]", "not a list of instance-ids. Write, for example, 'after: [registry]'"),
        ("[regisry]", "names 'regisry', which this host does not have. Did you mean 'registry'?"),
        ("[a]", "'after' leads in a circle: a after a."),
    ],
)
def test_an_order_that_makes_no_sense_is_named_with_its_line(scf, first, words):
    site = load(scf, first)
    assert [spec.instance_id for spec in site.specs] == ["a", "registry"]
    [problem] = site.errors
    assert words in str(problem)
    assert (problem.line, problem.instance_id) == (9, "a")
    assert not site.summary()[0]


def test_a_circle_is_named_at_each_of_its_members(scf):
    path = scf(site_of(ENTRIES % ("[registry]", "[a]")))
    site = load_site_file(path, "daq")
    assert [(error.line, error.instance_id) for error in site.errors] == [
        (9, "a"),
        (10, "registry"),
    ]
    assert "a after registry after a" in site.errors[0].message
    checked = [error for _, error in check_site(path).diagnostics if error.is_error]
    assert [error.message for error in checked] == [error.message for error in site.errors]
