"""`hostmanager install-systemd`: the manager of this host as a systemd service.

Everything is checked before anything is written, and each step can be shown first
(``--print``, ``--dry-run``). `systemd.unit` writes the unit, `systemd.install` installs it.
"""

import argparse
import grp
import json
import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hostmanager.cli.confirmation import confirm_action
from hostmanager.cli.exit_codes import CommandError
from hostmanager.cli.options import new_parser
from hostmanager.cli.output import Output
from hostmanager.cli.systemd.conflicts import find_unmanaged
from hostmanager.cli.systemd.install import (
    StepError,
    UnitTarget,
    install_unit,
    is_active,
    remove_unit,
)
from hostmanager.cli.systemd.unit import UNIT_NAME, Unit, UnitError
from hostmanager.core.model import InstanceSpec

EXIT_DONE, EXIT_FAILED, EXIT_USAGE = 0, 1, 2

DESCRIPTION = """\
Install the host manager of this host as a systemd service, or print its unit.

The agents keep running when the manager crashes, and `systemctl stop` stops them all.
Options of `hostmanager run` (--site-file, --site-host, --docker-compose, ...) go into the
unit; the site config is read when the service starts."""

EPILOG = """\
exit status:
  0  done
  1  a command of systemd failed; a line on stderr says why
  2  usage or configuration error; nothing was changed

examples:
  sudo hostmanager install-systemd --site-file /etc/ocs/site.yaml --user ocs --enable --now
      write the unit, start the manager now and at every boot
  hostmanager install-systemd --site-file /etc/ocs/site.yaml --user ocs --print
      only show the unit
  hostmanager install-systemd --site-file ~/ocs/site.yaml --user-unit --enable --now
      without root, for your own user
  sudo hostmanager install-systemd --site-file /etc/ocs/site.yaml --remove
      stop the manager and its agents, and remove the unit
"""

RESOLVED_OPTIONS = ("instance_id", "site", "site_file", "site_host", "working_dir", "state_dir")
"""Options that go into the unit with their resolved values."""

TRIAL_TIMEOUT = 30.0
"""Seconds for the trial run as the user."""

_TRIAL = "import sys, hostmanager.agent.options; open(sys.argv[1]).close()"


SYSTEMD_VARIABLES = ("HOME", "LANG", "LOGNAME", "PATH", "SHELL", "USER")
"""What systemd sets in the environment of a service by itself (systemd.exec, User=)."""


class InstallError(Exception):
    """The request cannot be fulfilled; the text says why."""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = new_parser(subparsers, "install-systemd", DESCRIPTION, EPILOG)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--print", action="store_true", help="print the unit; change nothing")
    what.add_argument("--remove", action="store_true", help="stop and remove the service")
    add = parser.add_argument
    add("--dry-run", action="store_true", help="show the steps; change nothing")
    add("--yes", "-y", action="store_true", help="do not ask before a running manager is removed")
    add("--json", action="store_true", help="print the result as JSON")
    add("--enable", action="store_true", help="start it at every boot")
    add("--now", action="store_true", help="start it now")
    add(
        "--user",
        metavar="NAME",
        help="the user who runs the manager and the agents; default: you; root only if named",
    )
    add("--group", metavar="NAME", help="their group; default: the user's")
    add("--user-unit", action="store_true", help="install it for your own systemd (no root)")
    add("--unit", metavar="NAME", help="name of the unit; default: hostmanager-<instance-id>")
    add("--unit-dir", metavar="DIR", help="write the unit there; do not call systemd")
    add(
        "--env",
        metavar="NAME[=VALUE]",
        action="append",
        default=[],
        help="set a variable for manager and agents; without a value: its current one. "
        "OCS_CONFIG_DIR is set if it is set now",
    )
    add(
        "--watchdog",
        type=_watchdog,
        metavar="SECONDS",
        default=30,
        help="a manager that hangs for this long is replaced (default: %(default)s)",
    )
    add(
        "--harden",
        action="store_true",
        help="restrict what few agents need, such as sudo, ping and kernel modules",
    )
    add(
        "--force",
        action="store_true",
        help="replace or remove a unit that this command did not write",
    )
    own, general = _agent_options()
    _add_as_text(parser.add_argument_group("options of the manager, for the unit"), own)
    parser.add_site_options(
        lambda it: _add_as_text(it.add_argument_group("options of every agent"), general)
    )


def _add_as_text(group: Any, options: Sequence[argparse.Action]) -> None:
    """Add options of the manager as plain strings; its own parser checks them."""
    for option in options:
        flags = [flag for flag in option.option_strings if flag.startswith("--")]
        if option.nargs == 0:
            group.add_argument(
                *flags, dest=f"run_{option.dest}", action="store_true", help=option.help
            )
        else:
            group.add_argument(
                *flags,
                dest=f"run_{option.dest}",
                metavar=option.metavar or option.dest.upper(),
                help=str(option.help).replace("%(default)s", str(option.default)),
            )


def _agent_options() -> tuple[list[argparse.Action], list[argparse.Action]]:
    """The options of the manager itself, and those of every OCS program."""
    from ocs.site_config import add_arguments  # noqa: PLC0415 - not for the other commands

    from hostmanager.agent.options import make_manager_parser  # noqa: PLC0415

    own = [action for action in make_manager_parser()._actions if action.dest != "help"]
    return own, add_arguments(argparse.ArgumentParser(add_help=False))._actions


def _watchdog(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 5 <= int(text) <= 3600:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 5 to 3600")
    return int(text)


def run(args: argparse.Namespace) -> int:
    """Install, print or remove the unit."""
    from hostmanager.siteconfig.command_line import UsageError  # noqa: PLC0415
    from hostmanager.siteconfig.diagnostics import SiteFileError  # noqa: PLC0415

    try:
        target = _unit_target(args)
        if args.remove:
            name = _name(args)
            _confirm_removal(args, target, name)
            return _report(args, remove_unit(target, name, args.force, args.dry_run))
        plan = make_install_plan(args, os.environ)
        if args.print:
            print(plan.unit.text(), end="")
            for note in plan.notes:
                print(f"note: {note}", file=sys.stderr)
            return EXIT_DONE
        actions = [action for action in ("enable", "now") if getattr(args, action)]
        if args.now and not (args.dry_run or args.force):
            _refuse_unmanaged(plan)
        result = install_unit(target, plan.unit, actions, args.force, args.dry_run)
        return _report(args, {**result, "remarks": [*plan.notes, *result["remarks"]]})
    except (InstallError, UsageError, SiteFileError, UnitError, ValueError) as error:
        print(f"hostmanager install-systemd: {error}", file=sys.stderr)
        return EXIT_USAGE
    except StepError as error:
        print(f"hostmanager install-systemd: {error}", file=sys.stderr)
        return EXIT_FAILED
    except CommandError as error:
        print(f"hostmanager install-systemd: {error}", file=sys.stderr)
        return error.code


def _confirm_removal(args: argparse.Namespace, target: UnitTarget, name: str) -> None:
    """Ask before a running manager and its agents are stopped."""
    unit = f"{name}.service"
    if args.dry_run or not target.manage_systemd or not is_active(target, unit):
        return
    action = f"stop {unit}, the manager with all of its agents on this host, and remove it"
    confirm_action(action, args, Output("install-systemd", args.json))


def _refuse_unmanaged(plan: "InstallPlan") -> None:
    agents = find_unmanaged(plan.instance_ids)
    if agents:
        listed = ", ".join(f"{agent.instance_id} (pid {agent.pid})" for agent in agents)
        raise StepError(
            f"these agents are already running, and no manager of this kind has started them: "
            f"{listed}. Each would be started a second time; nothing was changed. Stop them first, "
            "by the means that started them (see docs/install.md), or use --force."
        )


def _report(args: argparse.Namespace, result: dict[str, Any]) -> int:
    if args.json:
        print(json.dumps(result, indent=2))
        return EXIT_DONE
    would = "would " if args.dry_run else ""
    for step in result["steps"]:
        print(f"{would}{step}")
    for note in result["remarks"]:
        print(f"note: {note}")
    return EXIT_DONE


def _unit_target(args: argparse.Namespace) -> UnitTarget:
    if args.user_unit and (args.user or args.group):
        raise InstallError(
            "--user-unit is for your own user: it cannot be used with --user or --group."
        )
    if args.unit_dir is not None:
        if args.enable or args.now:
            raise InstallError(
                "--unit-dir does not call systemd: it cannot be used with --enable or --now."
            )
        return UnitTarget(
            Path(args.unit_dir).absolute(), is_user_unit=args.user_unit, manage_systemd=False
        )
    if args.user_unit:
        home = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
        return UnitTarget(Path(home) / "systemd" / "user", is_user_unit=True)
    target = UnitTarget(Path("/etc/systemd/system"))
    if os.geteuid() != 0 and not (args.print or args.dry_run):
        raise InstallError(
            f"only root may write to {target.directory}. Use sudo, or --print to see the unit, or "
            "--user-unit to install it for your own user."
        )
    return target


# --- the contents of the unit ---------------------------------------------------------------


def manager_argv(args: argparse.Namespace, omitted: Sequence[str] = ()) -> list[str]:
    """The options of the manager, as they were given."""
    words = []
    for name, value in vars(args).items():
        option = name.removeprefix("run_")
        if option == name or option in omitted or value in (None, False):
            continue
        flag = "--" + option.replace("_", "-")
        words.append(flag if value is True else f"{flag}={value}")
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
        UsageProblem, UsageError, SiteFileError, ValueError: Something is wrong.
    """
    from hostmanager.agent.options import (  # noqa: PLC0415
        access_warnings,
        compose_bin,
        compose_files,
        make_manager_parser,
        policy_of,
    )
    from hostmanager.siteconfig.command_line import parse_agent_args  # noqa: PLC0415

    options, site = parse_agent_args(make_manager_parser(), manager_argv(args), environ)
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
    ids = frozenset(spec.instance_id for spec in site.specs)
    command = [
        *(sys.executable, "-P", "-m", "hostmanager.agent"),
        f"--instance-id={options.instance_id}",
        f"--site-file={options.site_file}",
        f"--site-host={options.site_host}",
        f"--working-dir={working_dir}",
        *manager_argv(args, RESOLVED_OPTIONS),
    ]
    if options.state_dir is not None:
        command.append(f"--state-dir={Path(options.state_dir).absolute()}")
    unit = Unit(
        name=args.unit or f"hostmanager-{options.instance_id}",
        description=f"OCS host manager {options.instance_id} (host {options.site_host})",
        command=tuple(command),
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
    return InstallPlan(unit, ids, tuple(notes))


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


def _name(args: argparse.Namespace) -> str:
    """The name of the unit to remove; the site config may be gone already."""
    from hostmanager.agent.options import make_manager_parser  # noqa: PLC0415
    from hostmanager.siteconfig.command_line import parse_agent_args  # noqa: PLC0415

    instance_id = args.run_instance_id
    if args.unit is None and instance_id is None:
        instance_id = parse_agent_args(make_manager_parser(), manager_argv(args), os.environ)[
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
    from hostmanager.composefile.variables import (  # noqa: PLC0415
        describe_unset,
        unset_variables,
    )

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
