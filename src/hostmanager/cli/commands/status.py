"""`hostmanager status`: the status of all agents of the site, and first what is wrong."""

import argparse

from hostmanager.cli.options import add_common, add_selection, make_epilog, seconds
from hostmanager.cli.output import Output, command
from hostmanager.cli.status.result import status_exit_code, status_json
from hostmanager.client.site_model import read_site
from hostmanager.client.status.model import StatusSeverity
from hostmanager.client.status.selection import fetch_status, filter_hosts, hosts_to_query
from hostmanager.util.help_parser import HelpParser

DESCRIPTION = """\
Show the status of the agents of the site. All managers are asked at the same time. What is wrong
comes first, with the reason: how an agent exited, its last output, what is missing, and where
the site config (as read here) and a manager differ. Then a table by host."""

EPILOG = make_epilog(
    before="""\
states:
  up, down     it is up, or down
  starting     it is being launched (wait_start for programs)
  stopping     something of it is still alive (wait_dead)
  restarting   it died, and is started again soon (start_at)
  ?            it cannot be operated, or its manager does not answer
  -            no manager controls it
""",
    done="every agent is at its target, and works as far as is known",
    not_reached="at least one is not, or a manager cannot use its site config",
    interrupted="interrupted; with --watch, q or Ctrl-C ends it with the latest status: 0, 1 or 3",
    examples="""\
  hostmanager status
      the whole site, as $OCS_CONFIG_DIR/default.yaml describes it
  hostmanager status --wrong
      only what is wrong
  hostmanager status --wide
      whether agents answer, and what each uses of its host
  hostmanager status 'fake*' --host daq1 --host daq2
      the agents of two hosts whose ids begin with "fake"
  hostmanager status --class FakeDataAgent --watch
      all agents of a class, live; q ends it
  hostmanager status --json | jq -r '.hosts[].agents[]|select(.severity=="wrong").instance_id'
      the ids of all agents that are not at their target
""",
)


def add_options(parser: HelpParser) -> None:
    """Add the options."""
    add_selection(parser)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--wrong", action="store_true", help="no table, only what is wrong")
    what.add_argument(
        "--wide",
        action="store_true",
        help="a table of health, CPU, memory, threads, files and disk traffic of each agent",
    )
    parser.add_argument(
        "--watch",
        action="store_true",
        help="keep showing it until q or Ctrl-C; without a terminal, a line for each change",
    )
    parser.add_argument(
        "--interval",
        type=seconds,
        default=1.0,
        metavar="SECONDS",
        help="with --watch: time between two updates (default: %(default)g)",
    )
    add_common(parser)


@command
def run(args: argparse.Namespace, output: Output) -> int:
    """Show the status."""
    site = read_site(args, or_copy=True)
    if site.notice:
        output.warn(site.notice)
    names = hosts_to_query(site, args)
    if args.watch:
        from hostmanager.cli.status.watch import watch  # noqa: PLC0415

        return watch(site, names, args, output)
    hosts = filter_hosts(fetch_status(site, args, names), args)
    if not output.json:
        from hostmanager.cli.status.overview import show  # noqa: PLC0415 - rich, not for programs

        show(hosts, output, only_wrong=args.wrong, resources=args.wide)
    least = StatusSeverity.WARNING if args.wrong else StatusSeverity.OK
    return output.emit_json(status_exit_code(hosts), **status_json(site, hosts, least))
