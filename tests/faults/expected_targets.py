"""What operators said, and so which target each instance may be shown with.

A word that was answered holds. One that was not answered may hold or not. After any end of the
manager, what it had kept on the disk holds; what that is, is certain only for words that were
answered while nobody meddled with the state directory.
"""

import contextlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path


class ExpectedTargets:
    """The targets that may be, by instance-id.

    Attributes:
        default: What the site file names.
        may: What may be shown now.
        kept: What may be shown after an end of the manager.
    """

    def __init__(self, default: Mapping[str, str]) -> None:
        self.default = dict(default)
        self.may = {name: {target} for name, target in self.default.items()}
        self.kept = {name: {target} for name, target in self.default.items()}

    def stopped(self) -> None:
        """Somebody stops the manager process: all are down, as long as this manager lives."""
        for may in self.may.values():
            may.add("down")

    def asked(self, targets: Mapping[str, str]) -> None:
        """Somebody asked; whether it was heard is not known (yet)."""
        for name, target in targets.items():
            self.may[name].add(target)
            self.kept[name].add(target)

    def answered(self, targets: Mapping[str, str], kept: bool) -> None:
        """It was heard, and perhaps kept."""
        for name, target in targets.items():
            self.may[name] = {target}
            if kept:
                self.kept[name] = {target}

    def reset(self, names: Iterable[str], certain: bool) -> None:
        """Another entry took the place of these: they begin as the site file says."""
        for name in names:
            if certain:
                self.may[name] = {self.default[name]}
                self.kept[name] = {self.default[name]}
            self.may[name].add(self.default[name])
            self.kept[name].add(self.default[name])

    def doubt(self, *, read: bool) -> None:
        """Somebody meddles with what is kept; `read`: a manager has read it already."""
        for name in self.kept:
            self.kept[name] |= {self.default[name]} | self.may[name]
            if not read:
                self.may[name] |= self.kept[name]

    def ended(self) -> None:
        """The manager has ended, in whatever way: what it had kept is in force."""
        self.may = {name: set(kept) for name, kept in self.kept.items()}

    def accepts(self, name: str, target: str) -> bool:
        """Whether it may be shown so; if so, that is what holds."""
        if target not in self.may[name]:
            return False
        self.may[name] = {target}
        return True


def saved_targets(state: Path) -> dict[str, str] | None:
    """The targets on the disk that are not those of the site file; None: unreadable."""
    with contextlib.suppress(OSError, ValueError):
        saved = json.loads((state / "wanted.json").read_text().rstrip("\0"))
        return dict(saved["targets"])
    return None
