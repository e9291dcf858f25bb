"""`hostmanager help`: how a command is used."""

import argparse

from hostmanager.cli.exit_codes import CommandError
from hostmanager.cli.output import Output, command
from hostmanager.util.help_parser import HelpParser

DESCRIPTION = """\
Show how a command is used; `hostmanager help status` is the same as `hostmanager status --help`.
Without a COMMAND: what commands there are."""

EPILOG = """\
exit status:
  0  shown
  2  there is no such command

examples:
  hostmanager help restart
"""


def add_options(parser: HelpParser) -> None:
    """Add the options."""
    parser.add_argument("topic", nargs="?", metavar="COMMAND", help="the command")


@command
def run(args: argparse.Namespace, output: Output) -> int:
    """Show the help of a command, or of all."""
    from hostmanager.cli.main import (  # noqa: PLC0415 - it imports this module
        ALIASES,
        COMMANDS,
        command_parser,
        make_main_parser,
        unknown_command,
    )

    if args.topic is None:
        print(make_main_parser().format_help(), end="")
        return 0
    name = ALIASES.get(args.topic, args.topic)
    if name not in COMMANDS:
        raise CommandError(unknown_command(name))
    print(command_parser(name).format_help(), end="")
    return 0
