"""`hostmanager die`: end managers, with their agents or without."""

import argparse

from hostmanager.cli import options
from hostmanager.cli.confirmation import nothing_changed_yet
from hostmanager.cli.exit_codes import CommandError
from hostmanager.cli.host_results import carry_out
from hostmanager.cli.output import Output, command
from hostmanager.client.change.die_plan import prepare_die
from hostmanager.client.site_model import read_site
from hostmanager.util.help_parser import HelpParser

DIE_TIMEOUT = 60.0
"""Seconds; agents may take 15 s to stop."""

DESCRIPTION = """\
End the managers of hosts: each stops all of its agents and then ends itself; it can be started
again only on its host (by systemd, if it is a service there). With --disown, all agents are
left running, and the next manager of the host adopts them as they are: for an upgrade that no
agent notices. What will happen is shown first, and there is a question; where there is no
terminal, --yes is needed."""

EPILOG = options.make_epilog(
    done="they have ended, and so have the agents that were to end",
    not_reached="something could not be ended, or a manager refuses; the message says why",
    examples="""\
  hostmanager die --host daq1
      all agents of daq1, and its manager
  hostmanager die --all --dry-run
      what would be stopped on each host
  hostmanager die --host daq1 --disown
      the manager alone; then install the new version, and start it
""",
)


def add_options(parser: HelpParser) -> None:
    """Add the options."""
    group = parser.add_argument_group("which hosts")
    options.add_hosts(group)
    group.add_argument("--all", action="store_true", help="the managers of all hosts")
    parser.add_argument("--disown", action="store_true", help="leave all agents running")
    parser.add_argument(
        "--disown-dockers", action="store_true", help="leave compose services running"
    )
    options.add_change_options(parser, yes_help="do not ask before managers are ended")
    options.add_timeout(parser, DIE_TIMEOUT, "how long each may take")
    options.add_common(parser)


@command
def run(args: argparse.Namespace, output: Output) -> int:
    """End the managers."""
    if bool(args.host) == args.all:
        raise CommandError("name at least one host: --host HOST (may be repeated), or --all.")
    with nothing_changed_yet():
        change = prepare_die(read_site(args), args)
        output.plan(change.lines)
    see_also = "`hostmanager status` shows when they are gone."
    return carry_out(change, args, output, see_also=see_also)
