"""`hostmanager demo`: a small site for a demonstration, removed without a trace afterwards."""

import argparse

from hostmanager.cli.options import number_between, seconds
from hostmanager.util.help_parser import HelpParser

DESCRIPTION = """\
Run a small OCS site on this machine and show what happens in it: a router (crossbar), the
host manager, and agents: a registry, a few that take fake data, one that dies every 5 to 10
seconds and is started again, and one that is configured to be down.

The address of the page for browsers (`hostmanager web`) is printed, and commands to try
in another terminal as soon as all agents are up. On a terminal there is a live table,
elsewhere a line for everything that happens. Everything is in one temporary directory;
Ctrl-C ends the demo and removes it all."""

EPILOG = """\
exit status:
  0  done: the time was over, or it was ended (Ctrl-C, SIGTERM)
  1  something failed; the message says what, with the last output
  2  usage error, or crossbar is missing

examples:
  hostmanager demo
  hostmanager demo --duration 20 --agents 10
  hostmanager demo --duration 20 | cat      the same as plain lines
"""


def add_options(parser: HelpParser) -> None:
    """Add the options."""
    parser.add_argument(
        "--duration",
        type=seconds,
        metavar="SECONDS",
        help="end by itself after this time; default: never",
    )
    parser.add_argument(
        "--agents",
        type=number_between(1, 100),
        default=3,
        metavar="N",
        help="number of agents that take fake data, 1 to 100 (default: %(default)s)",
    )
    parser.add_argument(
        "--port",
        type=number_between(0, 65535),
        default=0,
        metavar="PORT",
        help="TCP port of the router, on 127.0.0.1; default: any that is free",
    )


def run(args: argparse.Namespace) -> int:
    """Run the demo."""
    from hostmanager.cli.status.table import hosts_table  # noqa: PLC0415 - not for --help
    from hostmanager.demo.runner import run_demo  # noqa: PLC0415

    return run_demo(args.duration, args.agents, args.port, hosts_table)
