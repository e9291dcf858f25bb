"""The whole site file with every doubt that one can have about it, for `hostmanager check`.

A manager reads the file for its host, and goes on with what is good. Here nobody waits to be
started, so all hosts count alike: an id that two of them use is an error, and what is legal
but probably mistyped is told.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hostmanager.core.requests import ALL
from hostmanager.siteconfig.diagnostics import Diagnostic, DiagnosticCollector, SourceLocation
from hostmanager.siteconfig.entry import MANAGER_CLASS, AgentEntry
from hostmanager.siteconfig.host_block import HostBlock, check_host, downgrade_for_other_host
from hostmanager.siteconfig.site_file import parse_site, usable_blocks
from hostmanager.siteconfig.spelling import (
    CROSSBAR,
    ENTRY,
    HOST,
    HUB,
    TOP,
    warn_misspelled_keys,
    warn_repeated_options,
)
from hostmanager.siteconfig.yaml_nodes import YamlNode
from hostmanager.util.text import quote_value

_OWN_ADDRESSES = ("ops", "feeds")
"""What an agent has below its address: the name of another one must not lead there."""


@dataclass(frozen=True, slots=True)
class CheckedEntry:
    """One usable entry.

    Attributes:
        host: Its host.
        entry: The checked entry.
        node: The same as it stands in the file.
        argv: Its arguments, one by one, each with its place.
    """

    host: str
    entry: AgentEntry
    node: YamlNode
    argv: tuple[tuple[str, SourceLocation], ...] = ()

    @property
    def name(self) -> str:
        """Its instance-id."""
        return self.entry.instance_id or ""

    @property
    def is_manager(self) -> bool:
        """Whether it is the manager of its host."""
        return self.entry.agent_class == MANAGER_CLASS

    @property
    def arguments_location(self) -> SourceLocation:
        """Where its arguments begin, or the entry itself if it has none."""
        return self.node.get("arguments") or self.node


@dataclass(frozen=True, slots=True)
class CheckedSite:
    """A site file, whole.

    Attributes:
        path: As it was named.
        root: All of it, with places.
        hosts: The blocks of the hosts that are looked at.
        nodes: The same as they stand in the file.
        instances: Their usable entries, managers included, each id once per host.
        diagnostics: What is wrong: a host (None: all of them), and the problem.
        data: The site as OCS can take it, if its hub is sound.
        hub_is_valid: Whether its hub can be used.
    """

    path: Path
    root: YamlNode = field(repr=False)
    hosts: Mapping[str, HostBlock] = field(repr=False)
    nodes: Mapping[str, YamlNode] = field(repr=False)
    instances: tuple[CheckedEntry, ...] = field(repr=False)
    diagnostics: tuple[tuple[str | None, Diagnostic], ...]
    data: dict[str, Any] = field(repr=False)
    hub_is_valid: bool = True

    @property
    def hub(self) -> YamlNode | None:
        """The hub as it stands in the file."""
        return self.root.get("hub")


def check_site(path: Path, pick: Callable[[Sequence[str]], Collection[str]] = list) -> CheckedSite:
    """Read a site file, and look at its hub and its hosts.

    Args:
        path: The file.
        pick: Gets the names of all hosts, and gives those that are to be looked at.

    Raises:
        SiteFileError: There is nothing in it to be looked at.
    """
    collector = DiagnosticCollector(str(path))
    root, hub, parts = parse_site(path, collector)
    sound = not collector.has_errors
    _note_top(root, collector)
    wanted = pick(tuple(parts))
    blocks = {name: check_host(name, part, str(path)) for name, part in parts.items()}
    chosen = {name: block for name, block in blocks.items() if name in wanted}
    _note_crossbars(parts, collector)
    told: list[tuple[str | None, Diagnostic]] = [
        (None, problem) for problem in collector.diagnostics
    ]
    for name, block in blocks.items():
        if name in chosen:
            told += [(name, problem) for problem in block.all_diagnostics]
            told += [(name, problem) for problem in _warnings(block, parts[name], str(path))]
        elif block.data is None:
            told += [(name, problem) for problem in downgrade_for_other_host(block) if problem.line]
    told += _shared_addresses(blocks, chosen, str(path))
    told.sort(key=lambda found: (found[1].line or 0, found[1].column or 0))
    instances = tuple(found for name, block in chosen.items() for found in _instances(block))
    data = {**root.value, "hub": hub, "hosts": usable_blocks(blocks)}
    return CheckedSite(path, root, chosen, parts, instances, tuple(told), data, sound)


def _note_top(root: YamlNode, collector: DiagnosticCollector) -> None:
    warn_misspelled_keys(root, TOP, collector)
    hub = root.get("hub")
    if hub is not None:
        warn_misspelled_keys(hub, HUB, collector)


def _note_crossbars(parts: Mapping[str, YamlNode], collector: DiagnosticCollector) -> None:
    """A site has one router; OCS's tools start the one of each host that has the key."""
    first: tuple[str, YamlNode] | None = None
    for name, part in parts.items():
        value = part.get("crossbar") if part.is_mapping else None
        if value is None or value.value is None:
            continue
        if first is None:
            first = (name, value)
            continue
        collector.warning(
            value,
            f"host {quote_value(name)} has a 'crossbar', and host {quote_value(first[0])} has one "
            f"(line {first[1].line}): a site has one router.",
            "Keep it at the host where the router runs.",
        )


def _warnings(block: HostBlock, part: YamlNode, file: str) -> list[Diagnostic]:
    collector = DiagnosticCollector(file)
    warn_misspelled_keys(part, HOST, collector)
    crossbar = part.get("crossbar") if part.is_mapping else None
    if crossbar is not None:
        warn_misspelled_keys(crossbar, CROSSBAR, collector)
    for entry in block.entries:
        if isinstance(entry.location, YamlNode):
            warn_misspelled_keys(entry.location, ENTRY, collector, entry.instance_id)
    for instance in _instances(block):
        warn_repeated_options(instance.argv, collector, instance.name)
        _note_odd_id(instance, collector)
    return collector.diagnostics


def _note_odd_id(instance: CheckedEntry, collector: DiagnosticCollector) -> None:
    place = instance.node.get("instance-id")
    if instance.name == ALL:
        text = f"{ALL!r} as an id cannot be told from the word for all agents."
        collector.error(place, text, "Choose another name.", instance.name)
    if instance.name == "crossbar":
        collector.warning(
            place,
            "OCS's tools call the router 'crossbar'; an agent of this name is mistaken for it.",
            "Choose another name.",
            instance.name,
        )


def _instances(block: HostBlock) -> Iterator[CheckedEntry]:
    """The entries that count: good ones, the first of each id."""
    seen: set[str] = set()
    for entry in block.entries:
        name = entry.instance_id
        if name is None or name in seen:
            continue
        seen.add(name)
        if not entry.is_broken and isinstance(entry.location, YamlNode):
            arguments = entry.location.get("arguments")
            words = tuple(_words(arguments)) if arguments is not None else ()
            yield CheckedEntry(block.name, entry, entry.location, words)


def _words(part: YamlNode) -> Iterator[tuple[str, SourceLocation]]:
    for item in part.items():
        if item.is_list:
            yield from _words(item)
        else:
            yield str(item.value), item


def _shared_addresses(
    blocks: Mapping[str, HostBlock], chosen: Mapping[str, HostBlock], file: str
) -> list[tuple[str | None, Diagnostic]]:
    """Each id has one address in the whole site, whichever host it is on."""
    collector = DiagnosticCollector(file)
    told: list[tuple[str | None, Diagnostic]] = []
    homes: dict[str, list[tuple[str, AgentEntry]]] = {}
    for block in blocks.values():
        for entry in block.entries:
            if entry.instance_id is not None:
                homes.setdefault(entry.instance_id, []).append((block.name, entry))
    for name, found in homes.items():
        # At each that comes too late; at the first one if the others are not looked at.
        late = [(host, entry) for host, entry in found[1:] if host in chosen]
        if len(found) > 1 and not late and found[0][0] in chosen:
            late, other = [found[0]], found[1]
        else:
            other = found[0]
        for host, entry in late:
            _note_taken(name, host, entry, other, collector)
            told.append((host, collector.diagnostics[-1]))
        for host, entry in found:
            if host in chosen and (owner := _owner(name, homes)) is not None:
                text = f"the address of this id is among those of {quote_value(owner)}."
                collector.error(_id_place(entry), text, "Choose another name.", name)
                told.append((host, collector.diagnostics[-1]))
    return told


def _note_taken(
    name: str,
    host: str,
    entry: AgentEntry,
    other: tuple[str, AgentEntry],
    collector: DiagnosticCollector,
) -> None:
    where, earlier = other
    if where == host:
        text = (
            f"this id is taken already by the entry on line {earlier.location.line}, which counts; "
        )
        text += "this one does not."
    else:
        text = f"this id is taken already on host {quote_value(where)}, line {earlier.location.line}; the "
        text += "two agents would have one address."
    collector.error(_id_place(entry), text, "An instance-id must be unique in the site.", name)


def _id_place(entry: AgentEntry) -> SourceLocation:
    part = entry.location
    return (part.get("instance-id") if isinstance(part, YamlNode) else None) or part


def _owner(name: str, homes: Collection[str]) -> str | None:
    for word in _OWN_ADDRESSES:
        head, found, rest = name.partition(f".{word}")
        if found and head in homes and (not rest or rest.startswith(".")):
            return head
    return None
