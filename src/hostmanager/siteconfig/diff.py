"""What a reload changes: instances known before, compared with what the site file says now.

A pure function on plain data (contract, section 4, "Reload rules"). Broken entries change
nothing: their instances are among the kept. While the file has a broken entry without a
usable id, no instance counts as removed, because that entry may be the one that is missing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from hostmanager.core.model import InstanceSpec


class DesiredSpecs(Protocol):
    """The part of a `SiteFile` that counts here.

    A broken entry without a usable id is counted in `broken_without_id`, where there is such a field.
    """

    @property
    def specs(self) -> tuple[InstanceSpec, ...]:
        """The instances that should be managed."""

    @property
    def broken_ids(self) -> frozenset[str]:
        """Ids of broken entries."""


@dataclass(frozen=True, slots=True)
class SiteDiff:
    """What has to be done to get from the known instances to the wanted ones.

    Attributes:
        added: New instances.
        replaced: Instances whose class or kind changed: the old one must end first.
        changed: Instances of the same class and kind that differ in anything else.
        removed: Ids of instances that are gone from the file, or are not managed any more.
        unchanged: Ids of instances that stay as they are.
    """

    added: tuple[InstanceSpec, ...] = ()
    replaced: tuple[InstanceSpec, ...] = ()
    changed: tuple[InstanceSpec, ...] = ()
    removed: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether nothing has to be done."""
        return not (self.added or self.replaced or self.changed or self.removed)

    def summary(self) -> str:
        """Tell people: ``2 new, 1 changed class, 1 gone``."""
        counts = (
            (len(self.added), "new"),
            (len(self.replaced), "changed class"),
            (len(self.changed), "changed settings"),
            (len(self.removed), "gone"),
        )
        return ", ".join(f"{count} {word}" for count, word in counts if count) or "no change"

    def __str__(self) -> str:
        return self.summary()


def diff_specs(current: Mapping[str, InstanceSpec], desired: DesiredSpecs) -> SiteDiff:
    """Compare the known instances (by id) with what the site file wants."""
    now = {
        spec.instance_id: spec
        for spec in desired.specs
        if spec.instance_id not in desired.broken_ids
    }
    both = {name: spec for name, spec in now.items() if name in current}
    replaced = {name: spec for name, spec in both.items() if not _same_kind(current[name], spec)}
    changed = {
        name: spec for name, spec in both.items() if name not in replaced and spec != current[name]
    }
    gone = [name for name in current if name not in now and name not in desired.broken_ids]
    removed = () if getattr(desired, "broken_without_id", 0) else tuple(gone)
    touched = {*replaced, *changed, *removed}
    return SiteDiff(
        added=tuple(spec for name, spec in now.items() if name not in current),
        replaced=tuple(replaced.values()),
        changed=tuple(changed.values()),
        removed=removed,
        unchanged=tuple(name for name in current if name not in touched),
    )


def _same_kind(old: InstanceSpec, new: InstanceSpec) -> bool:
    return (old.agent_class, old.kind) == (new.agent_class, new.kind)
