from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from hostmanager.core.model import InstanceSpec, Kind, Target
from hostmanager.siteconfig.diff import diff_specs
from hostmanager.siteconfig.site_file import SiteFile


def spec(name, agent_class="A", **more):
    return InstanceSpec(name, agent_class, **more)


def wanted(*specs, spoiled=(), **more):
    return SiteFile(Path("site.yaml"), {}, "daq1", specs, frozenset(spoiled), **more)


def known(*specs):
    return {one.instance_id: one for one in specs}


def test_nothing_changes_when_the_file_is_the_same():
    diff = diff_specs(known(spec("a")), wanted(spec("a")))
    assert diff.summary() == "no change"
    assert (diff.unchanged, str(diff)) == (("a",), "no change")


def test_new_and_gone_instances_are_distinguished():
    diff = diff_specs(known(spec("a"), spec("b")), wanted(spec("b"), spec("c")))
    assert (diff.added, diff.removed, diff.unchanged) == ((spec("c"),), ("a",), ("b",))
    assert diff.summary() == "1 new, 1 gone"


def test_a_changed_class_or_kind_replaces():
    before = known(spec("a"), spec("b"))
    now = wanted(spec("a", "B"), spec("b", kind=Kind.DOCKER))
    diff = diff_specs(before, now)
    assert diff.replaced == now.specs
    assert (diff.changed, diff.unchanged, str(diff)) == ((), (), "2 changed class")


def test_changed_settings_do_not_replace():
    before = known(spec("a"), spec("b"), spec("c"))
    now = wanted(
        spec("a", fingerprint="x"),
        spec("b", inoperable_reason="x"),
        spec("c", initial_target=Target.DOWN),
    )
    diff = diff_specs(before, now)
    assert diff.changed == now.specs
    assert (diff.replaced, diff.unchanged, str(diff)) == ((), (), "3 changed settings")


def test_a_broken_entry_changes_nothing():
    diff = diff_specs(known(spec("a"), spec("b")), wanted(spec("b", "B"), spoiled=("a", "b")))
    assert diff.summary() == "no change"
    assert diff.unchanged == ("a", "b")


def test_nothing_is_gone_while_an_entry_has_no_usable_id():
    diff = diff_specs(known(spec("a")), wanted(spec("b"), broken_without_id=1))
    assert (diff.removed, diff.unchanged, diff.added) == ((), ("a",), (spec("b"),))


SPECS = st.lists(
    st.builds(
        InstanceSpec,
        instance_id=st.sampled_from("abcdef"),
        agent_class=st.sampled_from("AB"),
        kind=st.sampled_from(Kind),
        fingerprint=st.sampled_from("12"),
    ),
    unique_by=lambda one: one.instance_id,
)


@given(SPECS, SPECS, st.frozensets(st.sampled_from("abcdef")))
def test_each_instance_has_one_fate_and_a_second_look_finds_nothing(before, now, spoiled):
    old = known(*before)
    diff = diff_specs(old, wanted(*now, spoiled=spoiled))
    ids = [one.instance_id for one in (*diff.added, *diff.replaced, *diff.changed)]
    fates = [*ids, *diff.removed, *diff.unchanged]
    assert len(fates) == len(set(fates))
    assert set(fates) == set(old) | {one.instance_id for one in now} - spoiled
    after = {name: old[name] for name in diff.unchanged}
    after |= known(*diff.added, *diff.replaced, *diff.changed)
    assert diff_specs(after, wanted(*now, spoiled=spoiled)).summary() == "no change"
