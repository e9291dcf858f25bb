"""`hostmanager pull`: have managers pull the images of their compose files."""

import argparse

from hostmanager.cli import options
from hostmanager.cli.confirmation import nothing_changed_yet
from hostmanager.cli.host_results import carry_out
from hostmanager.cli.output import Output, command
from hostmanager.client.change.pull_plan import prepare_pull
from hostmanager.client.change.timeouts import TIMEOUTS
from hostmanager.client.site_model import read_site
from hostmanager.util.help_parser import HelpParser

DESCRIPTION = """\
Have the managers pull the images that their compose files name, all hosts at the same time, and
show the progress. Running containers are left as they are: `hostmanager status` shows which
would run another image after `hostmanager restart`. Ctrl-C ends the waiting, not the pulling."""

EPILOG = options.make_epilog(
    done="all images were pulled",
    not_reached="at least one was not; the message says which and why",
    examples="""\
  hostmanager pull --host daq1
  hostmanager pull --dry-run
      which images of which compose files, and which are missing
  hostmanager pull && hostmanager status --wrong
      pull everything, then see what needs a restart
""",
)


def add_options(parser: HelpParser) -> None:
    """Add the options."""
    options.add_hosts(parser)
    options.add_change_options(parser, yes_help="")
    options.add_timeout(parser, TIMEOUTS["pull"], "how long each host may take")
    options.add_common(parser)


@command
def run(args: argparse.Namespace, output: Output) -> int:
    """Pull the images."""
    with nothing_changed_yet():
        change = prepare_pull(read_site(args), args)
    if args.dry_run or not change.hosts:
        output.plan(change.lines)
    see_also = "`hostmanager pull` shows their progress."
    return carry_out(change, args, output, see_also=see_also)
