"""`hostmanager install-systemd`: the manager of this host as a systemd service.

Everything is checked before anything is written, and each step can be shown first
(``--print``, ``--dry-run``). `systemd.plan` decides what is installed, `systemd.unit` writes the unit,
`systemd.install` installs it.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ocs.site_config import add_arguments

from hostmanager.agent.options import make_manager_parser
from hostmanager.cli.commands.web import add_web_options
from hostmanager.cli.confirmation import confirm_action
from hostmanager.cli.exit_codes import OK
from hostmanager.cli.output import Output, command
from hostmanager.cli.systemd.conflicts import find_unmanaged
from hostmanager.cli.systemd.install import (
    StepError,
    UnitTarget,
    install_unit,
    is_active,
    remove_unit,
)
from hostmanager.cli.systemd.plan import (
    InstallError,
    InstallPlan,
    make_alerts_plan,
    make_install_plan,
    make_web_plan,
    option_words,
    unit_name,
)
from hostmanager.cli.systemd.unit import UnitError
from hostmanager.siteconfig.command_line import UsageError
from hostmanager.siteconfig.diagnostics import SiteFileError
from hostmanager.util.help_parser import HelpParser

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
  sudo hostmanager install-systemd --alerts --site-file /etc/ocs/site.yaml --user ocs --enable --now
      the alarm service, on one host of the site (docs/alerts.md)
  sudo hostmanager install-systemd --web --site-file /etc/ocs/site.yaml --user ocs --enable --now
      the page for the whole site, on one host of it (docs/web.md)
  sudo hostmanager install-systemd --site-file /etc/ocs/site.yaml --remove
      stop the manager and its agents, and remove the unit
"""


def add_options(parser: HelpParser) -> None:
    """Add the options."""
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--print", action="store_true", help="print the unit; change nothing")
    what.add_argument("--remove", action="store_true", help="stop and remove the service")
    add = parser.add_argument
    service = parser.add_mutually_exclusive_group()
    service.add_argument(
        "--alerts", action="store_true", help="the alarm service of the site, not the manager"
    )
    service.add_argument(
        "--web", action="store_true", help="the page for the whole site, not the manager"
    )
    add(
        "--alerts-config",
        metavar="FILE",
        help="with --alerts: its rules; default: alerts.yaml beside the site config",
    )
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
    page = argparse.ArgumentParser(add_help=False)
    add_web_options(page)
    group = parser.add_argument_group("options of the page (--web)")
    _add_as_text(group, page._actions, "web_")
    parser.add_site_options(
        lambda group: _add_as_text(group.add_argument_group("options of every agent"), general)
    )


def _add_as_text(group: Any, options: Sequence[argparse.Action], prefix: str = "run_") -> None:
    """Add options of another program as plain strings; its own parser checks them."""
    for option in options:
        flags = [flag for flag in option.option_strings if flag.startswith("--")]
        if option.nargs == 0:
            group.add_argument(
                *flags, dest=prefix + option.dest, action="store_true", help=option.help
            )
        else:
            group.add_argument(
                *flags,
                action="append" if isinstance(option.default, list) else "store",
                dest=prefix + option.dest,
                metavar=option.metavar or option.dest.upper(),
                help=(str(option.help) % vars(option)).replace("%", "%%"),
            )


def _agent_options() -> tuple[list[argparse.Action], list[argparse.Action]]:
    """The options of the manager itself, and those of every OCS program."""
    own = [action for action in make_manager_parser()._actions if action.dest != "help"]
    return own, add_arguments(argparse.ArgumentParser(add_help=False))._actions


def _watchdog(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 5 <= int(text) <= 3600:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 5 to 3600")
    return int(text)


@command
def run(args: argparse.Namespace, output: Output) -> int:
    """Install, print or remove the unit."""
    try:
        return _run(args, output)
    except (UsageError, SiteFileError, UnitError, ValueError) as error:
        raise InstallError(str(error)) from None


def _run(args: argparse.Namespace, output: Output) -> int:
    target = _unit_target(args)
    if args.remove:
        name = unit_name(args)
        _confirm_removal(args, target, name, output)
        return _report(args, remove_unit(target, name, args.force, args.dry_run), output)
    plan = _make_plan(args)
    if args.print:
        print(plan.unit.text(), end="")
        for note in plan.notes:
            print(f"note: {note}", file=sys.stderr)
        return OK
    actions = [action for action in ("enable", "now") if getattr(args, action)]
    if args.now and not (args.dry_run or args.force):
        _refuse_unmanaged(plan)
    result = install_unit(target, plan.unit, actions, args.force, args.dry_run)
    return _report(args, {**result, "remarks": [*plan.notes, *result["remarks"]]}, output)


def _make_plan(args: argparse.Namespace) -> InstallPlan:
    if args.web:
        return make_web_plan(args, os.environ)
    if words := option_words(args, "web_"):
        raise InstallError(
            f"{words[0].partition('=')[0]} is an option of the page only: add --web."
        )
    return (make_alerts_plan if args.alerts else make_install_plan)(args, os.environ)


def _confirm_removal(
    args: argparse.Namespace, target: UnitTarget, name: str, output: Output
) -> None:
    """Ask before a running manager and its agents are stopped."""
    unit = f"{name}.service"
    if args.dry_run or not target.manage_systemd or not is_active(target, unit):
        return
    what = "the manager with all of its agents on this host"
    if args.alerts or args.web:
        what = "the alarm service" if args.alerts else "the page for the whole site"
    confirm_action(f"stop {unit}, {what}, and remove it", args, output)


def _refuse_unmanaged(plan: InstallPlan) -> None:
    agents = find_unmanaged(plan.instance_ids)
    if agents:
        listed = ", ".join(f"{agent.instance_id} (pid {agent.pid})" for agent in agents)
        raise StepError(
            f"these agents are already running, and no manager of this kind has started them: "
            f"{listed}. Each would be started a second time; nothing was changed. Stop them first, "
            "by the means that started them (see docs/install.md), or use --force."
        )


def _report(args: argparse.Namespace, result: dict[str, Any], output: Output) -> int:
    would = "would " if args.dry_run else ""
    for step in result["steps"]:
        output.line(f"{would}{step}")
    for note in result["remarks"]:
        output.line(f"note: {note}")
    return output.emit_json(OK, **result)


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
