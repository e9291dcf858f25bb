"""`hostmanager version`: which version this is."""

import argparse
from typing import Any

from hostmanager import __version__
from hostmanager.cli.output import Output, command

DESCRIPTION = "Show which version this is; the same as `hostmanager --version`."

EPILOG = """\
exit status:
  0  shown

examples:
  hostmanager version
"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    subparsers.add_parser("version", description=DESCRIPTION, epilog=EPILOG)


@command
def run(_: argparse.Namespace, output: Output) -> int:
    """Show it."""
    output.line(f"hostmanager {__version__}")
    return 0
