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
    found = diff_specs(known(spec("a")), wanted(spec("a")))
    assert found.is_empty
    assert (found.unchanged, str(found)) == (("a",), "no change")


def test_new_and_gone_instances_are_told_apart():
    found = diff_specs(known(spec("a"), spec("b")), wanted(spec("b"), spec("c")))
    assert (found.added, found.removed, found.unchanged) == ((spec("c"),), ("a",), ("b",))
    assert found.summary() == "1 new, 1 gone"


def test_a_changed_class_or_kind_replaces():
    before = known(spec("a"), spec("b"))
    now = wanted(spec("a", "B"), spec("b", kind=Kind.DOCKER))
    found = diff_specs(before, now)
    assert found.replaced == now.specs
    assert (found.changed, found.unchanged, str(found)) == ((), (), "2 changed class")


def test_changed_settings_do_not_replace():
    before = known(spec("a"), spec("b"), spec("c"))
    now = wanted(
        spec("a", fingerprint="x"),
        spec("b", inoperable_reason="x"),
        spec("c", initial_target=Target.DOWN),
    )
    found = diff_specs(before, now)
    assert found.changed == now.specs
    assert (found.replaced, found.unchanged, str(found)) == ((), (), "3 changed settings")


def test_a_broken_entry_changes_nothing():
    found = diff_specs(known(spec("a"), spec("b")), wanted(spec("b", "B"), spoiled=("a", "b")))
    assert found.is_empty
    assert found.unchanged == ("a", "b")


def test_nothing_is_gone_while_an_entry_has_no_usable_id():
    found = diff_specs(known(spec("a")), wanted(spec("b"), broken_without_id=1))
    assert (found.removed, found.unchanged, found.added) == ((), ("a",), (spec("b"),))


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
    found = diff_specs(old, wanted(*now, spoiled=spoiled))
    ids = [one.instance_id for one in (*found.added, *found.replaced, *found.changed)]
    fates = [*ids, *found.removed, *found.unchanged]
    assert len(fates) == len(set(fates))
    assert set(fates) == set(old) | {one.instance_id for one in now} - spoiled
    after = {name: old[name] for name in found.unchanged}
    after |= known(*found.added, *found.replaced, *found.changed)
    assert diff_specs(after, wanted(*now, spoiled=spoiled)).is_empty
