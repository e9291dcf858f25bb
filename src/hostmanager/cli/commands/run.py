"""`hostmanager run`: the manager itself; every word after it is for the agent."""

import argparse
from typing import Any


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    # No argument is an option of this parser, not even --help: all are passed on.
    parser = subparsers.add_parser("run", prefix_chars="\0", add_help=False)
    parser.add_argument("words", nargs=argparse.REMAINDER)


def run(args: argparse.Namespace) -> int:
    """Run the manager until it is stopped; exits by itself."""
    from hostmanager.agent.main import main  # noqa: PLC0415 - it begins to work when imported

    main(args.words, prog="hostmanager run")
    return 0
