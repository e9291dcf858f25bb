"""The settings under ``host-manager:`` in an entry of the site config.

OCS keeps keys that it does not know, so a file with settings goes on to work with any other host
manager. `SETTINGS` is the one table of all settings: the reader, `hostmanager check` and
docs/settings.md follow it. To add a setting, add a row here and the field to `InstanceSettings`.

A setting that makes no sense is an error that concerns this setting alone: the instance keeps
what it had, and its other settings are applied.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from hostmanager.core.health import HEARTBEAT_TIMEOUT, READY_TIMEOUT
from hostmanager.core.model import HEARTBEAT_ACTIONS, InstanceSettings, InstanceSpec, Kind
from hostmanager.siteconfig.diagnostics import Diagnostic, DiagnosticCollector, SourceLocation
from hostmanager.siteconfig.yaml_nodes import YamlNode
from hostmanager.util.text import closest_match, join_names, quote_value

SETTINGS_KEY = "host-manager"
"""The key of an entry that has the settings."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting.

    Attributes:
        key: Its key; with a dot, a key within the mapping of that name.
        type: The type of its value.
        meaning: What it does, as a sentence for operators.
        default: Its value where it is not given.
        unit: The unit of its value; empty: none.
        range: The least and the largest value of a number; None: any.
        choices: The texts that it takes; empty: any.
        default_text: What counts where it is not given, if that is no fixed value.
        example: A value for hints, where the default is None.
        at_launch: Whether it takes effect when the process is launched.
        container_hint: What to do for a container, where it does not apply to one.
        for_host: Whether the manager's own entry may have it, as the default of its host.
    """

    key: str
    type: type
    meaning: str
    default: object
    unit: str = ""
    range: tuple[float, float] | None = None
    choices: tuple[str, ...] = ()
    default_text: str = ""
    example: object = None
    at_launch: bool = False
    container_hint: str = ""
    for_host: bool = True

    @property
    def attribute(self) -> str:
        """Its field of `InstanceSettings`."""
        return self.key.replace("-", "_").replace(".", "_")

    @property
    def values(self) -> str:
        """The values that it takes, for people."""
        if self.type is bool:
            return "true or false"
        if self.type is dict:
            return "a mapping of names to texts"
        if self.type is tuple:
            return "a list of instance-ids"
        what = "a whole number" if self.type is int else "a number"
        if self.choices:
            return " or ".join(self.choices)
        if self.type is str:
            what = "text"
        limits = f" from {self.range[0]:.9g} to {self.range[1]:.9g}" if self.range else ""
        return f"{what}{f' of {self.unit}' if self.unit else ''}{limits}"

    def problem(self, value: object) -> str:
        """What is wrong with a value, to follow the name of the setting; empty: nothing."""
        if self.type is dict and isinstance(value, dict):
            return _environment_problem(value)
        return "" if self.accepts(value) else f"is {quote_value(value)}, not {self.values}"

    def accepts(self, value: object) -> bool:
        """Whether a value has the right type, and is in range."""
        if isinstance(value, bool) or self.type is bool:
            return isinstance(value, bool) and self.type is bool
        if self.type is tuple:
            return isinstance(value, list) and all(isinstance(each, str) and each for each in value)
        accepted = (int, float) if self.type is float else self.type
        if not isinstance(value, accepted) or (self.choices and value not in self.choices):
            return False
        return not self.range or self.range[0] <= value <= self.range[1]  # type: ignore[operator]


SETTINGS: Mapping[str, Setting] = {
    setting.key: setting
    for setting in (
        Setting(
            "manual",
            bool,
            "It is started and stopped only when somebody asks for it; each request counts once. "
            "Others may start and stop it as well.",
            default=False,
        ),
        Setting(
            "one-shot",
            bool,
            "It is a program that ends: with exit code 0 it is done, and is not started again "
            "before the next boot of the machine, or before somebody asks for it.",
            default=False,
            for_host=False,
        ),
        Setting(
            "ready-timeout",
            float,
            "How long it may take to register with the router before it counts as unregistered.",
            default=READY_TIMEOUT,
            unit="seconds",
            range=(1.0, 86_400.0),
        ),
        Setting(
            "heartbeat.timeout",
            float,
            "How long it may be listened to without a heartbeat before it counts as hanging; 0: its "
            "heartbeats are not followed, and it has no health.",
            default=HEARTBEAT_TIMEOUT,
            unit="seconds",
            range=(0.0, 86_400.0),
        ),
        Setting(
            "heartbeat.action",
            str,
            "What is done with an agent that hangs: it is shown, or it is restarted as well.",
            default=HEARTBEAT_ACTIONS[0],
            choices=HEARTBEAT_ACTIONS,
        ),
        Setting(
            "after",
            tuple,
            "The instances of the same host that are to be ready (a one-shot: done) before it is "
            "started, if they are due to start as well.",
            default=(),
            default_text="none",
            example="[registry]",
            for_host=False,
        ),
        Setting(
            "stop-timeout",
            float,
            "How long it may take to stop before it is ended by force.",
            default=None,
            unit="seconds",
            range=(1.0, 3_600.0),
            default_text="`--stop-timeout` of the manager; for a container, its compose file",
            example=60,
        ),
        Setting(
            "restart.delay-max",
            float,
            "The longest delay before it is restarted, while it keeps failing.",
            default=None,
            unit="seconds",
            range=(1.0, 86_400.0),
            default_text="`--restart-delay-max` of the manager",
            example=60,
        ),
        Setting(
            "restart.give-up.failures",
            int,
            "After so many failures within the time below it is not restarted any more before "
            "somebody asks for it; 0: it always is.",
            default=0,
            range=(0, 1_000),
            example=5,
        ),
        Setting(
            "restart.give-up.within",
            float,
            "The time in which these failures count.",
            default=600.0,
            unit="seconds",
            range=(1.0, 86_400.0),
        ),
        Setting(
            "environment",
            dict,
            "Variables for its process, beside those that it has from the manager.",
            default=(),
            default_text="none",
            example='{OMP_NUM_THREADS: "4"}',
            at_launch=True,
            container_hint="'environment' of its service in the compose file is for that",
        ),
        Setting(
            "nice",
            int,
            "The niceness of its process: above 0 it gets less of the processors, below 0 more.",
            default=None,
            default_text="0",
            range=(-20, 19),
            example=10,
            at_launch=True,
            container_hint="'cpu_shares' of its service in the compose file is for that",
        ),
        Setting(
            "open-files",
            int,
            "How many files and connections its process may have open.",
            default=None,
            default_text="the limit of the manager",
            range=(64, 1_048_576),
            example=4096,
            at_launch=True,
            container_hint="'ulimits: {nofile: …}' of its service in the compose file is for that",
        ),
    )
}
"""All settings, by key."""

MANAGER_ID_PREFIX = "hm-"
"""By convention the manager of host `x` is `hm-x` (contract, section 4)."""


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
        """The same where the manager's own entry has the defaults, as far as they are for this kind."""
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
    collector = DiagnosticCollector(file)
    if not node.is_mapping:
        example = f"{SETTINGS_KEY}: {{manual: true}}"
        message = f"{SETTINGS_KEY!r} is {quote_value(node.value)}, not a mapping."
        collector.error(node, message, f"Write, for example, '{example}'.", instance_id)
        every = frozenset(each.name for each in fields(InstanceSettings))
        return GivenSettings(wrong=every, diagnostics=tuple(collector.diagnostics))
    known = {key: s for key, s in SETTINGS.items() if s.for_host or not of_manager}
    values, wrong = {}, set()
    locations: dict[str, SourceLocation] = {}
    for key, (location, value) in _flat_fields(node, known).items():
        setting = known.get(key) if isinstance(key, str) else None
        inner = [name for name in known if name.startswith(f"{key}.")]
        if inner:
            wrong |= {known[name].attribute for name in inner}
            message = f"the setting {key!r} is {quote_value(value.value)}, not a mapping."
            hint = f"Write, for example, '{_written(inner[0], _example(known[inner[0]]))}'."
            collector.error(value, message, hint, instance_id)
        elif setting is None:
            meant = closest_match(key, known) if isinstance(key, str) else None
            wrong |= {known[meant].attribute} if meant and meant not in node.value else set()
            message, hint = _unknown(key, meant, known)
            collector.error(location, message, hint, instance_id)
        elif of_container and setting.container_hint:
            message = f"the setting {key!r} does not apply to a container."
            hint = setting.container_hint
            collector.error(location, message, f"{hint[0].upper()}{hint[1:]}.", instance_id)
        elif not (problem := setting.problem(value.value)):
            values[setting.attribute] = _stored(value.value)
            locations[setting.attribute] = value
        else:
            wrong.add(setting.attribute)
            message = f"the setting {key!r} {problem}."
            hint = f"Write, for example, '{_written(key, _example(setting))}'."
            collector.error(value, message, hint, instance_id)
    return GivenSettings(
        values, frozenset(wrong), tuple(collector.diagnostics), locations=locations
    )


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


def _environment_problem(variables: Mapping[object, object]) -> str:
    """What is wrong with variables; their values are not shown, they may be secrets."""
    for name, value in variables.items():
        if not isinstance(name, str) or not name or "=" in name or "\0" in name:
            return f"has {quote_value(name)}, which is not a name of a variable"
        if name in RESERVED_VARIABLES or name.startswith(RESERVED_PREFIX):
            return f"has {name!r}, by which the manager knows its agents"
        if not isinstance(value, str):
            return f"has {name!r} with a value that is not text; write it in quotes"
        if "\0" in value:
            return f"has {name!r} with a NUL character, which no variable can have"
    return ""


RESERVED_PREFIX = "OCS_HOSTMANAGER"
RESERVED_VARIABLES = frozenset({"SPT_NOENV"})
"""The manager sets these, and finds its agents by them."""


def launch_fingerprint(fingerprint: str, settings: InstanceSettings) -> str:
    """The fingerprint of an entry with the settings that take effect at a launch."""
    given = [
        (setting.key, value)
        for setting in SETTINGS.values()
        if setting.at_launch and (value := getattr(settings, setting.attribute)) != setting.default
    ]
    if not given:
        return fingerprint
    digest = hashlib.sha256(f"{fingerprint} {given}".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[: len(fingerprint)]


def changed_at_launch(before: InstanceSettings, now: InstanceSettings) -> list[str]:
    """The keys of the changed settings that take effect when a process is launched."""
    return [
        setting.key
        for setting in SETTINGS.values()
        if setting.at_launch
        and getattr(before, setting.attribute) != getattr(now, setting.attribute)
    ]


def settings_data(settings: InstanceSettings) -> dict[str, Any]:
    """The settings as clients get them: by key, without those that have their default.

    Without the environment: it may have secrets, and everybody at the router can read this.
    """
    values = {
        key: getattr(settings, setting.attribute)
        for key, setting in SETTINGS.items()
        if setting.type is not dict
    }
    return {key: value for key, value in values.items() if value != SETTINGS[key].default}


def settings_from_data(data: Any, configured: InstanceSettings) -> InstanceSettings | None:
    """The settings that a manager reports; None if it reports none, as others than ours do.

    The environment is not reported. It is taken as configured: the fingerprint tells the difference.
    """
    if not isinstance(data, Mapping):
        return None
    known = {
        SETTINGS[key].attribute: value
        for key, value in data.items()
        if key in SETTINGS and SETTINGS[key].type is not dict
    }
    if isinstance(known.get("after"), list):
        known["after"] = tuple(known["after"])
    return InstanceSettings(**known, environment=configured.environment)


def _unknown(key: object, meant: str | None, known: Iterable[str]) -> tuple[str, str]:
    """Say what is wrong with a key, and what would be right."""
    if isinstance(key, str) and key in SETTINGS:
        message = f"the setting {key!r} cannot be the default of a host."
        return message, "Write it in the entries of the agents that it is for."
    suggestion = f"Did you mean {meant!r}? " if meant else ""
    names = join_names(list(known), quote=True)
    return f"there is no setting {quote_value(key)}.", f"{suggestion}The settings are {names}."


def _example(setting: Setting) -> str:
    value = setting.default if setting.example is None else setting.example
    if setting.type is bool:
        value = not value
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else f"{value}"
