"""`hostmanager orphans`: containers whose service is gone from its compose file."""

import argparse

from hostmanager.cli import options
from hostmanager.cli.confirmation import nothing_changed_yet
from hostmanager.cli.host_results import carry_out, prepared_code
from hostmanager.cli.output import Output, command
from hostmanager.client.change.orphans_plan import prepare_orphans
from hostmanager.client.change.timeouts import TIMEOUTS
from hostmanager.client.site_model import read_site
from hostmanager.util.help_parser import HelpParser

DESCRIPTION = """\
Show the orphans of each host: containers of a managed compose project that run for a service
which is no longer in its compose file. With --remove, they are stopped and removed; containers
of other projects are left alone. More than one is removed only after a question, or with --yes."""

EPILOG = options.make_epilog(
    done="shown; with --remove: none is left",
    not_reached="at least one could not be removed, or a manager does not know",
    examples="""\
  hostmanager orphans
  hostmanager orphans --host daq1 --remove
  hostmanager orphans --remove --yes
      from a script, where nobody can answer whether several may be removed
""",
)


def add_options(parser: HelpParser) -> None:
    """Add the options."""
    options.add_hosts(parser)
    parser.add_argument("--remove", action="store_true", help="stop and remove them")
    options.add_change_options(parser, yes_help="do not ask before more than one is removed")
    options.add_timeout(parser, TIMEOUTS["orphans"], "with --remove: how long each host may take")
    options.add_common(parser)


@command
def run(args: argparse.Namespace, output: Output) -> int:
    """Show the orphans, or remove them."""
    with nothing_changed_yet():
        change = prepare_orphans(read_site(args), args)
        output.plan(change.lines)
    if not args.remove:
        return output.emit_json(prepared_code(change), orphans=change.content["orphans"])
    if args.dry_run and change.hosts:
        output.line(f"would {change.title}")
    see_also = "`hostmanager orphans` shows what is left."
    return carry_out(change, args, output, see_also=see_also)
