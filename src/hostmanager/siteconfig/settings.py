"""The settings under ``host-manager:`` in an entry of the site config.

OCS keeps keys that it does not know, so a file with settings goes on to work with any other host
manager. `SETTINGS` is the one table of all settings: the reader, `hostmanager check` and
docs/settings.md follow it. To add a setting, add a row here and the field to `InstanceSettings`.
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from hostmanager.core.model import HEARTBEAT_ACTIONS, InstanceSettings
from hostmanager.util.text import quote_value

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
        form: How its value may be written, where that is more than a number.
        parse: Reads such a value; None: it is no value of this setting.
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
    form: str = ""
    parse: Callable[[object], object] = lambda value: value

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
        if self.form and self.range:
            return f"{self.form}; at least {written_number(self.range[0])}"
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
        value = self.parse(value)
        if isinstance(value, bool) or self.type is bool:
            return isinstance(value, bool) and self.type is bool
        if self.type is tuple:
            return isinstance(value, list) and all(isinstance(each, str) and each for each in value)
        accepted = (int, float) if self.type is float else self.type
        if not isinstance(value, accepted) or (self.choices and value not in self.choices):
            return False
        return not self.range or self.range[0] <= value <= self.range[1]  # type: ignore[operator]


_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def parse_size(value: object) -> object:
    """Bytes, as systemd writes them: ``512M``; other values as they are."""
    match = (
        re.fullmatch(r"(\d{1,15}(?:\.\d{1,9})?) ?([KMGT]?)", value)
        if isinstance(value, str)
        else None
    )
    return value if match is None else int(float(match[1]) * _UNITS[match[2]])


def parse_percent(value: object) -> object:
    """Per cent, as systemd writes them: ``50%``; other values as they are."""
    match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?) ?%", value) if isinstance(value, str) else None
    return value if match is None else float(match[1])


def written_number(value: float) -> str:
    """A number for people, in units of 1024 where it is a multiple of them."""
    for unit, factor in reversed(_UNITS.items()):
        if unit and value >= factor and value % factor == 0:
            return f"{int(value) // factor}{unit}"
    return f"{value:.9g}"


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
            default=InstanceSettings().ready_timeout,
            unit="seconds",
            range=(1.0, 86_400.0),
        ),
        Setting(
            "heartbeat.timeout",
            float,
            "How long it may be listened to without a heartbeat before it counts as hanging; 0: its "
            "heartbeats are not followed, and it has no health.",
            default=InstanceSettings().heartbeat_timeout,
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
            "The instances of the site that are to be ready (a one-shot of the same host: done) "
            "before it is started, if they are due to start as well.",
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
            container_hint="'ulimits: {nofile: …}' of its service in the compose file is for that",
        ),
        Setting(
            "memory-max",
            int,
            "How much memory all its processes may use together; one that needs more is killed with "
            "all of them, and restarted.",
            default=None,
            default_text="no limit",
            example="512M",
            range=(1 << 20, 1 << 50),
            form="bytes, with K, M or G for 1024, 1024², 1024³ of them",
            parse=parse_size,
            container_hint="'mem_limit' of its service in the compose file is for that",
        ),
        Setting(
            "cpu-quota",
            float,
            "How much of the processors all its processes may use together: 100 % is one of them.",
            default=None,
            default_text="no limit",
            example="50%",
            range=(1.0, 100_000.0),
            form="per cent",
            parse=parse_percent,
            container_hint="'cpus' of its service in the compose file is for that",
        ),
        Setting(
            "warm",
            bool,
            "Whether it may be forked from a process that has imported OCS already (not with "
            "`--warm-launch off`). Without effect for one that has an `environment`.",
            default=True,
            container_hint="its engine launches it",
        ),
    )
}
"""All settings, by key."""

MANAGER_ID_PREFIX = "hm-"
"""By convention the manager of host `x` is `hm-x` (contract, section 4)."""


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
