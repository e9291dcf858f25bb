"""Entries of agent-instances, each wrong in one way. They begin on line 9, column 7."""

import pytest

from hostmanager.core.model import Kind, Target
from hostmanager.siteconfig.site_file import load_site_file
from tests.unit.siteconfig.conftest import site_of

GOOD_NEIGHBOURS = """
- {instance-id: before, agent-class: A}
%s
- {instance-id: after, agent-class: A}
"""

BAD_ENTRIES = [
    # entry on line 10, (line, column), id that is spoiled, words
    ("- agent-class: A", (10, 9), None, ["'instance-id' is missing", "Add", "listed after it"]),
    ("- {instance_id: a, agent-class: A}", (10, 9), None, ["Is it here as 'instance_id'?"]),
    ("- {instance-id: 12, agent-class: A}", (10, 23), "12", ['in quotes: instance-id: "12"']),
    ("- {instance-id: 1e, agent-class: 5}", (10, 40), "1e", ["'agent-class' is 5", "quotes"]),
    ("- {instance-id: '', agent-class: A}", (10, 23), None, ["'instance-id' is empty"]),
    ("- {instance-id: [a], agent-class: A}", (10, 23), None, ["'instance-id' is a list"]),
    ("- {instance-id: ~, agent-class: A}", (10, 23), None, ["'instance-id' is empty"]),
    ("- {instance-id: null, agent-class: A}", (10, 23), None, ["'instance-id' is empty"]),
    ("- {instance-id: a b/c, agent-class: A}", (10, 23), None, ["has ' ' in it", "No address"]),
    ('- {instance-id: "a\\n", agent-class: A}', (10, 23), None, ["not printable"]),
    (f"- {{instance-id: {'a' * 201}, agent-class: A}}", (10, 23), None, ["takes 201 characters"]),
    ("- {instance-id: a#b, agent-class: A}", (10, 23), None, ["has '#' in it"]),
    ("- {instance-id: --help, agent-class: A}", (10, 23), None, ["begins with '-'", "option"]),
    ("- {instance-id: -rf, agent-class: A}", (10, 23), None, ["'-rf' begins with '-'"]),
    ("- {instance-id: .., agent-class: A}", (10, 23), None, ["an empty part", "both sides"]),
    ("- {instance-id: .a, agent-class: A}", (10, 23), None, ["an empty part"]),
    (f"- {{instance-id: {'ü' * 34}, agent-class: A}}", (10, 23), None, ["takes 204 characters"]),
    ("- {instance-id: a}", (10, 9), "a", ["a: 'agent-class' is missing", "agent-class: CLASS"]),
    ("- {instance-id: a, agent-clas: A}", (10, 9), "a", ["Is it here as 'agent-clas'?"]),
    ("- {instance-id: a, agent-class: [A]}", (10, 39), "a", ["'agent-class' is a list"]),
    ("- {instance-id: a, agent-class: }", (10, 39), "a", ["'agent-class' is empty"]),
    ("- just text", (10, 9), None, ["'just text', not a mapping", "- instance-id: NAME"]),
    ("-", (10, 8), None, ["is empty, not a mapping"]),
    ("- [instance-id, a]", (10, 9), None, ["is a list, not a mapping"]),
]

BAD_FIELDS = [
    # field of instance `a`, on line 12, (line, column), words
    ("manage: yess", (12, 17), ["'manage' is 'yess'", "Did you mean 'yes'?", "docker/down"]),
    ("manage: Host/Up", (12, 17), ["Did you mean 'host/up'?"]),
    ("manage: 1", (12, 17), ["'manage' is 1, which is not a known value"]),
    ("manage: [up]", (12, 17), ["'manage' is a list"]),
    ("manage: {up: 1}", (12, 17), ["'manage' is a mapping"]),
    ("manage: ''", (12, 17), ["'manage' is ''"]),
    ("arguments: --mode acq", (12, 20), ["not a list", "['--mode', 'acq']"]),
    ("arguments: {mode: acq}", (12, 20), ["a mapping, not a list"]),
    ("arguments:", (12, 19), ["empty, not a list", "leave the key out"]),
    ("arguments: 5", (12, 20), ["5, not a list"]),
    ("arguments: [--mode, [null]]", (12, 30), ["is empty, which is not a word", "quotes"]),
    ("arguments: [a, {b: c}]", (12, 24), ["is a mapping, which is not a word"]),
    ("arguments: [--prefix, '']", (12, 31), ["is '', which OCS cannot take", "--option="]),
    ("arguments: [--]", (12, 21), ["is '--'"]),
    ("arguments: !!set {a}", (12, 20), ["not a list"]),
]


def check(scf, entry, location, broken_ids, words):
    site = load_site_file(scf(site_of(GOOD_NEIGHBOURS % entry)), "daq")
    assert [spec.instance_id for spec in site.specs] == ["before", "after"]
    assert site.broken_ids == ({broken_ids} if broken_ids else set())
    assert site.broken_without_id == (0 if broken_ids else 1)
    [problem] = site.errors
    assert (problem.line, problem.column) == location
    for word in words:
        assert word in str(problem)
    assert not site.summary()[0]


@pytest.mark.parametrize(("entry", "location", "broken_ids", "expected"), BAD_ENTRIES)
def test_a_broken_entry_breaks_itself_alone(scf, entry, location, broken_ids, expected):
    check(scf, entry, location, broken_ids, expected)


@pytest.mark.parametrize(("field", "location", "expected"), BAD_FIELDS)
def test_a_broken_field_breaks_its_instance_alone(scf, field, location, expected):
    check(scf, f"- instance-id: a\n  agent-class: A\n  {field}", location, "a", expected)


def test_an_entry_with_several_faults_tells_each(scf):
    entry = "- {instance-id: a, manage: x, arguments: [null, null]}"
    site = load_site_file(scf(site_of(entry)), "daq")
    assert len(site.errors) == 4
    assert {problem.instance_id for problem in site.errors} == {"a"}


@pytest.mark.parametrize(
    ("expected", "management"),
    [
        (["host/up", "host", "up", "yes", "'yes'", "", "YES", "~"], (Kind.HOST, Target.UP)),
        (["host/down", "down"], (Kind.HOST, Target.DOWN)),
        (["docker/up", "docker"], (Kind.DOCKER, Target.UP)),
        (["docker/down"], (Kind.DOCKER, Target.DOWN)),
        (["ignore", "no", "'no'", "No"], None),
    ],
)
def test_each_word_for_manage_has_its_meaning(scf, expected, management):
    for word in expected:
        site = load_site_file(
            scf(site_of(f"- {{instance-id: a, agent-class: A, manage: {word}}}")), "daq"
        )
        assert site.diagnostics == ()
        entries = [(spec.kind, spec.initial_target) for spec in site.specs]
        assert entries == ([management] if management else [])
        assert isinstance(site.data["hosts"]["daq"]["agent-instances"][0]["manage"], str)


def test_without_manage_an_instance_is_managed_and_up(scf):
    site = load_site_file(scf(site_of("- {instance-id: a, agent-class: A}")), "daq")
    assert [(spec.kind, spec.initial_target) for spec in site.specs] == [(Kind.HOST, Target.UP)]


def test_other_booleans_for_manage_are_taken_with_a_warning(scf):
    site = load_site_file(scf(site_of("- {instance-id: a, agent-class: A, manage: off}")), "daq")
    assert site.specs == ()
    assert "'manage' is off, which means no" in str(site.warnings[0])


def test_a_manager_is_never_managed(scf):
    entry = "- {instance-id: hm, agent-class: HostManager, manage: host/up}"
    site = load_site_file(scf(site_of(entry)), "daq")
    assert (site.specs, site.diagnostics) == ((), ())
    assert site.data["hosts"]["daq"]["agent-instances"][0]["instance-id"] == "hm"


def test_arguments_become_a_flat_list_of_texts_as_ocs_makes_it(scf):
    entry = "- {instance-id: a, agent-class: A, arguments: [-x, [1, [2.50, yes]], 2020-01-02]}"
    site = load_site_file(scf(site_of(entry)), "daq")
    arguments = site.data["hosts"]["daq"]["agent-instances"][0]["arguments"]
    assert arguments == ["-x", "1", "2.5", "True", "2020-01-02"]


def test_unknown_keys_are_legal_and_kept(scf):
    entry = "- {instance-id: a, agent-class: A, note: x, 5: {deep: [1]}}"
    site = load_site_file(scf(site_of(entry)), "daq")
    kept = site.data["hosts"]["daq"]["agent-instances"][0]
    assert site.diagnostics == ()
    assert (kept["note"], kept[5]) == ("x", {"deep": [1]})
