import dataclasses

import pytest
import yaml
from ocs.site_config import SiteConfig

from hostmanager.core.model import InstanceSpec, Kind, Target
from hostmanager.siteconfig.diagnostics import SiteFileError
from hostmanager.siteconfig.plugins.installed_classes import InstalledClasses
from hostmanager.siteconfig.site_file import load_site_file, with_known_classes
from tests.unit.siteconfig.conftest import GOOD, HUB, site_of

ONE = "    agent-instances:\n      - {instance-id: a, agent-class: A}\n"


def test_a_good_file_gives_its_instances_in_order(scf):
    site = load_site_file(scf(GOOD), "daq")
    assert [(s.instance_id, s.agent_class, s.kind, s.initial_target) for s in site.specs] == [
        ("data1", "FakeDataAgent", Kind.HOST, Target.UP),
        ("data2", "FakeDataAgent", Kind.HOST, Target.DOWN),
        ("data3", "FakeDataAgent", Kind.DOCKER, Target.UP),
    ]
    assert site.host == "daq"
    assert site.summary() == (True, "3 instances")
    assert (site.broken_ids, site.diagnostics, site.broken_without_id) == (frozenset(), (), 0)


def test_old_keys_are_accepted_silently(scf):
    text = HUB + "  registry_address: x\n  registry_agent: y\nhosts:\n  daq:\n"
    assert load_site_file(scf(text + "    agent-paths: [/a]\n" + ONE), "daq").diagnostics == ()


BAD_FILES = [
    # text, (line, column), words
    ("- a\n", (1, 1), ["a list", "'hub' and 'hosts'"]),
    ("just text\n", (1, 1), ["'just text'"]),
    ("hosts:\n  daq:\n" + ONE, (1, 1), ["'hub' is missing", "wamp_server, wamp_realm"]),
    ("hubs: {}\nhosts:\n  daq:\n" + ONE, (1, 1), ["Is it here as 'hubs'?"]),
    ("hub: text\nhosts:\n  daq:\n" + ONE, (1, 6), ["'hub' is 'text', not a mapping"]),
    (HUB.replace("wamp_server", "server") + "hosts:\n  daq:\n" + ONE, (2, 3), ["wamp_server"]),
    (HUB.replace("test_realm", "7") + "hosts:\n  daq:\n" + ONE, (4, 15), ['"7"', "quotes"]),
    (HUB.replace("observatory", "[a]") + "hosts:\n  daq:\n" + ONE, (5, 17), ["a list"]),
    (HUB + "  access_policy: 1\nhosts:\n  daq:\n" + ONE, (6, 18), ["'access_policy' is 1"]),
    (HUB, (1, 1), ["'hosts' is missing"]),
    (HUB + "host:\n  daq:\n" + ONE, (1, 1), ["Is it here as 'host'?"]),
    (HUB + "hosts: [daq]\n", (6, 8), ["'hosts' is a list, not a mapping"]),
    (HUB + "hosts:\n", (6, 7), ["'hosts' is empty"]),
    (HUB + "hosts: {}\n", (6, 8), ["no block for 'daq'", "none"]),
    (HUB + "hosts:\n  dap:\n" + ONE, (7, 3), ["Did you mean 'dap'?", "Hosts in this file"]),
    (HUB + "hosts:\n  daq: text\n", (7, 8), ["host 'daq' is 'text', not a mapping"]),
    (HUB + "hosts:\n  daq: {}\n", (7, 8), ["has no 'agent-instances'", "agent-instances: []"]),
    (HUB + "hosts:\n  daq: {agent_instances: []}\n", (7, 8), ["Is it here as 'agent_instances'?"]),
    (HUB + "hosts:\n  daq:\n    agent-instances: {a: b}\n", (8, 22), ["not a list", "'- '"]),
    (HUB + "hosts:\n  daq:\n    crossbar: yes\n" + ONE, (8, 15), ["'crossbar' is yes", "{}"]),
    (HUB + "hosts:\n  daq:\n    log-dir: 5\n" + ONE, (8, 14), ["'log-dir' is 5"]),
    (HUB + "hosts:\n  daq:\n    wamp_server:\n" + ONE, (8, 17), ["'wamp_server' is empty"]),
    (HUB + "hosts:\n  daq:\n    crossbar_timeout: -1\n" + ONE, (8, 23), ["-1", "seconds"]),
    (HUB + "hosts:\n  daq:\n    crossbar-timeout: ten\n" + ONE, (8, 23), ["'ten'", "seconds"]),
    (HUB + "hosts:\n  daq:\n    crossbar_timeout: .nan\n" + ONE, (8, 23), ["seconds"]),
    (HUB + "hosts:\n  daq:\n    crossbar_timeout: yes\n" + ONE, (8, 23), ["seconds"]),
    (HUB + "hosts:\n  daq:\n    crossbar: [\n" + ONE, (10, 7), ["cannot be read"]),
]


@pytest.mark.parametrize(("text", "location", "expected"), BAD_FILES)
def test_a_file_that_cannot_be_used_says_where_and_why(scf, text, location, expected):
    with pytest.raises(SiteFileError) as caught:
        load_site_file(scf(text), "daq")
    [problem] = [problem for problem in caught.value.diagnostics if problem.is_error]
    assert (problem.line, problem.column) == location
    for word in expected:
        assert word in str(problem)
    assert caught.value.summary() == (False, str(problem))


def test_several_faults_are_reported_together(scf):
    with pytest.raises(SiteFileError) as caught:
        load_site_file(scf("hub: {}\nhosts:\n  daq: {log-dir: 5}\n"), "daq")
    assert len(caught.value.diagnostics) == 5
    assert len(str(caught.value).splitlines()) == 5


def test_an_empty_list_of_instances_is_a_warning(scf):
    site = load_site_file(scf(HUB + "hosts:\n  daq:\n    agent-instances:\n"), "daq")
    assert site.specs == ()
    assert "'agent-instances' of host 'daq' is empty" in str(site.warnings[0])
    assert SiteConfig.from_dict(site.data).hosts["daq"].instances == []


def test_a_host_that_is_not_there_is_localhost(scf):
    assert load_site_file(scf(site_of("[]", host="localhost")), "daq").host == "localhost"


def test_the_system_host_name_is_the_default(scf, monkeypatch):
    monkeypatch.setattr("socket.gethostname", lambda: "daq")
    assert load_site_file(scf(GOOD)).host == "daq"


@pytest.mark.parametrize(
    ("block", "expected", "is_kept"),
    [
        ("  bad: text\n", "OCS refuses the whole file", False),
        ("  bad: {}\n", "OCS refuses the whole file", False),
        ("  bad: {agent-instances: [], crossbar: 5}\n", "OCS refuses the whole file", False),
        ("  bad: {agent-instances: [], log-dir: 5}\n", "'log-dir' is 5", True),
        ("  bad: {agent-instances: [{instance-id: b}]}\n", "'agent-class' is missing", True),
    ],
)
def test_a_broken_block_of_another_host_is_a_warning(scf, block, expected, is_kept):
    site = load_site_file(scf(GOOD + block), "daq")
    [problem] = site.diagnostics
    assert not problem.is_error
    assert "on host 'bad': " in str(problem)
    assert expected in str(problem)
    assert len(site.specs) == 3
    assert ("bad" in SiteConfig.from_dict(site.data).hosts) == is_kept


def test_a_host_name_that_is_no_text_is_a_warning(scf):
    site = load_site_file(scf(GOOD + "  5: {agent-instances: []}\n"), "daq")
    assert "the host name 5 is not text" in str(site.warnings[0])


@pytest.mark.parametrize("key", ["crossbar_timeout", "crossbar-timeout"])
def test_both_spellings_of_the_timeout_count(scf, key):
    site = load_site_file(scf(HUB + f"hosts:\n  daq:\n    {key}: 3.5\n" + ONE), "daq")
    assert SiteConfig.from_dict(site.data).hosts["daq"].crossbar_timeout == 3.5


def test_two_timeouts_that_differ_are_a_warning(scf):
    block = "    crossbar_timeout: 3\n    crossbar-timeout: 4\n"
    site = load_site_file(scf(HUB + "hosts:\n  daq:\n" + block + ONE), "daq")
    assert SiteConfig.from_dict(site.data).hosts["daq"].crossbar_timeout == 3
    assert "both here and differ" in str(site.warnings[0])


def test_the_first_of_two_equal_ids_wins(scf):
    entries = "- {instance-id: a, agent-class: A}\n- {instance-id: a, agent-class: B}"
    site = load_site_file(scf(site_of(entries)), "daq")
    assert [spec.agent_class for spec in site.specs] == ["A"]
    [problem] = site.diagnostics
    assert (problem.line, problem.is_error, problem.instance_id) == (10, False, "a")
    assert "line 9, which counts" in str(problem)
    assert len(site.data["hosts"]["daq"]["agent-instances"]) == 1


@pytest.mark.parametrize("order", [1, -1])
def test_an_id_with_a_broken_duplicate_is_spoiled(scf, order):
    entries = ["- {instance-id: a}", "- {instance-id: a, agent-class: B}"][::order]
    site = load_site_file(scf(site_of("\n".join(entries))), "daq")
    assert (site.specs, site.broken_ids) == ((), {"a"})


def test_the_same_id_on_another_host_is_a_warning(scf):
    other = "  zoo:\n    agent-instances:\n      - {instance-id: a, agent-class: A}\n"
    site = load_site_file(scf(site_of("- {instance-id: a, agent-class: A}") + other), "daq")
    assert [spec.instance_id for spec in site.specs] == ["a"]
    assert "on host 'daq', line 9" in str(site.warnings[0])
    assert site.warnings[0].line == 12
    assert "on host 'daq', line 9" in str(load_site_file(site.path, "zoo").warnings[0])


def test_a_missing_dash_is_found(scf):
    entries = "- instance-id: a\n  agent-class: A\n  instance-id: b\n  agent-class: B"
    site = load_site_file(scf(site_of(entries)), "daq")
    assert "Is a '-' missing" in str(site.warnings[0])


def fingerprint(scf, text):
    return load_site_file(scf(text), "daq").specs[0].fingerprint


@pytest.mark.parametrize(
    ("old", "new", "differs"),
    [
        ("--mode, [acq, [--rate, 4.5]]", "--mode, acq, --rate, '4.5'", False),
        ("--rate, 4.5", "--rate, 4.6", True),
        ("agent-class: FakeDataAgent\n        arg", "manage: docker\n        agent-class: "
         "FakeDataAgent\n        arg", False),
        ("agent-class: FakeDataAgent\n        arg", "note: new\n        agent-class: "
         "FakeDataAgent\n        arg", True),
        ("test_realm", "other_realm", True),
        ("crossbar_timeout: 20", "crossbar_timeout: 21", True),
        ("log-dir: logs", "log-dir: elsewhere", True),
        ("log-dir: logs", "log-dir: logs\n    wamp_realm: r", True),
        ("crossbar: {}", "crossbar: {bin: x}", False),
        ("data2", "data9", False),
        ("ws://other", "ws://another", False),
    ],
)  # fmt: skip
def test_a_fingerprint_changes_when_a_restart_makes_a_difference(scf, old, new, differs):
    assert old in GOOD
    changed = fingerprint(scf, GOOD.replace(old, new, 1))
    assert (changed != fingerprint(scf, GOOD)) == differs
    assert len(changed) == 16


def test_a_fingerprint_does_not_depend_on_the_order_of_keys(scf):
    one = "- {instance-id: a, agent-class: A, x: {b: 1, 2: c, s: !!set {p, q}}}"
    two = "- {x: {s: !!set {q, p}, 2: c, b: 1}, agent-class: A, instance-id: a}"
    assert fingerprint(scf, site_of(one)) == fingerprint(scf, site_of(two))


def test_the_default_timeout_is_no_difference(scf):
    without = HUB + "hosts:\n  daq:\n" + ONE
    spelled = HUB + "hosts:\n  daq:\n    crossbar_timeout: 10\n" + ONE
    assert fingerprint(scf, without) == fingerprint(scf, spelled)


def test_the_data_is_what_ocs_reads_from_a_good_file(scf):
    site = load_site_file(scf(GOOD), "daq")
    ours, theirs = SiteConfig.from_dict(site.data), SiteConfig.from_yaml(site.path)
    assert ours.hub.data == theirs.hub.data
    assert ours.hosts["daq"].log_dir == theirs.hosts["daq"].log_dir
    raw = yaml.safe_load(GOOD)
    raw["hosts"]["daq"]["agent-instances"][0]["arguments"] = ["--initial-state", "up", "--quiet"]
    raw["hosts"]["daq"]["agent-instances"][1]["arguments"] = ["--mode", "acq", "--rate", "4.5"]
    assert site.data == raw


def test_an_unknown_class_is_an_obstacle_with_the_nearest_name(scf):
    entries = "- {instance-id: a, agent-class: FooAgent}\n- {instance-id: b, agent-class: B}"
    site = with_known_classes(
        load_site_file(scf(site_of(entries)), "daq"),
        InstalledClasses({"B": "b", "FoodAgent": "f"}, ("Why.",)),
    )
    assert site.specs[0].inoperable_reason == (
        "no installed OCS plugin provides the agent class 'FooAgent' (nearest: 'FoodAgent'). "
        "Fix the class name, or install the plugin. Why."
    )
    assert site.specs[1].inoperable_reason is None
    [warning] = site.warnings
    assert (warning.line, warning.column, warning.instance_id) == (9, 39, "a")
    assert site.summary()[0]


def test_docker_instances_need_no_plugin_here(scf):
    site = load_site_file(scf(site_of("- {instance-id: a, agent-class: X, manage: docker}")), "daq")
    assert with_known_classes(site, InstalledClasses({})).specs[0].inoperable_reason is None


def test_with_unknown_classes_nothing_is_in_the_way(scf):
    site = load_site_file(scf(GOOD), "daq")
    after = with_known_classes(site, InstalledClasses(None, ("The probe died.",)))
    assert after.specs == site.specs
    assert "The probe died." in str(after.warnings[-1])


def test_a_site_file_is_frozen(scf):
    with pytest.raises(dataclasses.FrozenInstanceError):
        load_site_file(scf(GOOD), "daq").host = "x"
    assert isinstance(load_site_file(scf(GOOD), "daq").specs[0], InstanceSpec)
