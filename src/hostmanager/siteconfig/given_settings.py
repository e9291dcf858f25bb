"""The settings as an entry has them: read, checked, and applied to its instance.

A setting that makes no sense is an error that concerns this setting alone: the instance keeps
what it had, and its other settings are applied.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, NamedTuple

from hostmanager.core.model import InstanceSettings, InstanceSpec, Kind
from hostmanager.siteconfig.diagnostics import Diagnostic, DiagnosticCollector, SourceLocation
from hostmanager.siteconfig.settings import SETTINGS, SETTINGS_KEY, Setting, launch_fingerprint
from hostmanager.siteconfig.yaml.nodes import YamlNode
from hostmanager.util.text import closest_match, quote_value


@dataclass(frozen=True, slots=True)
class GivenSettings:
    """The settings as one entry has them.

    Attributes:
        values: The valid ones, by field of `InstanceSettings`.
        wrong: The fields whose setting is there and makes no sense.
        diagnostics: What is wrong.
        entry_fingerprint: Fingerprint of the entry without its settings; empty if it has none.
        locations: Where the value of each valid one stands, by field.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    wrong: frozenset[str] = frozenset()
    diagnostics: tuple[Diagnostic, ...] = ()
    entry_fingerprint: str = ""
    locations: Mapping[str, SourceLocation] = field(default_factory=dict, compare=False, repr=False)

    def with_defaults(self, host: "GivenSettings", kind: Kind) -> "GivenSettings":
        """Add the defaults in the manager's own entry, as far as they are for this kind."""
        own = self.values.keys() | self.wrong
        if kind is Kind.DOCKER:
            own |= {setting.attribute for setting in SETTINGS.values() if setting.container_hint}
        inherited = {name: value for name, value in host.values.items() if name not in own}
        wrong = self.wrong | (host.wrong - own)
        return replace(self, values={**inherited, **self.values}, wrong=wrong)

    def settings(self, before: InstanceSettings | None = None) -> InstanceSettings:
        """The settings that count: for what makes no sense, that of before."""
        kept = {name: getattr(before, name) for name in self.wrong} if before else {}
        return InstanceSettings(**{**kept, **self.values})


class _Mistake(NamedTuple):
    """What is wrong with one setting.

    Attributes:
        text: What is wrong.
        hint: What would be right.
        meant: The settings that it was to be, as far as that is known.
        is_of_value: Whether its value is wrong, not its key.
    """

    text: str
    hint: str
    meant: frozenset[str] = frozenset()
    is_of_value: bool = False


def apply_settings(
    spec: InstanceSpec, given: GivenSettings, before: InstanceSettings | None = None
) -> InstanceSpec:
    """Give an instance its settings; for those that make no sense, those of before."""
    settings = given.settings(before)
    fingerprint = launch_fingerprint(given.entry_fingerprint, settings)
    return replace(spec, settings=settings, fingerprint=fingerprint)


def read_settings(
    entry: YamlNode,
    file: str,
    instance_id: str | None,
    *,
    of_manager: bool = False,
    of_container: bool = False,
) -> GivenSettings:
    """Read the settings of one entry.

    Args:
        entry: The entry, a mapping.
        file: The site config, as it is named in diagnostics.
        instance_id: Of the entry; None if it has none.
        of_manager: Whether it is a manager's: then they are the defaults of its host.
        of_container: Whether it is a compose service's.
    """
    node = entry.get(SETTINGS_KEY)
    if node is None or node.value is None:
        return GivenSettings()
    collector = DiagnosticCollector(file, instance_id)
    if not node.is_mapping:
        example = f"{SETTINGS_KEY}: {{manual: true}}"
        message = f"{SETTINGS_KEY!r} is {quote_value(node.value)}, not a mapping."
        collector.error(node, message, f"Write, for example, '{example}'.")
        every = frozenset(each.name for each in fields(InstanceSettings))
        return GivenSettings(wrong=every, diagnostics=tuple(collector.diagnostics))
    known = {key: s for key, s in SETTINGS.items() if s.for_host or not of_manager}
    values, wrong = {}, set()
    locations: dict[str, SourceLocation] = {}
    given = _flat_fields(node, known)
    for key, (location, value) in given.items():
        setting = known.get(key) if isinstance(key, str) else None
        mistake = _mistake(key, value.value, known, of_container=of_container)
        if mistake is not None:
            collector.error(value if mistake.is_of_value else location, mistake.text, mistake.hint)
            # What it was to be may be there as well, rightly written.
            meant = mistake.meant - (given.keys() - {key})
            wrong |= {known[name].attribute for name in meant}
        elif setting is not None:
            values[setting.attribute] = _stored(setting.parse(value.value))
            locations[setting.attribute] = value
    return GivenSettings(
        values, frozenset(wrong), tuple(collector.diagnostics), locations=locations
    )


def _mistake(
    key: object, value: object, known: Mapping[str, Setting], *, of_container: bool
) -> _Mistake | None:
    """What is wrong with a setting, by its key with dots; None: nothing."""
    inner = [name for name in known if name.startswith(f"{key}.")]
    if inner:
        text = f"the setting {key!r} is {quote_value(value)}, not a mapping."
        return _Mistake(text, _example_hint(inner[0], known[inner[0]]), frozenset(inner), True)
    if not isinstance(key, str) or key not in known:
        meant = closest_match(key, _names(known)) if isinstance(key, str) else None
        all_meant = (k for k in known if meant and f"{k}.".startswith(f"{meant}."))
        return _Mistake(*_unknown(key, meant), frozenset(all_meant))
    setting = known[key]
    if of_container and setting.container_hint:
        hint = setting.container_hint
        text = f"the setting {key!r} does not apply to a container."
        return _Mistake(text, f"{hint[0].upper()}{hint[1:]}.")
    if problem := setting.problem(value):
        text = f"the setting {key!r} {problem}."
        return _Mistake(text, _example_hint(key, setting), frozenset([key]), True)
    return None


def _names(known: Iterable[str]) -> list[str]:
    """The keys, and those of the mappings that hold them: ``restart.give-up``, ``restart``."""
    parts = (key.split(".") for key in known)
    return list(dict.fromkeys(".".join(p[:n]) for p in parts for n in range(1, len(p) + 1)))


def _flat_fields(
    node: YamlNode, known: Iterable[str], prefix: str = ""
) -> dict[Any, tuple[SourceLocation, YamlNode]]:
    """The settings of a mapping, those of mappings within it too, by keys with dots."""
    flat: dict[Any, tuple[SourceLocation, YamlNode]] = {}
    for key, (location, value) in node.fields().items():
        path = f"{prefix}{key}" if isinstance(key, str) else key
        if value.is_mapping and any(name.startswith(f"{path}.") for name in known):
            flat |= _flat_fields(value, known, f"{path}.")
        else:
            flat[path] = location, value
    return flat


def _example_hint(key: str, setting: Setting) -> str:
    return f"Write, for example, '{_written(key, _example(setting))}'."


def _written(key: str, value: str) -> str:
    """How a setting is written: ``heartbeat: {timeout: 15}``."""
    *outer, last = key.split(".")
    text = f"{last}: {value}"
    for name in reversed(outer):
        text = f"{name}: {{{text}}}"
    return text


def _stored(value: Any) -> Any:
    """A value as `InstanceSettings` has it, which nobody can change any more."""
    if isinstance(value, list):
        return tuple(value)
    return tuple(sorted(value.items())) if isinstance(value, dict) else value


def _unknown(key: object, meant: str | None) -> tuple[str, str]:
    """Say what is wrong with a key, and what would be right."""
    if isinstance(key, str) and key in SETTINGS:
        message = f"the setting {key!r} cannot be the default of a host."
        return message, "Write it in the entries of the agents that it is for."
    suggestion = f"Did you mean {meant!r}? " if meant else ""
    hint = f"{suggestion}docs/settings.md has all settings."
    return f"there is no setting {quote_value(key)}.", hint


def _example(setting: Setting) -> str:
    value = setting.default if setting.example is None else setting.example
    if setting.type is bool:
        value = not value
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else f"{value}"
