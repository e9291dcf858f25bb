"""The whole site config with every error and warning, for `hostmanager check`.

A manager reads the file for its own host, and goes on with what is valid. A check starts nothing,
so all hosts count alike: an id that two of them use is an error, and what is legal but probably
mistyped is a warning.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hostmanager.core.requests import ALL
from hostmanager.siteconfig.checks.addresses import check_addresses
from hostmanager.siteconfig.checks.spelling import (
    check_misplaced_hosts,
    warn_misspelled_keys,
    warn_repeated_options,
)
from hostmanager.siteconfig.checks.written_arguments import check_written_arguments
from hostmanager.siteconfig.diagnostics import Diagnostic, DiagnosticCollector, SourceLocation
from hostmanager.siteconfig.entry import MANAGER_CLASS, AgentEntry
from hostmanager.siteconfig.host_block import (
    DUPLICATE_ID_HINT,
    HostBlock,
    downgrade_for_other_host,
    duplicate_id_message,
    is_valid_hub,
)
from hostmanager.siteconfig.site_file import parse_site
from hostmanager.siteconfig.yaml.nodes import YamlNode
from hostmanager.util.text import quote_value

_OWN_ADDRESSES = ("ops", "feeds")
"""What an agent has below its address; the id of another one must not lead there."""


@dataclass(frozen=True, slots=True)
class CheckedEntry:
    """One usable entry.

    Attributes:
        host: Its host.
        entry: The checked entry.
        node: The same as it stands in the file.
        argv: Its arguments, one by one, each with its location.
    """

    host: str
    entry: AgentEntry
    node: YamlNode
    argv: tuple[tuple[str, YamlNode], ...] = ()

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
    """A site config, whole.

    Attributes:
        path: As it was named.
        root: All of it, with locations.
        hosts: The blocks of the selected hosts.
        nodes: The same as they stand in the file.
        instances: Their usable entries, managers included, each id once per host.
        diagnostics: What is wrong, each with its host (None: all of them).
        data: The site as OCS can take it, if its hub is valid.
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

    def host_location(self, host: str) -> SourceLocation | None:
        """Where the name of a host stands."""
        hosts = self.root.get("hosts")
        return hosts.fields()[host][0] if hosts is not None else None


def check_site(
    path: Path, select: Callable[[Sequence[str]], Collection[str]] = list
) -> CheckedSite:
    """Read a site config, and check its hub and its hosts.

    Args:
        path: The file.
        select: Gets the names of all hosts, and gives those to check.

    Raises:
        SiteFileError: There is nothing in it that could be checked.
    """
    file = str(path)
    collector = DiagnosticCollector(file)
    parts = parse_site(path, collector, duplicate_keys_are_errors=True)
    root, nodes, blocks = parts.root, parts.nodes, parts.blocks
    warn_misspelled_keys(root, "top", collector)
    check_misplaced_hosts(root, collector)
    if (hub_node := root.get("hub")) is not None:
        warn_misspelled_keys(hub_node, "hub", collector)
        check_addresses(hub_node, collector)
    wanted = select(tuple(nodes))
    selected = {name: block for name, block in blocks.items() if name in wanted}
    _warn_crossbars(nodes, collector)
    pairs: list[tuple[str | None, Diagnostic]] = [(None, one) for one in collector.diagnostics]
    for name, block in blocks.items():
        if name in selected:
            pairs += [(name, one) for one in block.all_diagnostics]
            pairs += [(name, one) for one in _warnings(block, nodes[name], file)]
        elif block.data is None:
            pairs += [(name, one) for one in downgrade_for_other_host(block) if one.line]
    pairs += _shared_addresses(blocks, selected, file)
    pairs.sort(key=lambda pair: (pair[1].line or 0, pair[1].column or 0))
    instances = tuple(entry for block in selected.values() for entry in _instances(block))
    is_valid = is_valid_hub(parts.hub)
    return CheckedSite(path, root, selected, nodes, instances, tuple(pairs), parts.data, is_valid)


def _warn_crossbars(nodes: Mapping[str, YamlNode], collector: DiagnosticCollector) -> None:
    """A site has one router; OCS's tools start the one of each host that has the key."""
    routers = [
        (name, value)
        for name, node in nodes.items()
        if (value := node.get("crossbar")) is not None and value.value is not None
    ]
    for name, value in routers[1:]:
        first_name, first = routers[0]
        collector.warning(
            value,
            f"host {quote_value(name)} has a 'crossbar', and host {quote_value(first_name)} has "
            f"one (line {first.line}): a site has one router.",
            "Keep it at the host where the router runs.",
        )


def _warnings(block: HostBlock, node: YamlNode, file: str) -> list[Diagnostic]:
    collector = DiagnosticCollector(file)
    warn_misspelled_keys(node, "host", collector)
    check_addresses(node, collector)
    _warn_relative_log_dir(node, collector)
    if (crossbar := node.get("crossbar")) is not None:
        warn_misspelled_keys(crossbar, "crossbar", collector)
    for entry in block.entries:
        collector.instance_id = entry.instance_id
        warn_misspelled_keys(entry.node, "entry", collector)
    for instance in _instances(block):
        collector.instance_id = instance.name
        warn_repeated_options(instance.argv, collector)
        check_written_arguments(instance.argv, collector)
        _check_reserved_id(instance, collector)
    return collector.diagnostics


def _warn_relative_log_dir(node: YamlNode, collector: DiagnosticCollector) -> None:
    """OCS joins it to the working directory of the agent, and expands neither `~` nor `$`."""
    value = node.get("log-dir")
    if value is None or not isinstance(value.value, str) or value.value.startswith("/"):
        return
    why = "is not an absolute path: it depends on the directory in which agents are started"
    if value.value.startswith(("~", "$")):
        why = f"begins with {value.value[0]!r}, which OCS does not expand"
    text = f"the log-dir {quote_value(value.value)} {why}."
    collector.warning(value, text, "Write the whole path, from '/'.")


def _check_reserved_id(instance: CheckedEntry, collector: DiagnosticCollector) -> None:
    location, name = instance.entry.id_location, instance.name
    if name == ALL:
        text = f"{ALL!r} is not a valid instance-id: commands use it for all agents."
        collector.error(location, text, "Choose another name.")
    if name == "crossbar":
        text = "OCS's tools call the router 'crossbar'; an agent of this name would be mistaken for it."
        collector.warning(location, text, "Choose another name.")


def _instances(block: HostBlock) -> Iterator[CheckedEntry]:
    """The entries that count: valid ones, the first of each id."""
    for entry in block.entries_by_id.values():
        if not entry.is_broken:
            arguments = entry.node.get("arguments")
            argv = tuple(_argv(arguments)) if arguments is not None else ()
            yield CheckedEntry(block.name, entry, entry.node, argv)


def _argv(node: YamlNode) -> Iterator[tuple[str, YamlNode]]:
    for item in node.items():
        if item.is_list:
            yield from _argv(item)
        else:
            yield str(item.value), item


def _shared_addresses(
    blocks: Mapping[str, HostBlock], selected: Mapping[str, HostBlock], file: str
) -> list[tuple[str | None, Diagnostic]]:
    """Each id has one address in the whole site, whichever host it is on."""
    collector = DiagnosticCollector(file)
    hosts: list[str] = []  # of what is collected
    uses: dict[str, list[tuple[str, AgentEntry]]] = {}
    for block in blocks.values():
        for entry in block.entries:
            if entry.instance_id is not None:
                uses.setdefault(entry.instance_id, []).append((block.name, entry))
    for name, (first, *others) in uses.items():
        # Reported at each but the first; at the first one if the others are not selected.
        repeated = [(*use, *first) for use in others if use[0] in selected]
        if others and not repeated and first[0] in selected:
            repeated = [(*first, *others[0])]
        for host, entry, other_host, other in repeated:
            message = duplicate_id_message(host, other_host, other)
            collector.error(entry.id_location, message, DUPLICATE_ID_HINT, name)
            hosts.append(host)
        owner = _address_owner(name, uses)
        for host, entry in (first, *others):
            if owner is not None and host in selected:
                text = f"the address of this id is among those of {quote_value(owner)}."
                collector.error(entry.id_location, text, "Choose another name.", name)
                hosts.append(host)
    return list(zip(hosts, collector.diagnostics, strict=True))


def _address_owner(name: str, ids: Collection[str]) -> str | None:
    for word in _OWN_ADDRESSES:
        head, separator, rest = name.partition(f".{word}")
        if separator and head in ids and (not rest or rest.startswith(".")):
            return head
    return None
