"""Checking the `hub` and the blocks under `hosts`.

OCS reads *every* host block whenever any agent starts, so a block that it cannot take keeps the
agents of all hosts from starting. A `HostBlock` says what is wrong, and its data is only what OCS
can take (contract, section 3).
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from hostmanager.siteconfig.checks.spelling import KNOWN_KEYS, missing_key_hint
from hostmanager.siteconfig.checks.start_order import SiteOrder
from hostmanager.siteconfig.diagnostics import Diagnostic, DiagnosticCollector, Severity
from hostmanager.siteconfig.entry import (
    MANAGER_CLASS,
    AgentEntry,
    check_entry,
    require_text,
)
from hostmanager.siteconfig.given_settings import GivenSettings
from hostmanager.siteconfig.settings import MANAGER_ID_PREFIX
from hostmanager.siteconfig.yaml.nodes import YamlNode
from hostmanager.util.text import quote_value

OVERRIDES = ("wamp_server", "wamp_http", "wamp_realm")
"""Keys of the hub that a host block may override."""

TIMEOUT_KEY = "crossbar_timeout"
DEFAULT_TIMEOUT = 10
"""Seconds."""

_DOCUMENTED_TIMEOUT_KEY = "crossbar-timeout"
_REQUIRED = {
    "wamp_server": "wamp_server: ws://ROUTER:8001/ws",
    "wamp_realm": "wamp_realm: REALM",
    "address_root": "address_root: observatory",
}
DUPLICATE_ID_HINT = "An instance-id must be unique in the site."
_OPTIONAL = ("wamp_http", "access_policy")


@dataclass(frozen=True, slots=True)
class HostBlock:
    """One checked host block.

    Attributes:
        name: Its key under `hosts`.
        data: The block as plain data for OCS, good entries only; None when OCS cannot take
            it at all.
        entries: Its entries in the order of the file, broken ones too.
        diagnostics: What is wrong with the block itself, the entries aside.
        order_diagnostics: What is wrong with the order in which its instances start.
    """

    name: str
    data: dict[str, Any] | None
    entries: tuple[AgentEntry, ...]
    diagnostics: tuple[Diagnostic, ...]
    order_diagnostics: tuple[Diagnostic, ...] = ()

    @property
    def all_diagnostics(self) -> tuple[Diagnostic, ...]:
        """What is wrong with the block and with its entries."""
        of_entries = (
            found
            for entry in self.entries
            for found in (*entry.diagnostics, *entry.settings.diagnostics)
        )
        return (*self.diagnostics, *of_entries, *self.order_diagnostics)

    @property
    def entries_by_id(self) -> dict[str, AgentEntry]:
        """The entry that counts for each id: the first one, as for OCS; it can be broken."""
        return _first_by_id(self.entries)

    @property
    def default_settings(self) -> GivenSettings:
        """The settings that the entry of its manager gives to all agents of the host."""
        usual = f"{MANAGER_ID_PREFIX}{self.name}"
        managers = [e for e in self.entries_by_id.values() if e.agent_class == MANAGER_CLASS]
        managers.sort(key=lambda entry: entry.instance_id != usual)
        return managers[0].settings if managers else GivenSettings()


def check_hub(root: YamlNode, collector: DiagnosticCollector) -> dict[str, Any]:
    """Check the hub; what is wrong goes to the collector as errors."""
    hub = root.get("hub")
    if hub is None:
        collector.error(
            root,
            "the section 'hub' is missing.",
            missing_key_hint(root, "hub") or f"It must have {', '.join(_REQUIRED)}.",
        )
        return {}
    if not hub.is_mapping:
        collector.error(
            hub,
            f"the section 'hub' is {quote_value(hub.value)}, not a mapping.",
            f"It must have {', '.join(_REQUIRED)}.",
        )
        return {}
    for key, example in _REQUIRED.items():
        require_text(hub, key, collector, example)
    _check_optional(hub, _OPTIONAL, collector)
    return dict(hub.value)


def is_valid_hub(hub: Mapping[str, Any]) -> bool:
    """Whether a checked hub has what is needed to reach the router."""
    return all(isinstance(hub.get(key), str) and hub[key].strip() for key in _REQUIRED)


def check_hosts(nodes: Mapping[str, YamlNode], file: str) -> dict[str, HostBlock]:
    """Check all blocks under `hosts`, and the order of starts across them."""
    blocks = {name: check_host(name, node, file) for name, node in nodes.items()}
    order = site_order(blocks, file)
    return {
        name: replace(block, order_diagnostics=order.check(name)) for name, block in blocks.items()
    }


def site_order(blocks: Mapping[str, HostBlock], file: str) -> SiteOrder:
    """The order of starts in the site."""
    hosts = {name: (block.entries_by_id, block.default_settings) for name, block in blocks.items()}
    return SiteOrder(hosts, file)


def check_host(name: str, node: YamlNode, file: str) -> HostBlock:
    """Check one block under `hosts`, and each entry in it."""
    collector = DiagnosticCollector(file)
    if not node.is_mapping:
        collector.error(
            node,
            f"the block of host {quote_value(name)} is {quote_value(node.value)}, not a mapping.",
            f"{name!r} belongs into the block of a host: indent it."
            if name in KNOWN_KEYS["host"]
            else "It must have a list 'agent-instances'.",
        )
        return HostBlock(name, None, (), tuple(collector.diagnostics))
    data = dict(node.value)
    _check_overrides(node, data, collector)
    _check_timeout(node, data, collector)
    nodes = _check_list(name, node, collector)
    entries = [check_entry(entry, file) for entry in nodes or []]
    counting = _first_by_id(entries).values()
    data["agent-instances"] = [entry.data for entry in counting if not entry.is_broken]
    taken = data if nodes is not None and _is_crossbar_valid(node, collector) else None
    return HostBlock(name, taken, tuple(entries), tuple(collector.diagnostics))


def downgrade_for_other_host(block: HostBlock) -> list[Diagnostic]:
    """Give the diagnostics of another host's block: warnings here, with the host's name."""
    warnings = []
    for diagnostic in block.all_diagnostics:
        message = f"on host {quote_value(block.name)}: {diagnostic.message}"
        if block.data is None and diagnostic in block.diagnostics:
            message += " OCS refuses the whole file for that, so no agent of any host can start."
        warnings.append(replace(diagnostic, severity=Severity.WARNING, message=message))
    return warnings


def duplicate_id_message(host: str, first_host: str, first: AgentEntry) -> str:
    """Say which earlier entry has the same id."""
    line = first.node.line
    if first_host == host:
        return (
            f"this id is already used by the entry on line {line}, which counts; this one does not."
        )
    return (
        f"this id is already used on host {quote_value(first_host)}, line {line}; the two agents "
        "would have one address."
    )


def _first_by_id(entries: Iterable[AgentEntry]) -> dict[str, AgentEntry]:
    first: dict[str, AgentEntry] = {}
    for entry in entries:
        if entry.instance_id is not None:
            first.setdefault(entry.instance_id, entry)
    return first


def _check_list(name: str, node: YamlNode, collector: DiagnosticCollector) -> list[YamlNode] | None:
    key = "agent-instances"
    value = node.get(key)
    if value is not None and value.is_list:
        return value.items()
    if value is None:
        collector.error(
            node,
            f"host {quote_value(name)} has no {key!r}.",
            missing_key_hint(node, key) or f"Write '{key}: []' if it has none.",
        )
        return None
    if value.value is None:
        collector.warning(
            value,
            f"{key!r} of host {quote_value(name)} is empty.",
            f"Write '{key}: []' if it has none.",
        )
        return []
    collector.error(
        value,
        f"{key!r} of host {quote_value(name)} is {quote_value(value.value)}, not a list.",
        "Begin each instance with '- '.",
    )
    return None


def _is_crossbar_valid(node: YamlNode, collector: DiagnosticCollector) -> bool:
    value = node.get("crossbar")
    if value is None or value.value is None or value.is_mapping:
        return True
    collector.error(
        value,
        f"'crossbar' is {quote_value(value.value)}, not a mapping.",
        "Use {} for the defaults, or leave the key out.",
    )
    return False


def _check_optional(
    node: YamlNode, keys: Iterable[str], collector: DiagnosticCollector
) -> list[str]:
    """Report the keys whose value is neither empty nor text, and give them."""
    wrong = []
    for key in keys:
        value = node.get(key)
        if value is not None and value.value is not None:
            before = len(collector.diagnostics)
            require_text(node, key, collector, f"{key}: TEXT")
            wrong += [key] if len(collector.diagnostics) > before else []
    return wrong


def _check_overrides(node: YamlNode, data: dict[str, Any], collector: DiagnosticCollector) -> None:
    for key in _check_optional(node, (*OVERRIDES, "log-dir"), collector):
        del data[key]
    for key in ("wamp_server", "wamp_realm"):
        value = node.get(key)
        if value is not None and value.value is None:
            collector.error(value, f"{key!r} is empty.", "Give it a value, or delete the line.")
            del data[key]


def _check_timeout(node: YamlNode, data: dict[str, Any], collector: DiagnosticCollector) -> None:
    """Leave the timeout under the key that OCS reads; absent or empty: its default."""
    given = data.pop(_DOCUMENTED_TIMEOUT_KEY, None)
    if data.get(TIMEOUT_KEY) is None:
        data.pop(TIMEOUT_KEY, None)
        if given is not None:
            data[TIMEOUT_KEY] = given
    elif given is not None and given != data[TIMEOUT_KEY]:
        collector.warning(
            node.get(_DOCUMENTED_TIMEOUT_KEY),
            f"{_DOCUMENTED_TIMEOUT_KEY!r} and {TIMEOUT_KEY!r} are both here and differ; "
            f"{TIMEOUT_KEY!r} counts.",
            "Keep one of the two.",
        )
    for key in (TIMEOUT_KEY, _DOCUMENTED_TIMEOUT_KEY):
        value = node.get(key)
        if value is not None and value.value is not None and not _is_duration(value.value):
            collector.error(
                value,
                f"{key!r} is {quote_value(value.value)}, not a number of seconds.",
                "Write a number such as 10; 0 means to wait for ever.",
            )
            data.pop(TIMEOUT_KEY, None)


def _is_duration(value: object) -> bool:
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
        and value >= 0
    )
