"""`hostmanager run`: the manager itself; every word after it is for the agent."""

import argparse
from typing import Any


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    # No word looks like an option of ours, not even --help: all go on as they are.
    parser = subparsers.add_parser("run", prefix_chars="\0", add_help=False)
    parser.add_argument("words", nargs=argparse.REMAINDER)


def run(args: argparse.Namespace) -> int:
    """Run the manager until it is told to end; exits by itself."""
    from hostmanager.agent.main import main  # noqa: PLC0415 - it begins to work when imported

    main(args.words, prog="hostmanager run")
    return 0
