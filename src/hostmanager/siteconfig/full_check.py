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
from hostmanager.siteconfig.diagnostics import Findings, Place, Problem, shown
from hostmanager.siteconfig.entry import MANAGER_CLASS, Entry
from hostmanager.siteconfig.host_block import HostBlock, check_host, of_another_host
from hostmanager.siteconfig.site_file import open_site, usable
from hostmanager.siteconfig.spelling import (
    CROSSBAR,
    ENTRY,
    HOST,
    HUB,
    TOP,
    note_keys,
    note_repeated,
)
from hostmanager.siteconfig.yaml_nodes import Part

_OWN_ADDRESSES = ("ops", "feeds")
"""What an agent has below its address: the name of another one must not lead there."""


@dataclass(frozen=True, slots=True)
class Instance:
    """One usable entry.

    Attributes:
        host: Its host.
        entry: The checked entry.
        part: The same as it stands in the file.
        words: Its arguments, one by one, each with its place.
    """

    host: str
    entry: Entry
    part: Part
    words: tuple[tuple[str, Place], ...] = ()

    @property
    def name(self) -> str:
        """Its instance-id."""
        return self.entry.instance_id or ""

    @property
    def is_manager(self) -> bool:
        """Whether it is the manager of its host."""
        return self.entry.agent_class == MANAGER_CLASS

    @property
    def arguments_place(self) -> Place:
        """Where its arguments begin, or the entry itself if it has none."""
        return self.part.get("arguments") or self.part


@dataclass(frozen=True, slots=True)
class Whole:
    """A site file, whole.

    Attributes:
        path: As it was named.
        root: All of it, with places.
        hosts: The blocks of the hosts that are looked at.
        parts: The same as they stand in the file.
        instances: Their usable entries, managers included, each id once per host.
        problems: What is wrong: a host (None: all of them), and the problem.
        data: The site as OCS can take it, if its hub is sound.
        sound: Whether its hub can be used.
    """

    path: Path
    root: Part = field(repr=False)
    hosts: Mapping[str, HostBlock] = field(repr=False)
    parts: Mapping[str, Part] = field(repr=False)
    instances: tuple[Instance, ...] = field(repr=False)
    problems: tuple[tuple[str | None, Problem], ...]
    data: dict[str, Any] = field(repr=False)
    sound: bool = True

    @property
    def hub(self) -> Part | None:
        """The hub as it stands in the file."""
        return self.root.get("hub")


def examine(path: Path, pick: Callable[[Sequence[str]], Collection[str]] = list) -> Whole:
    """Read a site file, and look at its hub and its hosts.

    Args:
        path: The file.
        pick: Gets the names of all hosts, and gives those that are to be looked at.

    Raises:
        SiteFileError: There is nothing in it to be looked at.
    """
    findings = Findings(str(path))
    root, hub, parts = open_site(path, findings)
    sound = not findings.has_errors
    _note_top(root, findings)
    wanted = pick(tuple(parts))
    blocks = {name: check_host(name, part, str(path)) for name, part in parts.items()}
    chosen = {name: block for name, block in blocks.items() if name in wanted}
    _note_crossbars(parts, findings)
    told: list[tuple[str | None, Problem]] = [(None, problem) for problem in findings.problems]
    for name, block in blocks.items():
        if name in chosen:
            told += [(name, problem) for problem in block.all_problems]
            told += [(name, problem) for problem in _doubts(block, parts[name], str(path))]
        elif block.data is None:
            told += [(name, problem) for problem in of_another_host(block) if problem.line]
    told += _shared_addresses(blocks, chosen, str(path))
    told.sort(key=lambda found: (found[1].line or 0, found[1].column or 0))
    instances = tuple(found for name, block in chosen.items() for found in _instances(block))
    data = {**root.value, "hub": hub, "hosts": usable(blocks)}
    return Whole(path, root, chosen, parts, instances, tuple(told), data, sound)


def _note_top(root: Part, findings: Findings) -> None:
    note_keys(root, TOP, findings)
    hub = root.get("hub")
    if hub is not None:
        note_keys(hub, HUB, findings)


def _note_crossbars(parts: Mapping[str, Part], findings: Findings) -> None:
    """A site has one router; OCS's tools start the one of each host that has the key."""
    first: tuple[str, Part] | None = None
    for name, part in parts.items():
        value = part.get("crossbar") if part.is_mapping else None
        if value is None or value.value is None:
            continue
        if first is None:
            first = (name, value)
            continue
        findings.warning(
            value,
            f"host {shown(name)} has a 'crossbar', and host {shown(first[0])} has one "
            f"(line {first[1].line}): a site has one router.",
            "Keep it at the host where the router runs.",
        )


def _doubts(block: HostBlock, part: Part, file: str) -> list[Problem]:
    findings = Findings(file)
    note_keys(part, HOST, findings)
    crossbar = part.get("crossbar") if part.is_mapping else None
    if crossbar is not None:
        note_keys(crossbar, CROSSBAR, findings)
    for entry in block.entries:
        if isinstance(entry.place, Part):
            note_keys(entry.place, ENTRY, findings, entry.instance_id)
    for instance in _instances(block):
        note_repeated(instance.words, findings, instance.name)
        _note_odd_id(instance, findings)
    return findings.problems


def _note_odd_id(instance: Instance, findings: Findings) -> None:
    place = instance.part.get("instance-id")
    if instance.name == ALL:
        text = f"{ALL!r} as an id cannot be told from the word for all agents."
        findings.error(place, text, "Choose another name.", instance.name)
    if instance.name == "crossbar":
        findings.warning(
            place,
            "OCS's tools call the router 'crossbar'; an agent of this name is mistaken for it.",
            "Choose another name.",
            instance.name,
        )


def _instances(block: HostBlock) -> Iterator[Instance]:
    """The entries that count: good ones, the first of each id."""
    seen: set[str] = set()
    for entry in block.entries:
        name = entry.instance_id
        if name is None or name in seen:
            continue
        seen.add(name)
        if not entry.is_broken and isinstance(entry.place, Part):
            arguments = entry.place.get("arguments")
            words = tuple(_words(arguments)) if arguments is not None else ()
            yield Instance(block.name, entry, entry.place, words)


def _words(part: Part) -> Iterator[tuple[str, Place]]:
    for item in part.items():
        if item.is_list:
            yield from _words(item)
        else:
            yield str(item.value), item


def _shared_addresses(
    blocks: Mapping[str, HostBlock], chosen: Mapping[str, HostBlock], file: str
) -> list[tuple[str | None, Problem]]:
    """Each id has one address in the whole site, whichever host it is on."""
    findings = Findings(file)
    told: list[tuple[str | None, Problem]] = []
    homes: dict[str, list[tuple[str, Entry]]] = {}
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
            _note_taken(name, host, entry, other, findings)
            told.append((host, findings.problems[-1]))
        for host, entry in found:
            if host in chosen and (owner := _owner(name, homes)) is not None:
                text = f"the address of this id is among those of {shown(owner)}."
                findings.error(_id_place(entry), text, "Choose another name.", name)
                told.append((host, findings.problems[-1]))
    return told


def _note_taken(
    name: str, host: str, entry: Entry, other: tuple[str, Entry], findings: Findings
) -> None:
    where, earlier = other
    if where == host:
        text = f"this id is taken already by the entry on line {earlier.place.line}, which counts; "
        text += "this one does not."
    else:
        text = f"this id is taken already on host {shown(where)}, line {earlier.place.line}; the "
        text += "two agents would have one address."
    findings.error(_id_place(entry), text, "An instance-id must be unique in the site.", name)


def _id_place(entry: Entry) -> Place:
    part = entry.place
    return (part.get("instance-id") if isinstance(part, Part) else None) or part


def _owner(name: str, homes: Collection[str]) -> str | None:
    for word in _OWN_ADDRESSES:
        head, found, rest = name.partition(f".{word}")
        if found and head in homes and (not rest or rest.startswith(".")):
            return head
    return None
