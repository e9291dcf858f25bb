"""The setting `after`: ids that the host does not have, and cycles. The first entry is on line 9."""

import pytest
from tests.unit.siteconfig.conftest import HUB, site_of

from hostmanager.core.model import RemoteInstance
from hostmanager.siteconfig.checks.full_check import check_site
from hostmanager.siteconfig.diagnostics import Severity
from hostmanager.siteconfig.reported_settings import settings_data, settings_from_data
from hostmanager.siteconfig.site_file import load_site_file

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
        ("[regisry]", "names 'regisry', which no host of this site has. Did you mean 'registry'?"),
        ("[a]", "'after' forms a circle: a after a."),
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
    assert [(found.line, found.instance_id) for found in site.errors] == [
        (9, "a"),
        (10, "registry"),
    ]
    assert "a after registry after a" in site.errors[0].message
    checked = [found for _, found in check_site(path).diagnostics if found.is_error]
    assert [found.message for found in checked] == [found.message for found in site.errors]


TWO_HOSTS = """\
hosts:
  daq:
    agent-instances:
      - {instance-id: pump, agent-class: A, host-manager: {after: %s}}
      - {instance-id: local, agent-class: A}
  hk:
    agent-instances:
      - instance-id: hm-hk
        agent-class: HostManager
        host-manager: {ready-timeout: 90}
      - {instance-id: registry, agent-class: A, host-manager: {after: %s}}
      - {instance-id: migrate, agent-class: A, host-manager: {one-shot: true}}
      - {instance-id: web, agent-class: A, host-manager: {heartbeat: {timeout: 0}}}
      - {instance-id: spare, agent-class: A, manage: host/down}
"""


def two_hosts(scf, first, second="[]"):
    return scf(HUB + TWO_HOSTS % (first, second))


def test_of_other_hosts_it_is_known_how_long_they_are_waited_for(scf):
    site = load_site_file(two_hosts(scf, "[registry, spare]"), "daq")
    assert site.diagnostics == ()
    assert site.remote["registry"] == RemoteInstance("hk", (), 90.0, is_awaited=True)
    assert not site.remote["spare"].is_awaited
    assert load_site_file(two_hosts(scf, "[local]"), "daq").remote == {}
    assert load_site_file(two_hosts(scf, "[registry]"), "hk").remote == {}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("migrate", "'migrate' of host 'hk', a one-shot: only the manager of its host knows when"),
        ("web", "'web' of host 'hk', which has no heartbeats: only the manager of its host knows"),
        ("registri", "'registri', which no host of this site has. Did you mean 'registry'?"),
    ],
)
def test_what_only_another_manager_knows_is_an_error_and_not_waited_for(scf, name, words):
    path = two_hosts(scf, f"[{name}]")
    site = load_site_file(path, "daq")
    [problem] = site.errors
    assert f"the setting 'after' names {words}" in str(problem)
    assert name not in site.remote or not site.remote[name].is_awaited
    assert [found.message for _, found in check_site(path).diagnostics] == [problem.message]


def test_a_circle_across_hosts_is_named_on_both(scf):
    path = two_hosts(scf, "[registry]", "[pump]")
    site = load_site_file(path, "daq")
    assert "forms a circle: pump after registry (host hk) after pump." in site.errors[0].message
    assert [found.severity for found in site.diagnostics] == [Severity.ERROR, Severity.WARNING]
    assert "registry after pump (host daq)" in load_site_file(path, "hk").errors[0].message
    assert len([f for _, f in check_site(path).diagnostics if f.is_error]) == 2
