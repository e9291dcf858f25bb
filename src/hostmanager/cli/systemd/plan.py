"""What `install-systemd` will install: everything is checked, and the unit's contents decided."""

import argparse
import grp
import importlib.util
import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hostmanager.agent.options import (
    access_warnings,
    compose_bin,
    compose_files,
    make_manager_parser,
    policy_of,
)
from hostmanager.alerts.rules_file import RULES_FILE
from hostmanager.cli.commands.web import add_web_options
from hostmanager.cli.exit_codes import CommandError
from hostmanager.cli.systemd.unit import UNIT_NAME, ServiceUnit, Unit
from hostmanager.composefile.variables import describe_unset, unset_variables
from hostmanager.core.model import InstanceSpec
from hostmanager.siteconfig.command_line import parse_agent_args, resolve_site_file
from hostmanager.web.settings import settings_of_options

RESOLVED_OPTIONS = ("instance_id", "site", "site_file", "site_host", "working_dir", "state_dir")
"""Options that go into the unit with their resolved values."""

TRIAL_TIMEOUT = 30.0
"""Seconds for the trial run as the user."""

_TRIAL = "import sys, hostmanager.agent.options; open(sys.argv[1]).close()"


SYSTEMD_VARIABLES = ("HOME", "LANG", "LOGNAME", "PATH", "SHELL", "USER")
"""What systemd sets in the environment of a service by itself (systemd.exec, User=)."""


class InstallError(CommandError):
    """The request cannot be fulfilled; the text says why."""


def option_words(
    args: argparse.Namespace, prefix: str = "run_", omitted: Sequence[str] = ()
) -> list[str]:
    """The options of the manager (``run_``) or of the page (``web_``), as they were given."""
    words = []
    for name, given in vars(args).items():
        option = name.removeprefix(prefix)
        if option == name or option in omitted or given in (None, False):
            continue
        flag = "--" + option.replace("_", "-")
        values = given if isinstance(given, list) else [given]
        words += [flag if value is True else f"{flag}={value}" for value in values]
    return words


@dataclass(frozen=True, slots=True)
class InstallPlan:
    """What will be installed.

    Attributes:
        unit: The unit.
        instance_ids: The agents that it will run.
        notes: What people should know.
    """

    unit: Unit
    instance_ids: frozenset[str]
    notes: tuple[str, ...]


def make_install_plan(args: argparse.Namespace, environ: Mapping[str, str]) -> InstallPlan:
    """Check everything, and decide the contents of the unit.

    Raises:
        InstallError, UsageError, SiteFileError, ValueError: Something is wrong.
    """
    options, site = parse_agent_args(make_manager_parser(), option_words(args), environ)
    user, home = _user(args)
    working_dir = Path(options.working_dir or home).absolute()
    if not working_dir.is_dir():
        raise InstallError(
            f"the working directory {working_dir} does not exist. Use --working-dir."
        )
    _trial_run_as(user, args.group, working_dir, options.site_file)
    compose_bin(options, working_dir)
    files, notes = compose_files(options, working_dir)
    environment = _environment(args, environ)
    unset = _unset_variables([working_dir / name for name in files], environment)
    notes = [*access_warnings(options), *notes, *unset]
    unit = Unit(
        name=args.unit or f"hostmanager-{options.instance_id}",
        description=f"OCS host manager {options.instance_id} (host {options.site_host})",
        command=_manager_command(args, options, working_dir),
        working_dir=working_dir,
        user=user,
        group=args.group,
        environment=environment,
        has_state_dir=options.state_dir is None,
        stop_timeout=_stop_timeout(site.specs, policy_of(options).stop.interrupt),
        watchdog=args.watchdog,
        docker=bool(files),
        harden=args.harden,
        is_user_unit=args.user_unit,
        kill=shutil.which("kill") or "/bin/kill",
    )
    ids = frozenset(spec.instance_id for spec in site.specs)
    return InstallPlan(unit, ids, tuple(notes))


def _manager_command(
    args: argparse.Namespace, options: argparse.Namespace, working_dir: Path
) -> tuple[str, ...]:
    command = [
        *(sys.executable, "-P", "-m", "hostmanager.agent"),
        f"--instance-id={options.instance_id}",
        f"--site-file={options.site_file}",
        f"--site-host={options.site_host}",
        f"--working-dir={working_dir}",
        *option_words(args, omitted=RESOLVED_OPTIONS),
    ]
    if options.state_dir is not None:
        command.append(f"--state-dir={Path(options.state_dir).absolute()}")
    return tuple(command)


SITE_OPTIONS = ("site_host", "site_hub", "site_http", "site_realm", "address_root")
"""Options of the site that services of the whole site take as they were given."""

RESOLVED_FOR_SERVICE = ("site", "site_file", "working_dir", "state_dir")


def make_alerts_plan(args: argparse.Namespace, environ: Mapping[str, str]) -> InstallPlan:
    """Check everything, and decide the contents of the unit of the alarm service.

    Raises:
        InstallError, UsageError, SiteFileError: Something is wrong.
    """
    unit, site_file = _service_unit(args, environ, "alerts", "alarm service")
    command = list(unit.command)
    if args.run_state_dir is not None:
        command.append(f"--state-dir={Path(args.run_state_dir).absolute()}")
    notes = []
    rules = site_file.parent / RULES_FILE
    if args.alerts_config is not None:
        rules = Path(args.alerts_config).absolute()
        command.append(f"--config={rules}")
    if not rules.is_file():
        notes.append(f"{rules} does not exist yet: that file names the receivers.")
    unit = replace(unit, command=tuple(command), has_state_dir=args.run_state_dir is None)
    return InstallPlan(unit, frozenset(), tuple(notes))


def make_web_plan(args: argparse.Namespace, environ: Mapping[str, str]) -> InstallPlan:
    """Check everything, and decide the contents of the unit of the page for the whole site.

    Raises:
        ClientError, InstallError, UsageError, SiteFileError: Something is wrong.
    """
    if args.run_state_dir is not None:
        raise InstallError("--web: it keeps nothing on disk, so there is no --state-dir.")
    words = option_words(args, "web_")
    parser = argparse.ArgumentParser(prog="hostmanager install-systemd --web", add_help=False)
    add_web_options(parser)
    settings_of_options(parser.parse_args(words))
    unit, _ = _service_unit(args, environ, "web", "page")
    notes = []
    if importlib.util.find_spec("jinja2") is None:
        notes.append("it needs the extra 'web': pip install 'ocs-hostmanager[web]'")
    unit = replace(unit, command=(*unit.command, *words), has_state_dir=False)
    return InstallPlan(unit, frozenset(), tuple(notes))


def _service_unit(
    args: argparse.Namespace, environ: Mapping[str, str], subcommand: str, title: str
) -> tuple[ServiceUnit, Path]:
    """The unit of a service for the whole site, and the path of the site config."""
    others = option_words(args, "run_", (*SITE_OPTIONS, *RESOLVED_FOR_SERVICE))
    if others:
        raise InstallError(f"--{subcommand}: {others[0]} is an option of the manager only.")
    user, home = _user(args)
    site = argparse.Namespace(site=args.run_site, site_file=args.run_site_file)
    site_file = resolve_site_file(site, environ)
    working_dir = Path(args.run_working_dir or home).absolute()
    _trial_run_as(user, args.group, working_dir, str(site_file))
    command = [sys.executable, "-P", "-m", "hostmanager.cli.entry_point", subcommand]
    command += [f"--site-file={site_file}", *option_words(args, "run_", RESOLVED_FOR_SERVICE)]
    unit = ServiceUnit(
        name=args.unit or f"hostmanager-{subcommand}",
        description=f"OCS {title} for {site_file}",
        command=tuple(command),
        working_dir=working_dir,
        user=user,
        group=args.group,
        environment=_environment(args, environ),
        watchdog=args.watchdog,
        harden=args.harden,
        is_user_unit=args.user_unit,
    )
    return unit, site_file


def _stop_timeout(specs: Iterable[InstanceSpec], interrupt: float) -> float:
    """The longest time that any agent has after it was asked to stop, seconds."""
    return max([interrupt, *(spec.settings.stop_timeout or 0.0 for spec in specs)])


def _trial_run_as(user: str | None, group: str | None, working_dir: Path, site_file: str) -> None:
    """Check that the user can run the manager and read the site config, if this user may try."""
    is_own_user = os.geteuid() != 0 or user in (None, "root")
    if os.geteuid() != 0 and user not in (None, pwd.getpwuid(os.geteuid()).pw_name):
        return
    credentials: dict[str, Any] = {} if is_own_user else _identity(str(user), group)
    try:
        trial = subprocess.run(
            [sys.executable, "-P", "-c", _TRIAL, site_file],
            **credentials,
            check=False,
            cwd=working_dir,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TRIAL_TIMEOUT,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        reason = f"{error} (python is {Path(sys.executable).resolve()})"
    else:
        if trial.returncode == 0:
            return
        reason = trial.stderr.strip().rpartition("\n")[2]
    raise InstallError(
        f"the user {user or 'of this session'} cannot run the manager: {reason}. Programs, site config "
        "and working directory must be readable for that user, for example not in another home."
    )


def _identity(user: str, group: str | None) -> dict[str, Any]:
    try:
        gid = pwd.getpwnam(user).pw_gid if group is None else grp.getgrnam(group).gr_gid
    except KeyError:
        raise InstallError(f"--group {group}: there is no such group here.") from None
    return {"user": user, "group": gid, "extra_groups": os.getgrouplist(user, gid)}


def unit_name(args: argparse.Namespace) -> str:
    """The name of the unit to remove; the site config may be gone already."""
    service = "alerts" if args.alerts else "web" if args.web else None
    instance_id = service or args.run_instance_id
    if args.unit is None and instance_id is None:
        instance_id = parse_agent_args(make_manager_parser(), option_words(args), os.environ)[
            0
        ].instance_id
    name: str = args.unit or f"hostmanager-{instance_id}"
    if not UNIT_NAME.fullmatch(name):
        raise InstallError(f"{name!r} cannot be the name of a unit.")
    return name


def _user(args: argparse.Namespace) -> tuple[str | None, str]:
    """The user who runs it, and the home directory."""
    if args.user_unit:
        return None, str(Path.home())
    name = args.user or os.environ.get("SUDO_USER") or pwd.getpwuid(os.geteuid()).pw_name
    if name == "root" and args.user != "root":
        raise InstallError(
            "name the user who runs the manager and the agents, for example --user ocs. (If it "
            "must be root: --user root.)"
        )
    try:
        return name, pwd.getpwnam(name).pw_dir
    except KeyError:
        raise InstallError(
            f"--user {name}: there is no such user here. Make one: "
            f"useradd --system --create-home {name}"
        ) from None


def _unset_variables(files: Sequence[Path], environment: Mapping[str, str]) -> list[str]:
    """Warn of variables that this shell may have, and the service will not."""
    known = {**dict.fromkeys(SYSTEMD_VARIABLES, ""), **environment}
    texts = (describe_unset(unset_variables(file, known)) for file in files)
    return [f"{text} `--env NAME=VALUE` puts it into the unit." for text in texts if text]


def _environment(args: argparse.Namespace, environ: Mapping[str, str]) -> dict[str, str]:
    variables = {}
    if environ.get("OCS_CONFIG_DIR"):
        variables["OCS_CONFIG_DIR"] = str(Path(environ["OCS_CONFIG_DIR"]).absolute())
    for word in args.env:
        name, equal_sign, value = word.partition("=")
        if not equal_sign and name not in environ:
            raise InstallError(f"--env {name}: it is not set. Use --env {name}=VALUE.")
        variables[name] = value if equal_sign else environ[name]
    return variables
