"""`hostmanager reload`: have managers read their site config (and compose files) again."""

import argparse
from typing import Any

from hostmanager.cli.each import as_json, code_of, crew, have_done, tell
from hostmanager.cli.options import add_common, add_hosts, exit_status, new_parser, seconds
from hostmanager.cli.screen import Screen, guarded
from hostmanager.cli.sites import read_site

TIMEOUT = 30.0
"""Seconds: a manager asks in a process of its own which agent classes are installed."""

DESCRIPTION = """\
Have the managers read the site config again, as it is on their hosts, and follow what has
changed: new agents are started, those that are gone from it are stopped and forgotten, and all
others are left alone; `hostmanager diff` tells before what will happen. What is wrong with the
file is shown with line and column, and changes nothing."""

EPILOG = f"""\
{
    exit_status(
        done="all have read it, and nothing is wrong with it",
        not_reached="at least one found something wrong, or was told to stop looking after agents",
    )
}
examples:
  hostmanager diff && echo nothing to do || hostmanager reload
  hostmanager reload --host daq1
"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = new_parser(subparsers, "reload", DESCRIPTION, EPILOG)
    add_hosts(parser)
    parser.add_argument(
        "--timeout",
        type=seconds,
        default=TIMEOUT,
        metavar="TIME",
        help="how long each may take (default: %(default)g s)",
    )
    add_common(parser)


def reload(args: argparse.Namespace, screen: Screen) -> int:
    """Have it read again."""
    who = crew(read_site(args), args)
    answers = have_done(
        who,
        lambda man: lambda: man.run("update", args.timeout, reload_config=True),
        args.answer_time,
        args.timeout + args.answer_time,
    )
    tell(answers, screen)
    return screen.answer(code_of(answers), hosts=as_json(answers))


run = guarded(reload)
