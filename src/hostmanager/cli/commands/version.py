"""`hostmanager version`: which version this is."""

import argparse

from hostmanager import __version__
from hostmanager.cli.output import Output, command
from hostmanager.util.help_parser import HelpParser

DESCRIPTION = "Show which version this is; the same as `hostmanager --version`."

EPILOG = """\
exit status:
  0  shown

examples:
  hostmanager version
"""


def add_options(_: HelpParser) -> None:
    """It has none."""


@command
def run(_: argparse.Namespace, output: Output) -> int:
    """Show the version."""
    output.line(f"hostmanager {__version__}")
    return 0
