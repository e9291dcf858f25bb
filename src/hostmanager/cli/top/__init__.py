"""`hostmanager top`: the whole site on one screen, live, with keys to put things right.

`model` (what is shown, in which order) and `format` (how it looks) are pure; `data_source` polls
the managers by threads; `requests` carries out what was requested with keys; `app` is the main
screen, `details` and `screens` are the others, `widgets` their parts. Only `run` imports Textual:
nothing else of HostManager needs it.
"""

import argparse
import getpass
import os

from hostmanager.cli.exit_codes import CommandError
from hostmanager.cli.options import add_common, add_selection, add_timeout, seconds
from hostmanager.cli.output import Output, command
from hostmanager.client.site_model import read_site
from hostmanager.client.status.selection import hosts_to_query
from hostmanager.util.help_parser import HelpParser

REQUEST_TIMEOUT = 60.0
"""Seconds after which an agent that has not reached its target counts as failed."""

DESCRIPTION = """\
Show all hosts and agents on the whole screen, live, and what is wrong first. Keys start, stop and
restart the selected agent, or all of its host, and show its output and its history; `?` lists
them. Each host is polled by itself, so a dead one delays nothing: it is shown with the reason.
Works on any terminal from 80 by 24, over ssh, without a mouse and without colours."""

EPILOG = """\
exit status:
  0    it was ended with q
  2    the command line or the site config makes no sense, or this is not a terminal
  130  it was ended with Ctrl-C

examples:
  hostmanager top
      the whole site; $OCS_CONFIG_DIR/default.yaml describes it
  hostmanager top --host daq1 'acu*'
      some agents of one host
  ssh -t daq1 hostmanager top
      from elsewhere; -t gives it a terminal
"""


def add_options(parser: HelpParser) -> None:
    """Add the options."""
    add_selection(parser)
    parser.add_argument(
        "--interval",
        type=seconds,
        default=1.0,
        metavar="SECONDS",
        help="time between two requests to a host (default: %(default)g)",
    )
    add_timeout(parser, REQUEST_TIMEOUT, "how long to wait for an agent after a request")
    add_common(parser, json=False)


@command
def run(args: argparse.Namespace, output: Output) -> int:
    """Show the screen until the user quits."""
    site = read_site(args)
    hosts = hosts_to_query(site, args)
    if not output.can_ask:  # Textual draws on stderr
        raise CommandError(
            "this is not a terminal; `hostmanager status --watch` works anywhere. (Over ssh: ssh -t.)"
        )
    if os.environ.get("TERM", "dumb") in {"", "dumb", "unknown"}:
        raise CommandError(
            "this terminal cannot be drawn on (TERM is "
            f"{os.environ.get('TERM', '')!r}); `hostmanager status --watch` works anywhere."
        )
    if args.privs == "-":
        args.privs = getpass.getpass("Password for the managers: ")
    args.no_wait = args.wrong = args.wide = False  # options of `up` and `status`
    from hostmanager.cli.top.app import TopApp  # noqa: PLC0415 - Textual, only here
    from hostmanager.cli.top.data_source import LiveDataSource  # noqa: PLC0415

    source = LiveDataSource(site, hosts, args)
    view = TopApp(source, title=site.path)
    code = view.run(mouse=False)
    for line in source.finish():
        output.warn(line)
    return int(view.return_code or 0) if code is None else code
