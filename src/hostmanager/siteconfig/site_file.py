"""One site config as the manager of one host reads it: what should run, and what is wrong.

`load_site_file` takes all steps: bytes, YAML nodes, hub, host blocks, entries. An error affects
no more than it must: a broken entry affects its own instance, which is then left exactly as it
is; a broken block of another host is a warning; only what makes the file useless for this host
raises.
"""

import hashlib
import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

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
from hostmanager.siteconfig.given_settings import GivenSettings, apply_settings
from hostmanager.siteconfig.host_block import (
    DEFAULT_TIMEOUT,
    DUPLICATE_ID_HINT,
    OVERRIDES,
    TIMEOUT_KEY,
    HostBlock,
    check_hosts,
    check_hub,
    downgrade_for_other_host,
    duplicate_id_message,
    site_order,
)
from hostmanager.siteconfig.plugins.installed_classes import InstalledClasses
from hostmanager.siteconfig.settings import SETTINGS_KEY
from hostmanager.siteconfig.source import Location, read_text
from hostmanager.siteconfig.yaml.nodes import YamlNode, parse_nodes
from hostmanager.util.text import (
    closest_match,
    join_names,
    pluralize,
    quote_value,
    summarize,
)

FALLBACK_HOST = "localhost"
"""The block that is taken when the host has none of its own (contract, section 3)."""

_FINGERPRINT_CHARACTERS = 16


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
        return tuple(found for found in self.diagnostics if found.is_error)

    @property
    def warnings(self) -> tuple[Diagnostic, ...]:
        """The diagnostics that are warnings: everything can be done."""
        return tuple(found for found in self.diagnostics if not found.is_error)

    @property
    def notice(self) -> str:
        """The warnings that no instance shows, such as a key that is here twice; empty: none."""
        shown = {spec.instance_id for spec in self.specs if spec.inoperable_reason}
        return summarize(found for found in self.warnings if found.instance_id not in shown)

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
    root, hub, hosts = parse_site(Path(path), collector)
    host = _select_host(hosts, host_name or socket.gethostname(), root, collector)
    blocks = check_hosts(hosts, collector.file)
    own = blocks[host]
    is_useless = collector.has_errors or any(found.is_error for found in own.diagnostics)
    for block in blocks.values():
        collector.diagnostics += (
            block.all_diagnostics if block is own else downgrade_for_other_host(block)
        )
    _warn_duplicate_ids(blocks, host, collector)
    collector.diagnostics.sort(key=lambda one: (one.line or 0, one.column or 0))
    if is_useless:
        raise SiteFileError(collector.diagnostics)
    data = {**root.value, "hub": hub, "hosts": usable_blocks(blocks)}
    site = _site_file(Path(path), data, own, tuple(collector.diagnostics))
    return replace(site, remote=site_order(blocks, collector.file).remote(host))


def load_all_hosts(path: str | Path) -> dict[str, SiteFile]:
    """Read and check a site config for every host: by host, in the order of the file.

    A block that cannot be used for its host is there with its errors and without specs.

    Raises:
        SiteFileError: The file cannot be used for any host.
    """
    collector = DiagnosticCollector(str(path))
    root, hub, hosts = parse_site(Path(path), collector)
    if collector.has_errors:
        raise SiteFileError(collector.diagnostics)
    blocks = check_hosts(hosts, collector.file)
    data = {**root.value, "hub": hub, "hosts": usable_blocks(blocks)}
    files = {}
    for name, block in blocks.items():
        file = _site_file(Path(path), data, block, (*collector.diagnostics, *block.all_diagnostics))
        files[name] = replace(
            file, is_usable=not any(found.is_error for found in block.diagnostics)
        )
    return files


def parse_site(
    path: Path, collector: DiagnosticCollector, *, duplicate_keys_are_errors: bool = False
) -> tuple[YamlNode, dict[str, Any], dict[str, YamlNode]]:
    """Parse the file: its root, its checked hub, and the blocks of its hosts."""
    root = parse_nodes(
        read_text(path), collector, duplicate_keys_are_errors=duplicate_keys_are_errors
    )
    if not root.is_mapping:
        raise collector.fatal(
            root,
            f"the file holds {quote_value(root.value)}, not the sections 'hub' and 'hosts'.",
            "Begin with 'hub:' in the first column.",
        )
    return root, check_hub(root, collector), _host_parts(root, collector)


def usable_blocks(blocks: Mapping[str, HostBlock]) -> dict[str, dict[str, Any]]:
    """Give the blocks that OCS can take, as plain data."""
    return {name: block.data for name, block in blocks.items() if block.data is not None}


def _site_file(
    path: Path, data: dict[str, Any], block: HostBlock, diagnostics: tuple[Diagnostic, ...]
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
        diagnostics=diagnostics,
        broken_without_id=sum(entry.instance_id is None for entry in broken),
        class_locations={
            spec.instance_id: Location(entry.class_location.line, entry.class_location.column)
            for entry, spec in managed
        },
        wrong_settings={name: given for name, given in settings.items() if given.wrong},
    )


def _host_parts(root: YamlNode, collector: DiagnosticCollector) -> dict[str, YamlNode]:
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


def _select_host(
    hosts: Mapping[str, YamlNode], asked: str, root: YamlNode, collector: DiagnosticCollector
) -> str:
    for name in (asked, FALLBACK_HOST):
        if name in hosts:
            return name
    suggestion = closest_match(asked, hosts)
    hint = f"Did you mean {suggestion!r}? " if suggestion else ""
    names = join_names(list(hosts), quote=True) or "none"
    hint += f"Hosts in this file: {names}. Use --site-host to pick one."
    raise collector.fatal(
        root.get("hosts"),
        f"'hosts' has no block for {quote_value(asked)} and none for {FALLBACK_HOST!r}.",
        hint,
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
        fingerprint=_fingerprint(entry.data, hub, block.data or {}),
        arguments=tuple(entry.data.get("arguments") or ()),
    )


def _fingerprint(entry: dict[str, Any], hub: dict[str, Any], host: dict[str, Any]) -> str:
    """Digest what the agent reads when it is launched: equal if a restart changes nothing."""
    read = {
        "entry": {k: value for k, value in entry.items() if k not in ("manage", SETTINGS_KEY)},
        "hub": hub,
        "host": {
            TIMEOUT_KEY: host.get(TIMEOUT_KEY, DEFAULT_TIMEOUT),
            **{key: host[key] for key in (*OVERRIDES, "log-dir") if key in host},
        },
    }
    text = json.dumps(_canonical(read), separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:_FINGERPRINT_CHARACTERS]


def _canonical(value: object) -> object:
    """Give plain data a form that does not depend on the order of keys.

    YAML has keys that are no strings, dates, sets and bytes, which JSON has not.
    """
    if isinstance(value, dict):
        pairs = [[repr(key), _canonical(item)] for key, item in value.items()]
        return {"mapping": sorted(pairs, key=lambda pair: str(pair[0]))}
    if isinstance(value, list | tuple):
        return [_canonical(item) for item in value]
    if isinstance(value, set):
        return {"set": sorted(repr(item) for item in value)}
    return value if isinstance(value, str) else repr(value)


def with_known_classes(site_file: SiteFile, installed: InstalledClasses) -> SiteFile:
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


def _unknown_class(agent_class: str, installed: InstalledClasses) -> tuple[str, str]:
    message = f"no installed OCS plugin provides the agent class {quote_value(agent_class)}"
    if suggestion := closest_match(agent_class, installed.classes or ()):
        message += f" (nearest: {suggestion!r})"
    return message, " ".join(("Fix the class name, or install the plugin.", *installed.problems))
