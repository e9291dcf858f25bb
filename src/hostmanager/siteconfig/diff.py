"""What a reload changes: the current instances, compared with what the site config asks for.

A pure function on plain data (contract, section 4, "Reload rules"). Broken entries change
nothing: their instances are among the unchanged; a setting that makes no sense stays what it was.
While the file has a broken entry without a usable id, no instance counts as removed, because that
entry may be the one that is missing.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from hostmanager.core.model import InstanceSpec
from hostmanager.siteconfig.given_settings import apply_settings
from hostmanager.siteconfig.site_file import SiteFile


@dataclass(frozen=True, slots=True)
class SiteDiff:
    """What to do to get from the current instances to the desired ones.

    Attributes:
        added: New instances.
        replaced: Instances whose class or kind changed: the old one must end first.
        changed: Instances of the same class and kind that differ in something else.
        removed: Ids of instances that are no longer in the file, or no longer managed.
        unchanged: Ids of instances that do not change.
    """

    added: tuple[InstanceSpec, ...] = ()
    replaced: tuple[InstanceSpec, ...] = ()
    changed: tuple[InstanceSpec, ...] = ()
    removed: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()

    def summary(self) -> str:
        """For people: ``2 new, 1 changed class, 1 gone``."""
        counts = (
            (len(self.added), "new"),
            (len(self.replaced), "changed class"),
            (len(self.changed), "changed settings"),
            (len(self.removed), "gone"),
        )
        return ", ".join(f"{count} {word}" for count, word in counts if count) or "no change"

    def __str__(self) -> str:
        return self.summary()


def diff_specs(current: Mapping[str, InstanceSpec], desired: SiteFile) -> SiteDiff:
    """Compare the current instances (by id) with those of the site config."""
    now = {
        spec.instance_id: keep_settings(spec, current.get(spec.instance_id), desired)
        for spec in desired.specs
        if spec.instance_id not in desired.broken_ids
    }
    common = {name: spec for name, spec in now.items() if name in current}
    replaced = {name: spec for name, spec in common.items() if not _same_kind(current[name], spec)}
    changed = {
        name: spec
        for name, spec in common.items()
        if name not in replaced and spec != current[name]
    }
    gone = [name for name in current if name not in now and name not in desired.broken_ids]
    removed = () if desired.broken_without_id else tuple(gone)
    affected = {*replaced, *changed, *removed}
    return SiteDiff(
        added=tuple(spec for name, spec in now.items() if name not in current),
        replaced=tuple(replaced.values()),
        changed=tuple(changed.values()),
        removed=removed,
        unchanged=tuple(name for name in current if name not in affected),
    )


def keep_settings(
    spec: InstanceSpec, before: InstanceSpec | None, desired: SiteFile
) -> InstanceSpec:
    """Give an instance of the file the settings of before, where those of the file make no sense."""
    given = desired.wrong_settings.get(spec.instance_id)
    if given is None or before is None:
        return spec
    return apply_settings(spec, given, before.settings)


def _same_kind(old: InstanceSpec, new: InstanceSpec) -> bool:
    if old.is_left_running and new.is_left_running:
        return True  # others operate that container, too: another class does not end it
    return (old.agent_class, old.kind) == (new.agent_class, new.kind)
