"""One site config as the manager of one host reads it: what should run, and what is wrong.

`load_site_file` takes all steps: bytes, YAML nodes, hub, host blocks, entries. An error affects
no more than it must: a broken entry affects its own instance, which is then left exactly as it
is; a broken block of another host is a warning; only what makes the file useless for this host
raises.
"""

import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hostmanager.core.model import InstanceSpec, Kind, RemoteInstance
from hostmanager.siteconfig.checks.spelling import missing_key_hint
from hostmanager.siteconfig.diagnostics import (
    Diagnostic,
    DiagnosticCollector,
    Severity,
    SiteFileError,
    SourceLocation,
)
from hostmanager.siteconfig.entry import AgentEntry
from hostmanager.siteconfig.fingerprint import entry_fingerprint
from hostmanager.siteconfig.given_settings import GivenSettings, apply_settings
from hostmanager.siteconfig.host_block import (
    DUPLICATE_ID_HINT,
    HostBlock,
    check_hosts,
    check_hub,
    downgrade_for_other_host,
    duplicate_id_message,
    site_order,
)
from hostmanager.siteconfig.source import Location, read_text
from hostmanager.siteconfig.yaml.nodes import YamlNode, parse_nodes
from hostmanager.util.text import (
    closest_match,
    did_you_mean,
    join_names,
    pluralize,
    quote_value,
    summarize,
)

if TYPE_CHECKING:  # it imports what is needed to look for them, which few do
    from hostmanager.siteconfig.plugins.installed_classes import InstalledClasses

FALLBACK_HOST = "localhost"
"""The block that is taken when the host has none of its own (contract, section 3)."""


@dataclass(frozen=True, slots=True)
class SiteFile:
    """A site config, as far as it concerns one host.

    Attributes:
        path: The file, as it was named.
        data: The whole site as plain data that `ocs.site_config.SiteConfig.from_dict` takes:
            without the broken parts, with every unknown key.
        host: The key under `hosts` that was picked.
        specs: The instances to manage on that host, in the order of the file.
        broken_ids: Ids of broken entries of that host; they are to be left as they are.
        diagnostics: What is wrong, in the order of the file.
        broken_without_id: Number of broken entries of that host that have no usable id. While there
            is one, nobody can tell which instances are really gone from the file.
        class_locations: Where the agent class of each of the specs stands.
        wrong_settings: The settings of an instance, by its id, where one of them makes no sense.
        is_usable: Whether a manager could follow it: nothing is wrong beyond single entries.
        remote: The instances of other hosts, if one of this host is started after one of them.
    """

    path: Path
    data: dict[str, Any] = field(repr=False)
    host: str
    specs: tuple[InstanceSpec, ...] = ()
    broken_ids: frozenset[str] = frozenset()
    diagnostics: tuple[Diagnostic, ...] = ()
    broken_without_id: int = 0
    class_locations: Mapping[str, SourceLocation] = field(default_factory=dict, repr=False)
    wrong_settings: Mapping[str, GivenSettings] = field(default_factory=dict, repr=False)
    is_usable: bool = True
    remote: Mapping[str, RemoteInstance] = field(default_factory=dict, repr=False)

    @property
    def agent_count(self) -> int:
        """How many agents the whole site has, on all hosts."""
        hosts = self.data.get("hosts", {}).values()
        return sum(len(host.get("agent-instances") or ()) for host in hosts)

    @property
    def errors(self) -> tuple[Diagnostic, ...]:
        """The diagnostics that are errors: something cannot be done."""
        return tuple(each for each in self.diagnostics if each.is_error)

    @property
    def warnings(self) -> tuple[Diagnostic, ...]:
        """The diagnostics that are warnings: everything can be done."""
        return tuple(each for each in self.diagnostics if not each.is_error)

    @property
    def notice(self) -> str:
        """The warnings that no instance shows, such as a key that is here twice; empty: none."""
        shown = {spec.instance_id for spec in self.specs if spec.inoperable_reason}
        return summarize(each for each in self.warnings if each.instance_id not in shown)

    def summary(self) -> tuple[bool, str]:
        """Give what `config_parse_status` shows: no errors?, and a line for people.

        Contract, section 5.
        """
        counts = [pluralize(len(self.specs), "instance")]
        if self.errors:
            counts.append(pluralize(len(self.errors), "error"))
        if self.warnings:
            counts.append(pluralize(len(self.warnings), "warning"))
        text = ", ".join(counts)
        if self.diagnostics:
            text += f": {summarize((*self.errors, *self.warnings))}"
        return not self.errors, text


def load_site_file(path: str | Path, host_name: str | None = None) -> SiteFile:
    """Read and check a site config. Blocks: call it off the event loop.

    Args:
        path: The file.
        host_name: The host's key in the file; None: the system's host name. If it is not
            there, `localhost` counts, as for OCS.

    Raises:
        SiteFileError: The file cannot be used for this host; nothing may be changed then.
    """
    collector = DiagnosticCollector(str(path))
    parts = parse_site(Path(path), collector)
    blocks = parts.blocks
    host = _select_host(parts, host_name or socket.gethostname(), collector)
    own = blocks[host]
    is_useless = collector.has_errors or any(each.is_error for each in own.diagnostics)
    for block in blocks.values():
        collector.diagnostics += (
            block.all_diagnostics if block is own else downgrade_for_other_host(block)
        )
    _warn_duplicate_ids(blocks, host, collector)
    collector.diagnostics.sort(key=lambda one: (one.line or 0, one.column or 0))
    if is_useless:
        raise SiteFileError(collector.diagnostics)
    site = _site_file(Path(path), parts.data, own, collector.diagnostics)
    return replace(site, remote=site_order(blocks, collector.file).remote(host))


def load_all_hosts(path: str | Path) -> dict[str, SiteFile]:
    """Read and check a site config for every host: by host, in the order of the file.

    A block that cannot be used for its host is there with its errors and without specs.

    Raises:
        SiteFileError: The file cannot be used for any host.
    """
    collector = DiagnosticCollector(str(path))
    parts = parse_site(Path(path), collector)
    if collector.has_errors:
        raise SiteFileError(collector.diagnostics)
    data, files = parts.data, {}
    for name, block in parts.blocks.items():
        diagnostics = (*collector.diagnostics, *block.all_diagnostics)
        is_usable = not any(one.is_error for one in block.diagnostics)
        files[name] = replace(_site_file(Path(path), data, block, diagnostics), is_usable=is_usable)
    return files


@dataclass(frozen=True, slots=True)
class SiteParts:
    """A site config with its parts checked.

    Attributes:
        root: All of it, with locations.
        hub: The hub as plain data.
        nodes: The blocks of the hosts as they stand in the file.
        blocks: The same, checked.
    """

    root: YamlNode
    hub: dict[str, Any]
    nodes: dict[str, YamlNode]
    blocks: dict[str, HostBlock]

    @property
    def data(self) -> dict[str, Any]:
        """The site as plain data: the blocks that OCS can take."""
        usable = {name: block.data for name, block in self.blocks.items() if block.data is not None}
        return {**self.root.value, "hub": self.hub, "hosts": usable}


def parse_site(
    path: Path, collector: DiagnosticCollector, *, duplicate_keys_are_errors: bool = False
) -> SiteParts:
    """Parse the file, and check its hub and its hosts; what is wrong with a host is in its block.

    Raises:
        SiteFileError: It has no such parts.
    """
    root = parse_nodes(
        read_text(path), collector, duplicate_keys_are_errors=duplicate_keys_are_errors
    )
    if not root.is_mapping:
        raise collector.fatal(
            root,
            f"the file holds {quote_value(root.value)}, not the sections 'hub' and 'hosts'.",
            "Begin with 'hub:' in the first column.",
        )
    hub, nodes = check_hub(root, collector), _host_nodes(root, collector)
    return SiteParts(root, hub, nodes, check_hosts(nodes, collector.file))


def _site_file(
    path: Path, data: dict[str, Any], block: HostBlock, diagnostics: Iterable[Diagnostic]
) -> SiteFile:
    broken = [entry for entry in block.entries if entry.is_broken]
    broken_ids = frozenset(entry.instance_id for entry in broken if entry.instance_id is not None)
    managed = [
        (entry, spec)
        for instance_id, entry in block.entries_by_id.items()
        if instance_id not in broken_ids and (spec := _spec(entry, data["hub"], block)) is not None
    ]
    settings = {
        spec.instance_id: replace(
            entry.settings.with_defaults(block.default_settings, spec.kind),
            entry_fingerprint=spec.fingerprint,
        )
        for entry, spec in managed
    }
    return SiteFile(
        path=path,
        data=data,
        host=block.name,
        specs=tuple(apply_settings(spec, settings[spec.instance_id]) for _, spec in managed),
        broken_ids=broken_ids,
        diagnostics=tuple(diagnostics),
        broken_without_id=sum(entry.instance_id is None for entry in broken),
        class_locations={
            spec.instance_id: Location(entry.class_location.line, entry.class_location.column)
            for entry, spec in managed
        },
        wrong_settings={name: given for name, given in settings.items() if given.wrong},
    )


def _host_nodes(root: YamlNode, collector: DiagnosticCollector) -> dict[str, YamlNode]:
    hosts = root.get("hosts")
    if hosts is None or not hosts.is_mapping:
        what = "is missing" if hosts is None else f"is {quote_value(hosts.value)}, not a mapping"
        hint = missing_key_hint(root, "hosts") if hosts is None else ""
        raise collector.fatal(
            hosts or root,
            f"the section 'hosts' {what}.",
            hint or "It must have a block for each host.",
        )
    nodes: dict[str, YamlNode] = {}
    for name, (location, node) in hosts.fields().items():
        if isinstance(name, str):
            nodes[name] = node
        else:
            collector.warning(
                location,
                f"the host name {quote_value(name)} is not text to YAML, so its agents are started "
                "nowhere.",
                "Put it in quotes.",
            )
    return nodes


def _select_host(parts: SiteParts, asked: str, collector: DiagnosticCollector) -> str:
    for name in (asked, FALLBACK_HOST):
        if name in parts.nodes:
            return name
    names = join_names(list(parts.nodes), quote=True) or "none"
    hint = f"Hosts in this file: {names}. Use --site-host to pick one."
    raise collector.fatal(
        parts.root.get("hosts"),
        f"'hosts' has no block for {quote_value(asked)} and none for {FALLBACK_HOST!r}.",
        f"{did_you_mean(asked, parts.nodes)} {hint}".lstrip(),
    )


def _warn_duplicate_ids(
    blocks: Mapping[str, HostBlock], host: str, collector: DiagnosticCollector
) -> None:
    first: dict[str, tuple[str, AgentEntry]] = {}
    for block in blocks.values():
        for entry in block.entries:
            name = entry.instance_id
            if name is None:
                continue
            first_host, earlier = first.setdefault(name, (block.name, entry))
            if earlier is entry:
                continue
            prefix = "" if block.name == host else f"on host {quote_value(block.name)}: "
            message = prefix + duplicate_id_message(block.name, first_host, earlier)
            collector.warning(entry.node, message, DUPLICATE_ID_HINT, name)


def _spec(entry: AgentEntry, hub: dict[str, Any], block: HostBlock) -> InstanceSpec | None:
    if entry.is_broken or entry.instance_id is None or entry.managed_as is None:
        return None
    kind, target = entry.managed_as
    return InstanceSpec(
        instance_id=entry.instance_id,
        agent_class=entry.agent_class,
        kind=kind,
        initial_target=target,
        fingerprint=entry_fingerprint(entry.data, hub, block.data or {}),
        arguments=tuple(entry.data.get("arguments") or ()),
    )


def with_known_classes(site_file: SiteFile, installed: "InstalledClasses") -> SiteFile:
    """Make host instances inoperable whose class no plugin provides.

    Docker instances are left alone: what is in their image is not known here. When the
    classes are not known, nothing becomes inoperable, and a warning says why.
    """
    if installed.classes is None:
        reason = " ".join(installed.problems)
        message = f"it is not known which agent classes are installed. {reason}".strip()
        hint = "Instances are started without that check."
        warning = Diagnostic(Severity.WARNING, message, hint, str(site_file.path))
        return replace(site_file, diagnostics=(*site_file.diagnostics, warning))
    collector = DiagnosticCollector(str(site_file.path))
    specs = []
    for spec in site_file.specs:
        if spec.kind is Kind.HOST and spec.agent_class not in installed.classes:
            message, hint = _unknown_class(spec.agent_class, installed)
            location = site_file.class_locations.get(spec.instance_id)
            collector.warning(location, f"{message}.", hint, spec.instance_id)
            specs.append(replace(spec, inoperable_reason=f"{message}. {hint}"))
        else:
            specs.append(spec)
    diagnostics = (*site_file.diagnostics, *collector.diagnostics)
    return replace(site_file, specs=tuple(specs), diagnostics=diagnostics)


def _unknown_class(agent_class: str, installed: "InstalledClasses") -> tuple[str, str]:
    message = f"no installed OCS plugin provides the agent class {quote_value(agent_class)}"
    if suggestion := closest_match(agent_class, installed.classes or ()):
        message += f" (nearest: {suggestion!r})"
    return message, " ".join(("Fix the class name, or install the plugin.", *installed.problems))
