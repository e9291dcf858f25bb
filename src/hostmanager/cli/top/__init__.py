"""`hostmanager top`: the whole site on one screen, live, with keys to put things right.

The room: `items` (what is shown, in which order; pure), `lines` and `facts` (how it looks; pure),
`asker` (the managers, from threads), `requests` (what was asked for and what came of it), `app`
and its screens (Textual). Only `run` imports Textual: nothing else of HostManager needs it.
"""

import argparse
import getpass
from typing import Any

from hostmanager.cli.exit_codes import CommandError
from hostmanager.cli.options import add_common, add_selection, new_parser, seconds
from hostmanager.cli.output import Output, command
from hostmanager.client.site_model import read_site
from hostmanager.client.status.selection import hosts_to_query

TIMEOUT = 60.0
"""Seconds after which an agent that was told something is said not to have got there."""

DESCRIPTION = """\
Show all hosts and agents on the whole screen, live, and what is wrong first. Keys start, stop and
restart the selected agent, or all of its host, and show its output and its history; `?` lists
them. Each host is asked by itself, so one that is dead holds up nothing: it is shown with the
reason. Works on any terminal from 80 by 24, over ssh, without a mouse and without colours."""

EPILOG = """\
exit status:
  0    it was ended with q
  2    the command line or the site config makes no sense, or this is no terminal
  130  it was ended with Ctrl-C

examples:
  hostmanager top
      the whole site; $OCS_CONFIG_DIR/default.yaml says what belongs to it
  hostmanager top --host daq1 'acu*'
      some agents of one host
  ssh -t daq1 hostmanager top
      from elsewhere; -t gives it a terminal
"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = new_parser(subparsers, "top", DESCRIPTION, EPILOG)
    add_selection(parser)
    parser.add_argument(
        "--interval",
        type=seconds,
        default=1.0,
        metavar="SECONDS",
        help="pause between two questions to a host (default: %(default)g)",
    )
    parser.add_argument(
        "--timeout",
        type=seconds,
        default=TIMEOUT,
        metavar="TIME",
        help="how long an agent that was told something is waited for (default: %(default)g s)",
    )
    add_common(parser, json=False)


def top(args: argparse.Namespace, screen: Output) -> int:
    """Show it until somebody has seen enough."""
    site = read_site(args)
    hosts = hosts_to_query(site, args)
    if not screen.can_ask:  # Textual draws on stderr
        raise CommandError(
            "this is no terminal; `hostmanager status --watch` works anywhere. (Over ssh: ssh -t.)"
        )
    if args.privs == "-":
        args.privs = getpass.getpass("Password for the managers: ")
    args.no_wait = args.wrong = False  # what `up` and `status` have besides
    from hostmanager.cli.top.app import TopApp  # noqa: PLC0415 - Textual, only here
    from hostmanager.cli.top.data_source import LiveDataSource  # noqa: PLC0415

    asker = LiveDataSource(site, hosts, args)
    view = TopApp(asker, title=site.path)
    code = view.run(mouse=False)
    for line in asker.finish():
        screen.warn(line)
    return int(view.return_code or 0) if code is None else code


run = command(top)
