"""`hostmanager install-systemd`: the manager of this host as a systemd service.

Everything is checked before anything is written, and each step can be looked at first
(``--print``, ``--dry-run``). What the unit says is in `unit`, what is done with it in
`unit_steps`.
"""

import argparse
import grp
import json
import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hostmanager.cli.systemd.conflicts import find_unmanaged
from hostmanager.cli.systemd.install import StepError, UnitTarget, install_unit, remove_unit
from hostmanager.cli.systemd.unit import UNIT_NAME, Unit, UnitError

EXIT_DONE, EXIT_FAILED, EXIT_USAGE = 0, 1, 2

DESCRIPTION = """\
Install the host manager of this host as a systemd service, or print its unit.

The agents outlive a crash of the manager, and `systemctl stop` ends them all. Options
of `hostmanager run` (--site-file, --site-host, --docker-compose, ...) go into the unit;
what is in the site config is read when the service starts."""

EPILOG = """\
exit status:
  0  done
  1  systemd did not do as it was told; a line on stderr says why
  2  usage or configuration error; nothing was changed

examples:
  sudo hostmanager install-systemd --site-file /etc/ocs/site.yaml --user ocs --enable --now
      write the unit, start the manager now and at every boot
  hostmanager install-systemd --site-file /etc/ocs/site.yaml --user ocs --print
      only show the unit
  hostmanager install-systemd --site-file ~/ocs/site.yaml --user-unit --enable --now
      without root, for the user who types it
  sudo hostmanager install-systemd --site-file /etc/ocs/site.yaml --remove
      stop the manager and its agents, and remove the unit
"""

RESOLVED_OPTIONS = ("instance_id", "site", "site_file", "site_host", "working_dir", "state_dir")
"""Options that are written into the unit as they were found, rather than as they were given."""


TRIAL_TIMEOUT = 30.0
"""Seconds for the user's first try."""

_TRIAL = "import sys, hostmanager.agent.options; open(sys.argv[1]).close()"


class InstallError(Exception):
    """What was asked for cannot be; the text says why."""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "install-systemd",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--print", action="store_true", help="print the unit; change nothing")
    what.add_argument("--remove", action="store_true", help="stop and remove the service")
    add = parser.add_argument
    add("--dry-run", action="store_true", help="only say what would be done")
    add("--json", action="store_true", help="print the result as JSON")
    add("--enable", action="store_true", help="start it at every boot")
    add("--now", action="store_true", help="start it now")
    add(
        "--user",
        metavar="NAME",
        help="who runs the manager and the agents; default: you; root has to be named",
    )
    add("--group", metavar="NAME", help="their group; default: the user's")
    add("--user-unit", action="store_true", help="install it for your own systemd (no root)")
    add("--unit", metavar="NAME", help="name of the unit; default: hostmanager-<instance-id>")
    add("--unit-dir", metavar="DIR", help="write the unit there, and leave systemd alone")
    add(
        "--env",
        metavar="NAME[=VALUE]",
        action="append",
        default=[],
        help="set a variable for manager and agents; without a value: as it is now. "
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
        help="take away what few agents need, such as sudo, ping and kernel modules",
    )
    add("--force", action="store_true", help="replace or remove a unit that is not from here")
    _add_agent_options(parser.add_argument_group("options of the manager, for the unit"))


def _add_agent_options(group: Any) -> None:
    """Take the options of the agent as plain words; the agent's own parser checks them."""
    for option in _agent_options():
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


def _agent_options() -> list[argparse.Action]:
    from ocs.site_config import add_arguments  # noqa: PLC0415 - not for the other commands

    from hostmanager.agent.options import make_manager_parser  # noqa: PLC0415

    parser = make_manager_parser()
    add_arguments(parser)
    return [action for action in parser._actions if action.dest != "help"]


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
            return _report(args, remove_unit(target, _name(args), args.force, args.dry_run))
        plan = make_install_plan(args, os.environ)
        if args.print:
            print(plan.unit.text(), end="")
            for note in plan.notes:
                print(f"note: {note}", file=sys.stderr)
            return EXIT_DONE
        wants = [word for word in ("enable", "now") if getattr(args, word)]
        if args.now and not (args.dry_run or args.force):
            _refuse_unmanaged(plan)
        result = install_unit(target, plan.unit, wants, args.force, args.dry_run)
        return _report(args, {**result, "remarks": [*plan.notes, *result["remarks"]]})
    except (InstallError, UsageError, SiteFileError, UnitError, ValueError) as error:
        print(f"hostmanager install-systemd: {error}", file=sys.stderr)
        return EXIT_USAGE
    except StepError as error:
        print(f"hostmanager install-systemd: {error}", file=sys.stderr)
        return EXIT_FAILED


def _refuse_unmanaged(plan: "InstallPlan") -> None:
    found = find_unmanaged(plan.instance_ids)
    if found:
        listed = ", ".join(f"{stray.instance_id} (pid {stray.pid})" for stray in found)
        raise StepError(
            f"these agents run already, and no manager of this kind has started them: {listed}. "
            "Each would run a second time; nothing was done. End them first, by what has started "
            "them (see docs/install.md), or use --force."
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
        raise InstallError("--user-unit is for the user who types it: without --user, --group.")
    if args.unit_dir is not None:
        if args.enable or args.now:
            raise InstallError("--unit-dir leaves systemd alone: without --enable and --now.")
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
            "--user-unit to install it for yourself alone."
        )
    return target


# --- what the unit says ----------------------------------------------------------------------


def manager_argv(args: argparse.Namespace, leave_out: Sequence[str] = ()) -> list[str]:
    """The options of the manager, as they were given."""
    words = []
    for name, value in vars(args).items():
        option = name.removeprefix("run_")
        if option == name or option in leave_out or value in (None, False):
            continue
        flag = "--" + option.replace("_", "-")
        words.append(flag if value is True else f"{flag}={value}")
    return words


@dataclass(frozen=True, slots=True)
class InstallPlan:
    """What is going to be installed.

    Attributes:
        unit: The unit.
        instance_ids: The agents that it will run.
        notes: For people.
    """

    unit: Unit
    instance_ids: frozenset[str]
    notes: tuple[str, ...]


def make_install_plan(args: argparse.Namespace, environ: Mapping[str, str]) -> InstallPlan:
    """Check everything, and say what the unit says.

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

    found, site = parse_agent_args(make_manager_parser(), manager_argv(args), environ)
    user, home = _user(args)
    working_dir = Path(found.working_dir or home).absolute()
    if not working_dir.is_dir():
        raise InstallError(
            f"the working directory {working_dir} does not exist. Use --working-dir."
        )
    _trial_run_as(user, args.group, working_dir, found.site_file)
    compose_bin(found, working_dir)
    files, remarks = compose_files(found, working_dir)
    remarks = [*access_warnings(found), *remarks]
    ids = frozenset(spec.instance_id for spec in site.specs)
    command = [
        *(sys.executable, "-P", "-m", "hostmanager.agent"),
        f"--instance-id={found.instance_id}",
        f"--site-file={found.site_file}",
        f"--site-host={found.site_host}",
        f"--working-dir={working_dir}",
        *manager_argv(args, RESOLVED_OPTIONS),
    ]
    if found.state_dir is not None:
        command.append(f"--state-dir={Path(found.state_dir).absolute()}")
    unit = Unit(
        name=args.unit or f"hostmanager-{found.instance_id}",
        description=f"OCS host manager {found.instance_id} (host {found.site_host})",
        command=tuple(command),
        working_dir=working_dir,
        user=user,
        group=args.group,
        environment=_environment(args, environ),
        has_state_dir=found.state_dir is None,
        stop_timeout=policy_of(found).stop.interrupt,
        watchdog=args.watchdog,
        docker=bool(files),
        harden=args.harden,
        is_user_unit=args.user_unit,
        kill=shutil.which("kill") or "/bin/kill",
    )
    return InstallPlan(unit, ids, tuple(remarks))


def _trial_run_as(user: str | None, group: str | None, working_dir: Path, site_file: str) -> None:
    """See whether that user can run the manager and read the site config, where we may try."""
    mine = os.geteuid() != 0 or user in (None, "root")
    if os.geteuid() != 0 and user not in (None, pwd.getpwuid(os.geteuid()).pw_name):
        return
    become: dict[str, Any] = {} if mine else _identity(str(user), group)
    try:
        tried = subprocess.run(
            [sys.executable, "-P", "-c", _TRIAL, site_file],
            **become,
            check=False,
            cwd=working_dir,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TRIAL_TIMEOUT,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        why = f"{error} (python is {Path(sys.executable).resolve()})"
    else:
        if tried.returncode == 0:
            return
        why = tried.stderr.strip().rpartition("\n")[2]
    raise InstallError(
        f"the user {user or 'who types this'} cannot run the manager: {why}. Programs, site config "
        "and working directory must be where that user can read them: not in somebody's home, say."
    )


def _identity(user: str, group: str | None) -> dict[str, Any]:
    try:
        gid = pwd.getpwnam(user).pw_gid if group is None else grp.getgrnam(group).gr_gid
    except KeyError:
        raise InstallError(f"--group {group}: there is no such group here.") from None
    return {"user": user, "group": gid, "extra_groups": os.getgrouplist(user, gid)}


def _name(args: argparse.Namespace) -> str:
    """The name of the unit to remove: the site config may be gone already."""
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
    """Who runs it, and where they are at home."""
    if args.user_unit:
        return None, str(Path.home())
    name = args.user or os.environ.get("SUDO_USER") or pwd.getpwuid(os.geteuid()).pw_name
    if name == "root" and args.user != "root":
        raise InstallError(
            "say who is to run the manager and the agents: --user ocs, say. (If it has to be "
            "root: --user root.)"
        )
    try:
        return name, pwd.getpwnam(name).pw_dir
    except KeyError:
        raise InstallError(
            f"--user {name}: there is no such user here. Make one: "
            f"useradd --system --create-home {name}"
        ) from None


def _environment(args: argparse.Namespace, environ: Mapping[str, str]) -> dict[str, str]:
    found = {}
    if environ.get("OCS_CONFIG_DIR"):
        found["OCS_CONFIG_DIR"] = str(Path(environ["OCS_CONFIG_DIR"]).absolute())
    for word in args.env:
        name, given, value = word.partition("=")
        if not given and name not in environ:
            raise InstallError(f"--env {name}: it is not set now. Use --env {name}=VALUE.")
        found[name] = value if given else environ[name]
    return found
