"""`hostmanager reload`: have managers read their site config (and compose files) again."""

import argparse

from hostmanager.cli import options
from hostmanager.cli.confirmation import nothing_changed_yet
from hostmanager.cli.host_results import carry_out
from hostmanager.cli.output import Output, command
from hostmanager.client.change.reload_plan import MARKS_HELP, prepare_reload
from hostmanager.client.change.timeouts import TIMEOUTS
from hostmanager.client.site_model import read_site
from hostmanager.util.help_parser import HelpParser

DESCRIPTION = """\
Have the managers read the site config again, as it is on their hosts, and follow what has
changed: new agents are started, those that are gone from it are stopped and removed, and all
others are left alone. What will happen is shown first, by the site config as it is read here:
what is new, gone, and changed from what to what. If agents that run would be stopped, there is a
question; where there is no terminal, --yes is needed. Errors in the file are shown with line and
column, and change nothing."""

EPILOG = options.make_epilog(
    before=MARKS_HELP,
    done="all have read it, without errors",
    not_reached="at least one found an error, or its manager process is stopped",
    examples="""\
  hostmanager diff && echo nothing to do || hostmanager reload
  hostmanager reload --host daq1
  hostmanager reload --dry-run
      what would be started, stopped, kept, and what needs a restart
  hostmanager reload --yes
      from a script, where nobody can answer whether agents may be stopped
""",
)


def add_options(parser: HelpParser) -> None:
    """Add the options."""
    options.add_hosts(parser)
    options.add_change_options(parser, yes_help="do not ask before agents are stopped")
    options.add_timeout(parser, TIMEOUTS["reload"], "how long each may take")
    options.add_common(parser)


@command
def run(args: argparse.Namespace, output: Output) -> int:
    """Show what a reload would change, and reload."""
    with nothing_changed_yet():
        change = prepare_reload(read_site(args), args)
        output.plan(change.lines)
    see_also = "`hostmanager diff` shows what they have not applied yet."
    return carry_out(change, args, output, see_also=see_also)
