"""`hostmanager demo`: a whole little site to look at, gone without a trace afterwards."""

import argparse
from typing import Any

DESCRIPTION = """\
Bring up a whole little OCS site on this machine, and show what goes on in it: a router
(crossbar), the host manager, and agents: a registry, a few that take fake data, one that
dies every 5 to 10 seconds and is brought back, and one that is configured to be down.

Commands to try in another terminal are printed as soon as all agents are up. On a
terminal there is a live table, elsewhere a line for everything that happens. Everything
is in one temporary folder; Ctrl-C ends the demo and removes it all."""

EPILOG = """\
exit status:
  0  done: the time was over, or it was told to end (Ctrl-C, SIGTERM)
  1  something failed; it is said what, with the last output
  2  usage error, or crossbar is missing

examples:
  hostmanager demo
  hostmanager demo --duration 20 --agents 10
  hostmanager demo --duration 20 | cat      the same as plain lines
"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "demo",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--duration",
        type=_seconds,
        metavar="SECONDS",
        help="end by itself after this time; default: only when told to",
    )
    parser.add_argument(
        "--agents",
        type=_count,
        default=3,
        metavar="N",
        help="number of agents that take fake data, 1 to 100 (default: %(default)s)",
    )
    parser.add_argument(
        "--port",
        type=_port,
        default=0,
        metavar="PORT",
        help="TCP port of the router, on 127.0.0.1; default: any that is free",
    )


def run(args: argparse.Namespace) -> int:
    """Run the demo."""
    from hostmanager.demo.runner import run_demo  # noqa: PLC0415 - not for --help

    return run_demo(args.duration, args.agents, args.port)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return value


def _count(text: str) -> int:
    return _whole_number(text, 1, 100)


def _port(text: str) -> int:
    return _whole_number(text, 0, 65535)


def _whole_number(text: str, least: int, most: int) -> int:
    if not text.isascii() or not text.isdigit() or not least <= int(text) <= most:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {least} to {most}")
    return int(text)
