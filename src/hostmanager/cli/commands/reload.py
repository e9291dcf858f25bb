"""`hostmanager reload`: have managers read their site config (and compose files) again."""

import argparse
from typing import Any

from hostmanager.cli.commands.diff import ending
from hostmanager.cli.exit_codes import FAILED, CommandError
from hostmanager.cli.options import add_common, add_hosts, exit_status_help, new_parser, seconds
from hostmanager.cli.output import Output, command
from hostmanager.client.manager_client import ManagerError, run_parallel
from hostmanager.client.multi_host import (
    TargetManagers,
    as_json,
    exit_code,
    print_results,
    require_router,
    run_on_all,
    select_managers,
)
from hostmanager.client.site_model import read_site
from hostmanager.util.text import pluralize

TIMEOUT = 30.0
"""Seconds: a manager asks in a process of its own which agent classes are installed."""

DESCRIPTION = """\
Have the managers read the site config again, as it is on their hosts, and follow what has
changed: new agents are started, those that are gone from it are stopped and forgotten, and all
others are left alone; `hostmanager diff` tells before what will happen. Where agents that run would
be ended, going by the site config as it is read here, it is asked first. What is wrong with the
file is shown with line and column, and changes nothing."""

EPILOG = f"""\
{
    exit_status_help(
        done="all have read it, and nothing is wrong with it",
        not_reached="at least one found something wrong, or was told to stop looking after agents",
    )
}
examples:
  hostmanager diff && echo nothing to do || hostmanager reload
  hostmanager reload --host daq1
  hostmanager reload --yes
      from a script: without a terminal, nobody can be asked whether agents may be ended
"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = new_parser(subparsers, "reload", DESCRIPTION, EPILOG)
    add_hosts(parser)
    parser.add_argument("--yes", "-y", action="store_true", help="do not ask before agents end")
    parser.add_argument(
        "--timeout",
        type=seconds,
        default=TIMEOUT,
        metavar="TIME",
        help="how long each may take (default: %(default)g s)",
    )
    add_common(parser)


def reload(args: argparse.Namespace, screen: Output) -> int:
    """Have it read again."""
    who = select_managers(read_site(args), args)
    if not args.yes:
        _ask(who, args, screen)
    answers = run_on_all(
        who,
        lambda man: lambda: man.run("update", args.timeout, reload_config=True),
        args.answer_time,
        args.timeout + args.answer_time,
    )
    print_results(answers, screen)
    return screen.emit_json(exit_code(answers), hosts=as_json(answers))


def _ask(who: TargetManagers, args: argparse.Namespace, screen: Output) -> None:
    """Ask before agents end; a slip in the file may be why.

    Raises:
        CommandError: It is not agreed, or there is nobody to be asked.
    """
    sessions = run_parallel({h: man.session for h, man in who.managers.items()}, args.answer_time)
    require_router(sessions)
    ends = [
        f"{host}: {change.instance_id}: {change.text}"
        for host, session in sessions.items()
        if not isinstance(session, ManagerError)
        for change in ending(who.site.hosts[host], session)
    ]
    if not ends:
        return
    for line in ends:
        screen.warn(line)
    which = f"This would end {pluralize(len(ends), 'agent')}."
    if not screen.can_ask:
        raise CommandError(f"{which} Use --yes, if that is meant. Nothing was done.")
    if not screen.ask(f"{which} Go on?"):
        raise CommandError("nothing was done.", FAILED)


run = command(reload)
