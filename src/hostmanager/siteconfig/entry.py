"""Checking one entry of `agent-instances`, independently of the others.

An entry is either valid, and then `AgentEntry.data` is what OCS's own code takes, or it is broken,
and then it says why; a broken entry never breaks another one. The rules are those of the
contract, section 3; what OCS would fail over when it launches the agent is an error.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from hostmanager.core.model import Kind, Target
from hostmanager.siteconfig.checks.spelling import missing_key_hint
from hostmanager.siteconfig.diagnostics import Diagnostic, DiagnosticCollector, SourceLocation
from hostmanager.siteconfig.given_settings import GivenSettings, read_settings
from hostmanager.siteconfig.yaml.nodes import YamlNode
from hostmanager.util.names import id_problem
from hostmanager.util.text import did_you_mean, quote_value

MANAGER_CLASS = "HostManager"

MANAGE_VALUES: Mapping[str, tuple[Kind, Target] | None] = MappingProxyType(
    {
        "host/up": (Kind.HOST, Target.UP),
        "host/down": (Kind.HOST, Target.DOWN),
        "docker/up": (Kind.DOCKER, Target.UP),
        "docker/down": (Kind.DOCKER, Target.DOWN),
        "ignore": None,
    }
)
"""What each value of `manage` asks for; None: not managed."""

MANAGE_ALIASES: Mapping[str, str] = MappingProxyType(
    {
        "yes": "host/up",
        "no": "ignore",
        "host": "host/up",
        "up": "host/up",
        "down": "host/down",
        "docker": "docker/up",
    }
)
"""Other values with the same meaning (contract, section 3)."""

_QUOTED_CHARACTERS = 60
_DEFAULT_MANAGE = "host/up"
_BLOCKING = "; OCS cannot start the instances listed after it"
_NOT_TEXT = (list, dict, tuple, set, bytes, type(None))


@dataclass(frozen=True, slots=True)
class AgentEntry:
    """One checked entry.

    Attributes:
        instance_id: The id; None when it has none that can be used.
        agent_class: The agent class; empty when it is missing or wrong.
        managed_as: What `manage` asks for; None: not managed.
        data: The entry as plain data for OCS; empty when the entry is broken.
        node: The entry as it stands in the file.
        diagnostics: What is wrong with it, its settings aside.
        settings: Its settings; one that makes no sense does not break the entry.
    """

    instance_id: str | None
    node: YamlNode
    agent_class: str = ""
    managed_as: tuple[Kind, Target] | None = None
    data: dict[str, Any] = field(default_factory=dict)
    diagnostics: tuple[Diagnostic, ...] = ()
    settings: GivenSettings = field(default_factory=GivenSettings)

    @property
    def is_broken(self) -> bool:
        """Whether it has an error."""
        return any(diagnostic.is_error for diagnostic in self.diagnostics)

    @property
    def class_location(self) -> SourceLocation:
        """Where its agent class stands."""
        return self.node.get("agent-class") or self.node

    @property
    def id_location(self) -> SourceLocation:
        """Where its id stands."""
        return self.node.get("instance-id") or self.node


def check_entry(node: YamlNode, file: str) -> AgentEntry:
    """Check one entry of `agent-instances`."""
    collector = DiagnosticCollector(file)
    if not node.is_mapping:
        collector.error(
            node,
            f"an entry of 'agent-instances' is {quote_value(node.value)}, not a mapping{_BLOCKING}.",
            "An entry is '- instance-id: NAME' with 'agent-class: CLASS' on the next line.",
        )
        return AgentEntry(None, node, diagnostics=tuple(collector.diagnostics))
    usable_id, as_written = _check_id(node, collector)
    name = collector.instance_id = usable_id or as_written
    agent_class = require_text(node, "agent-class", collector, "agent-class: CLASS") or ""
    arguments = _check_arguments(node, collector)
    manage = _check_manage(node, collector)
    data = dict(node.value)
    if "arguments" in data:
        data["arguments"] = arguments
    if "manage" in data:
        data["manage"] = manage
    is_manager = agent_class == MANAGER_CLASS
    managed_as = _managed_as(manage, agent_class)
    is_container = managed_as is not None and managed_as[0] is Kind.DOCKER
    return AgentEntry(
        instance_id=name if name and id_problem(name) is None else None,
        node=node,
        agent_class=agent_class,
        managed_as=managed_as,
        data={} if collector.has_errors else data,
        diagnostics=tuple(collector.diagnostics),
        settings=read_settings(node, file, name, of_manager=is_manager, of_container=is_container),
    )


def require_text(
    node: YamlNode, key: str, collector: DiagnosticCollector, example: str
) -> str | None:
    """Require a key whose value is printable text; None when it is not."""
    value = node.get(key)
    if value is None:
        hint = missing_key_hint(node, key) or f"Add '{example}'."
        collector.error(node, f"{key!r} is missing.", hint)
    elif not isinstance(value.value, str):
        scalar = value.text is not None and value.value is not None
        text = (value.text or "")[:_QUOTED_CHARACTERS]
        hint = f'Put it in quotes: {key}: "{text}".' if scalar else f"Write '{example}'."
        what = f"{text}, which YAML does not take as text" if scalar else quote_value(value.value)
        collector.error(value, f"{key!r} is {what}.", hint)
    elif not value.value.strip() or not value.value.isprintable():
        is_empty = not value.value.strip()
        what = "empty" if is_empty else f"{quote_value(value.value)}, not printable text"
        collector.error(value, f"{key!r} is {what}.", f"Write '{example}'.")
    else:
        return str(value.value)
    return None


def _check_id(node: YamlNode, collector: DiagnosticCollector) -> tuple[str | None, str | None]:
    """Give the id, or else the text that was probably meant as one."""
    value = node.get("instance-id")
    if value is None:
        hint = missing_key_hint(node, "instance-id") or "Add 'instance-id: NAME'."
        collector.error(node, f"'instance-id' is missing{_BLOCKING}.", hint)
        return None, None
    name = require_text(node, "instance-id", collector, "instance-id: NAME")
    if name is None:
        return None, value.text if value.value is not None else None
    problem = id_problem(name)
    if problem is None:
        return name, None
    what, hint = problem
    collector.error(value, f"the instance-id {quote_value(name)} {what}.", hint)
    return None, None


def _managed_as(manage: str | None, agent_class: str) -> tuple[Kind, Target] | None:
    if manage is None or agent_class == MANAGER_CLASS:
        return None
    return MANAGE_VALUES[MANAGE_ALIASES.get(manage, manage)]


def _check_manage(node: YamlNode, collector: DiagnosticCollector) -> str | None:
    """Give the value of `manage`; None when it is not a known one."""
    value = node.get("manage")
    if value is None or value.value is None:
        return _DEFAULT_MANAGE
    if isinstance(value.value, bool):
        word = "yes" if value.value else "no"
        if (value.text or "").lower() not in MANAGE_ALIASES:
            collector.warning(
                value, f"'manage' is {value.text}, which means {word}.", f"Write {word}."
            )
        return word
    if isinstance(value.value, str) and value.value in {**MANAGE_VALUES, **MANAGE_ALIASES}:
        return value.value
    words, aliases = ", ".join(MANAGE_VALUES), ", ".join(MANAGE_ALIASES)
    suggestion = did_you_mean(value.value, [*MANAGE_VALUES, *MANAGE_ALIASES])
    collector.error(
        value,
        f"'manage' is {quote_value(value.value)}, which is not a known value.",
        f"{suggestion} Use one of {words} (or {aliases}).".lstrip(),
    )
    return None


def _check_arguments(node: YamlNode, collector: DiagnosticCollector) -> list[str]:
    """Give the arguments as a flat list of strings, as OCS passes them to the agent."""
    value = node.get("arguments")
    if value is None:
        return []
    if value.is_list:
        return _flatten_arguments(value, collector)
    hint = "Write a list, such as ['--mode', 'acq'], or leave the key out."
    if isinstance(value.value, str) and value.value.split():
        hint = f"Write it as a list: {_as_list(value.value)}."
    collector.error(value, f"'arguments' is {quote_value(value.value)}, not a list.", hint)
    return []


def _as_list(text: str) -> str:
    words = text.split()
    return f"[{', '.join(quote_value(word) for word in words[:8])}{', …' if words[8:] else ''}]"


def _flatten_arguments(node: YamlNode, collector: DiagnosticCollector) -> list[str]:
    flat: list[str] = []
    for item in node.items():
        if item.is_list:
            flat.extend(_flatten_arguments(item, collector))
        elif isinstance(item.value, _NOT_TEXT):
            collector.error(
                item,
                f"one of the 'arguments' is {quote_value(item.value)}, which is not a word.",
                _argument_hint(item.value),
            )
        elif not str(item.value).strip("-"):
            collector.error(
                item,
                f"one of the 'arguments' is {quote_value(str(item.value))}, which OCS cannot take.",
                "Write it together with its option, such as '--option='.",
            )
        else:
            flat.append(str(item.value))
    return flat


def _argument_hint(value: object) -> str:
    if isinstance(value, dict) and len(value) == 1:
        ((option, word),) = value.items()
        if str(option).startswith("-") and not isinstance(word, list | dict):
            return f"Write it without the colon: {_as_list(f'{option} {word}')}."
    return "Put it in quotes, or delete it."
