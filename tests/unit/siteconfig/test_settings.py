"""Settings under `host-manager:` in an entry. The entry begins on line 9, its settings on line 11."""

from dataclasses import fields

import pytest
import yaml
from ocs.site_config import InstanceConfig, SiteConfig

from hostmanager.core.model import InstanceSettings, Target
from hostmanager.siteconfig.diff import diff_specs
from hostmanager.siteconfig.reported_settings import settings_data, settings_from_data
from hostmanager.siteconfig.settings import SETTINGS, changed_at_launch
from hostmanager.siteconfig.site_file import load_all_hosts, load_site_file
from tests.unit.siteconfig.conftest import site_of

ENTRY = "- instance-id: a\n  agent-class: A\n  host-manager: %s\n- {instance-id: b, agent-class: A}"
MANAGER = "- instance-id: hm-daq\n  agent-class: HostManager\n  host-manager: %s\n"

WRONG = [
    # settings, column, words
    (
        "{manaul: true}",
        24,
        ["no setting 'manaul'", "Did you mean 'manual'? docs/settings.md has all settings."],
    ),
    ("{one_shot: true}", 24, ["no setting 'one_shot'", "Did you mean 'one-shot'?"]),
    ("{nonsense: 1}", 24, ["no setting 'nonsense'. docs/settings.md has all settings."]),
    ("{1: 2}", 24, ["no setting 1"]),
    ("{manual: 1}", 32, ["'manual' is 1, not true or false", "'manual: true'"]),
    ("{manual: 'yes'}", 32, ["'manual' is 'yes', not true or false"]),
    ("{manual: }", 32, ["'manual' is empty, not true or false"]),
    ("{one-shot: [true]}", 34, ["'one-shot' is a list", "'one-shot: true'"]),
    ("{stop-timeout: 0}", 38, ["'stop-timeout' is 0, not a number of seconds from 1 to 3600"]),
    ("{stop-timeout: 1m}", 38, ["is '1m', not a number of seconds", "'stop-timeout: 60'"]),
    ("{restart: {delay-max: .nan}}", 45, ["'restart: {delay-max: 60}'"]),
    ("{restart: {give-up: {failures: 5.5}}}", 54, ["'restart: {give-up: {failures: 5}}'"]),
    ("{restart: {give-up: 3}}", 43, ["is 3, not a mapping", "{give-up: {failures: 5}}"]),
    ("{environment: {A: 4}}", 37, ["'A' with a value that is not text; write it in quotes"]),
    ("{environment: [A=4]}", 37, ["'environment' is a list, not a mapping of names to texts"]),
    ("{environment: {A=B: c}}", 37, ["has 'A=B', which is not a name of a variable"]),
    ('{environment: {A: "x\\0y"}}', 37, ["'A' with a NUL character"]),
    ("{environment: {OCS_HOSTMANAGER: x}}", 37, ["by which the manager knows its agents"]),
    ("{nice: 20}", 30, ["'nice' is 20, not a whole number from -20 to 19"]),
    ("{open-files: 1e3}", 36, ["not a whole number from 64 to 1048576"]),
    ("manual", 23, ["'host-manager' is 'manual', not a mapping", "host-manager: {manual: true}"]),
    ("[manual]", 23, ["'host-manager' is a list, not a mapping"]),
]


def load(scf, text, host="daq"):
    return load_site_file(scf(site_of(text)), host)


def settings(site):
    return {spec.instance_id: spec.settings for spec in site.specs}


def test_settings_are_read_and_the_file_is_fine(scf):
    site = load(scf, ENTRY % "{manual: yes, one-shot: true}")
    assert site.diagnostics == ()
    both = InstanceSettings(manual=True, one_shot=True)
    assert settings(site) == {"a": both, "b": InstanceSettings()}


@pytest.mark.parametrize("nothing", ["", "{}", "~", "{manual: false}"])
def test_without_settings_the_defaults_count(scf, nothing):
    site = load(scf, ENTRY % nothing)
    assert (site.diagnostics, settings(site)["a"]) == ((), InstanceSettings())


@pytest.mark.parametrize(("wrong", "column", "words"), WRONG)
def test_a_setting_that_makes_no_sense_is_named_and_costs_itself_alone(scf, wrong, column, words):
    site = load(scf, ENTRY % wrong)
    assert [spec.instance_id for spec in site.specs] == ["a", "b"]
    assert site.broken_ids == set()
    [problem] = site.errors
    assert (problem.line, problem.column, problem.instance_id) == (11, column, "a")
    for word in words:
        assert word in str(problem)
    assert not site.summary()[0]


@pytest.mark.parametrize("wrong", [text for text, _, _ in WRONG])
def test_check_finds_it_on_every_host(scf, wrong):
    files = load_all_hosts(scf(site_of(ENTRY % wrong)))
    assert len(files["daq"].errors) == 1


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ("{manual: 'no', one-shot: false}", InstanceSettings(manual=True)),
        ("{manaul: true, one-shot: true}", InstanceSettings(manual=True, one_shot=True)),
        ("{one-shot: 1, manual: false}", InstanceSettings(one_shot=True)),
        ("manual", InstanceSettings(manual=True, one_shot=True)),
        ("{nonsense: 1}", InstanceSettings()),
    ],
)
def test_then_the_instance_keeps_what_it_had_and_the_others_are_applied(scf, wrong, expected):
    before = load(scf, ENTRY % "{manual: true, one-shot: true}")
    known = {spec.instance_id: spec for spec in before.specs}
    diff = diff_specs(known, load(scf, ENTRY % wrong))
    after = {**known, **{spec.instance_id: spec for spec in diff.changed}}
    assert after["a"].settings == expected
    assert (diff.added, diff.replaced, diff.removed) == ((), (), ())


def test_the_managers_entry_has_the_defaults_of_its_host(scf):
    manager = MANAGER % "{manual: true}"
    own = manager + ENTRY % "{manual: false}"
    parsed = settings(load(scf, own))
    assert parsed == {"a": InstanceSettings(), "b": InstanceSettings(manual=True)}


def test_a_wrong_default_is_named_once_and_keeps_what_the_agents_had(scf):
    before = load(scf, MANAGER % "{manual: true}" + ENTRY % "{one-shot: true}")
    now = load(scf, MANAGER % "{manual: maybe}" + ENTRY % "{one-shot: true}")
    [problem] = now.errors
    assert (problem.line, problem.instance_id) == (11, "hm-daq")
    assert (
        diff_specs({spec.instance_id: spec for spec in before.specs}, now).summary() == "no change"
    )


def test_a_setting_of_one_agent_cannot_be_the_default_of_a_host(scf):
    [problem] = load(scf, MANAGER % "{one-shot: true}" + ENTRY % "{}").errors
    assert "'one-shot' cannot be the default of a host" in str(problem)


def test_a_changed_setting_needs_no_restart(scf):
    plain, manual = (load(scf, ENTRY % text).specs[0] for text in ("{}", "{manual: true}"))
    assert plain.fingerprint == manual.fingerprint
    assert (plain.default_target, manual.default_target) == (Target.UP, Target.PASSIVE)


def test_the_reader_of_ocs_takes_the_file_and_keeps_the_settings(scf):
    text = site_of(ENTRY % "{manual: true, one-shot: nonsense, more: [1]}")
    for data in (yaml.safe_load(text), load_site_file(scf(text), "daq").data):
        host = SiteConfig.from_dict(data).hosts["daq"]
        first = InstanceConfig.from_dict(host.instances[0], parent=host)
        assert (first.data["instance-id"], first.manage) == ("a", "host/up")
        assert first.data["host-manager"]["manual"] is True


def test_every_setting_has_a_field_with_its_default_and_survives_the_way_to_clients():
    assert {s.attribute: s.default for s in SETTINGS.values()} == {
        each.name: each.default for each in fields(InstanceSettings)
    }
    both = InstanceSettings(manual=True, one_shot=True)
    assert settings_data(both) == {"manual": True, "one-shot": True}
    default = InstanceSettings()
    assert settings_from_data({"manual": True, "one-shot": True, "of later": 1}, default) == both
    assert settings_from_data(settings_data(default), default) == default
    assert settings_from_data(None, default) is None


def test_the_values_of_variables_are_no_concern_of_clients_or_logs(scf):
    spec = load(scf, ENTRY % "{environment: {TOKEN: hush, A: '1'}, nice: 5}").specs[0]
    assert spec.settings.environment == (("A", "1"), ("TOKEN", "hush"))
    assert settings_data(spec.settings) == {"nice": 5}
    assert settings_from_data({"nice": 5}, spec.settings) == spec.settings
    assert "hush" not in repr(spec)


def test_what_a_launch_reads_changes_the_fingerprint(scf):
    plain, other = (load(scf, ENTRY % each).specs[0] for each in ("{}", "{environment: {A: '1'}}"))
    assert plain.fingerprint != other.fingerprint
    assert len(plain.fingerprint) == len(other.fingerprint)
    assert changed_at_launch(plain.settings, other.settings) == ["environment"]


def test_a_wrong_value_keeps_the_variables_and_needs_no_restart(scf):
    before = load(scf, ENTRY % "{environment: {A: '1'}, nice: 3}")
    known = {spec.instance_id: spec for spec in before.specs}
    assert (
        diff_specs(known, load(scf, ENTRY % "{environment: {A: 1}, nice: 3}")).summary()
        == "no change"
    )


DOCKER = "- {instance-id: a, agent-class: A, manage: docker/up, host-manager: %s}\n"


@pytest.mark.parametrize(
    ("text", "remedy"),
    [("{nice: 3}", "cpu_shares"), ("{environment: {A: b}}", "'environment' of its service")],
)
def test_what_a_container_cannot_have_is_an_error_with_the_remedy(scf, text, remedy):
    site = load(scf, DOCKER % text)
    [problem] = site.errors
    assert "does not apply to a container" in str(problem)
    assert remedy in str(problem)
    assert site.specs[0].settings == InstanceSettings()


def test_the_defaults_of_a_host_leave_containers_alone_where_they_do_not_apply(scf):
    text = MANAGER % "{nice: 3, stop-timeout: 60}" + DOCKER % "{}"
    assert settings(load(scf, text))["a"] == InstanceSettings(stop_timeout=60)


@pytest.mark.parametrize("text", ["nice: 1", "open-files: 99", "memory-max: 1G", "cpu-quota: 50%"])
def test_what_a_process_can_be_given_while_it_runs_does_not(scf, text):
    plain, other = (load(scf, ENTRY % each).specs[0] for each in ("{}", f"{{{text}}}"))
    assert plain.fingerprint == other.fingerprint
    assert plain.settings != other.settings


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("memory-max: 1G", 1 << 30),
        ("memory-max: 1.5 M", 3 << 19),
        ("memory-max: 1048576", 1 << 20),
        ("cpu-quota: 150%", 150.0),
        ("cpu-quota: 12.5", 12.5),
    ],
)
def test_sizes_and_shares_are_written_as_systemd_has_them(scf, text, value):
    settings = load(scf, ENTRY % f"{{{text}}}").specs[0].settings
    assert value in (settings.memory_max, settings.cpu_quota)


@pytest.mark.parametrize(
    "text",
    ["memory-max: 512", "memory-max: 1GB", "memory-max: 12X", "cpu-quota: 0%", "cpu-quota: x"],
)
def test_a_size_or_share_that_makes_no_sense_says_the_right_form(scf, text):
    file = load(scf, ENTRY % f"{{{text}}}")
    [problem] = file.diagnostics
    assert problem.hint in (
        "Write, for example, 'memory-max: 512M'.",
        "Write, for example, 'cpu-quota: 50%'.",
    )
    assert "bytes, with K, M or G" in problem.message or "per cent" in problem.message
    assert file.specs[0].settings.memory_max is None
