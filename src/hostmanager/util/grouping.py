"""Groups of values, such as agents by host."""

from collections.abc import Hashable, Iterable
from typing import TypeVar

_K = TypeVar("_K", bound=Hashable)
_V = TypeVar("_V")


def group_pairs(pairs: Iterable[tuple[_K, _V]]) -> dict[_K, list[_V]]:
    """Group the values of pairs by their keys, both in the order in which they come first."""
    groups: dict[_K, list[_V]] = {}
    for key, value in pairs:
        groups.setdefault(key, []).append(value)
    return groups
