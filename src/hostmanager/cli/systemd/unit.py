"""The systemd unit of a host manager: its text, by systemd's own rules of quoting.

The reasons for its settings are comments in the unit itself, for those who read it on a host.
Pure: what depends on this host is passed in.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from hostmanager.core.policy import MANAGER_NICE
from hostmanager.util.cgroup import MANAGER_SUBGROUP

MARK = "# Written by `hostmanager install-systemd`"
"""First line of our units; no other file is overwritten or removed."""

UNIT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,200}")
"""A valid name of a unit: nothing with a special meaning for systemd (a percent sign, an at sign,
a backslash), and no path."""

NICE_COMMENT = "# For the manager, not its agents: it needs little processor time, but at once."

VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

STOP_TIMEOUT_MARGIN = 45.0
"""Seconds for a stop beyond the time that agents have after SIGINT: SIGTERM and SIGKILL (5 s each),
containers (10 s, and the compose command), the manager's own shutdown; and as much again."""

TEMPLATE = """\
{mark}; do so again to change it.
# Settings of your own: systemctl edit {name}

[Unit]
Description={description}
Documentation=https://ocs.readthedocs.io
# Order only: it needs neither a router nor a network to keep agents running.
After={after}
# Whatever is wrong (a site config that is not there yet): systemd keeps trying.
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=main
ExecStart={command}
ExecReload={kill} -HUP $MAINPID
WorkingDirectory={working_dir}
{settings}
# The manager stops the agents, not systemd: on `systemctl stop` it stops all of them, with time for
# each. If it crashes, they keep running, and the next manager adopts them.
KillMode=process
TimeoutStopSec={stop_timeout}
Restart=always
RestartSec=1
WatchdogSec={watchdog}
# An agent that the kernel kills for lack of memory is restarted; the others keep running.
OOMPolicy=continue
TasksMax=infinity
# Agents get cgroups of their own beside that of the manager. systemd before 254 does not know the
# second line, and says so: then agents are grouped, but memory-max and cpu-quota are not applied.
Delegate=yes
DelegateSubgroup={subgroup}
{hardening}
[Install]
WantedBy={target}
"""

SERVICE_TEMPLATE = """\
{mark}; do so again to change it.
# Settings of your own: systemctl edit {name}

[Unit]
Description={description}
Documentation=https://ocs.readthedocs.io
# Order only: that the router is away is one of the things it reports.
After={after}
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=main
ExecStart={command}
WorkingDirectory={working_dir}
{settings}
TimeoutStopSec=30
Restart=always
RestartSec=10
# The part that watches the site also tells systemd that it does not hang.
WatchdogSec={watchdog}
{hardening}
[Install]
WantedBy={target}
"""

HARDENING = """\
NoNewPrivileges=yes
LockPersonality=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
"""

SYSTEM_HARDENING = """\
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
"""
"""Not for units of a user: their systemd may not do these."""


class UnitError(Exception):
    """A unit cannot contain something; the text says what, and what would be right."""


@dataclass(frozen=True, slots=True)
class Unit:
    """The settings of a unit.

    Attributes:
        name: Without ``.service``.
        description: One line for people.
        command: Program (an absolute path) and arguments.
        working_dir: An absolute path.
        user: Who runs it and the agents; None: the user whose systemd it is.
        group: The user's own, if None.
        environment: Variables for manager and agents.
        has_state_dir: Whether systemd makes the state directory.
        stop_timeout: Seconds that agents have after SIGINT.
        watchdog: Seconds without a keep-alive after which systemd kills the manager.
        docker: Whether compose services are managed.
        harden: Whether to restrict what few agents need.
        is_user_unit: Whether it is for the systemd of a user.
        kill: The program `kill`.
    """

    name: str
    description: str
    command: tuple[str, ...]
    working_dir: Path
    user: str | None = None
    group: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    has_state_dir: bool = True
    stop_timeout: float = 10.0
    watchdog: int = 30
    docker: bool = False
    harden: bool = False
    is_user_unit: bool = False
    kill: str = "/bin/kill"
    template: ClassVar[str] = TEMPLATE
    has_agents: ClassVar[bool] = True

    @property
    def file_name(self) -> str:
        """The name of the unit file."""
        return f"{self.name}.service"

    def text(self) -> str:
        """Give the text of the unit file.

        Raises:
            UnitError: It cannot contain one of the settings.
        """
        if not UNIT_NAME.fullmatch(self.name):
            raise UnitError(
                f"{self.name!r} cannot be the name of a unit. Use letters, digits, '-', '_' and "
                "'.', such as --unit hostmanager-daq1."
            )
        return self.template.format(
            mark=MARK,
            name=self.name,
            description=check_value(self.description, "the description"),
            after=self._after(),
            command=exec_start(self.command),
            kill=self.kill,
            working_dir=check_value(str(self.working_dir), "the working directory"),
            settings="\n".join(self._settings()),
            stop_timeout=round(self.stop_timeout + STOP_TIMEOUT_MARGIN),
            watchdog=self.watchdog,
            hardening=self._hardening(),
            subgroup=MANAGER_SUBGROUP,
            target="default.target" if self.is_user_unit else "multi-user.target",
        )

    def _after(self) -> str:
        if self.is_user_unit:  # its systemd does not know the others
            return "basic.target"
        others = " docker.service" if self.docker else ""
        return f"network.target remote-fs.target nss-user-lookup.target{others}"

    def _settings(self) -> list[str]:
        lines = [] if self.user is None else [f"User={check_value(self.user, 'the user')}"]
        if self.group is not None:
            lines.append(f"Group={check_value(self.group, 'the group')}")
        for name, value in self.environment.items():
            if not VARIABLE_NAME.fullmatch(name):
                raise UnitError(f"{name!r} cannot be the name of a variable in the environment.")
            lines.append(f"Environment={quote_word(f'{name}={value}', name)}")
        if self.has_state_dir:
            directory = self.name.removeprefix("hostmanager-")
            lines += [f"StateDirectory=hostmanager/{directory}", "StateDirectoryMode=0700"]
        if self.has_agents and not self.is_user_unit:  # the systemd of a user may not allow that
            lines += [NICE_COMMENT, f"LimitNICE={MANAGER_NICE}"]
        return [*lines, f"SyslogIdentifier={self.name}"]

    def _hardening(self) -> str:
        if not self.harden:
            return ""
        return HARDENING if self.is_user_unit else HARDENING + SYSTEM_HARDENING


class ServiceUnit(Unit):
    """The unit of a service for the whole site, which has no agents: alarms, the page."""

    template = SERVICE_TEMPLATE
    has_agents = False


def exec_start(words: tuple[str, ...]) -> str:
    """Write a command for ``ExecStart=``.

    Raises:
        UnitError: A word of it cannot be written.
    """
    program, *arguments = words
    if not program.startswith("/") or "$" in program:
        raise UnitError(f"The program {program!r} must be an absolute path without '$'.")
    return " ".join([quote_word(program, "the program"), *(_argument(word) for word in arguments)])


def _argument(word: str) -> str:
    return quote_word(word.replace("$", "$$"), "an argument")


def quote_word(text: str, subject: str) -> str:
    """Write one word, in quotes if it needs them.

    Raises:
        UnitError: It contains a control character; the text names `subject`.
    """
    text = _specifier_free(text, subject)
    if text and re.fullmatch(r"[A-Za-z0-9_@%+=:,./$-]+", text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def check_value(text: str, subject: str) -> str:
    """Write a value that takes the rest of the line as it is.

    Raises:
        UnitError: It cannot be written; the text names `subject`.
    """
    if text != text.strip() or text.endswith("\\"):
        raise UnitError(
            f"{subject}, {text!r}, begins or ends with a character that systemd removes."
        )
    return _specifier_free(text, subject)


def _specifier_free(text: str, subject: str) -> str:
    if not text.isprintable():
        raise UnitError(f"{subject}, {text!r}, contains a character that a unit cannot contain.")
    return text.replace("%", "%%")
