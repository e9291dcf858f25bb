"""`hostmanager up`: start agents."""

from typing import Any

from hostmanager.cli.change_command import add_change_parser, run_change

DESCRIPTION = """\
Start agents: set their target to up, and wait until they are up. An agent counts as up when it
has been up for 2 seconds, since many die in the first. One that died and waits to be started
again is started at once."""

EXAMPLES = """\
  hostmanager up fake1
  hostmanager up 'fake*' acu1 --timeout 2m
      all whose ids begin with "fake", and acu1
  hostmanager up --host daq1 --all
      everything on daq1
  hostmanager up --class FakeDataAgent --dry-run
      show which agents of the class would be started
"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    yes_help = "for scripts that give it to every command: nothing is asked here"
    add_change_parser(subparsers, "up", DESCRIPTION, yes_help=yes_help, examples=EXAMPLES)


run = run_change
