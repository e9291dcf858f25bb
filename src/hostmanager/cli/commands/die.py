"""`hostmanager die`: end managers, with their agents or without."""

import argparse
from collections.abc import Sequence

from hostmanager.cli import options
from hostmanager.cli.confirmation import DRY_RUN, confirm, nothing_changed_yet
from hostmanager.cli.exit_codes import CommandError
from hostmanager.cli.host_results import report_errors, request_on_all
from hostmanager.cli.output import Output, command
from hostmanager.client.change.die_plan import ManagerEnd, plan_die, stops_of
from hostmanager.client.change.stops import list_hosts
from hostmanager.client.managers.manager_end import end_manager
from hostmanager.client.managers.multi_host import select_managers
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
        targets = select_managers(read_site(args), args)
        sessions = targets.fetch_sessions(args.answer_time)
        ends = plan_die(sessions, disown=args.disown, disown_services=args.disown_dockers)
        _show(ends, output)
    stops = stops_of(ends)
    plan = {
        "plan": [end.as_json() for end in ends],
        "stops": stops.as_json(),
        "dry_run": args.dry_run,
    }
    if args.dry_run:
        output.line(DRY_RUN)
        return output.emit_json(report_errors(sessions, output), **plan)
    confirm(stops, args, output)
    params = {"disown_dockers": args.disown_dockers}
    if args.disown:
        params["disown"] = True  # other managers than ours do not know it
    hosts = list_hosts([end.host for end in ends if not end.error])
    return request_on_all(
        targets,
        lambda manager: end_manager(manager, args.timeout, args.answer_time, params),
        args,
        output,
        interrupted=f"The managers of {hosts} are ending; `hostmanager status` shows when they "
        "are gone.",
        **plan,
    )


def _show(ends: Sequence[ManagerEnd], output: Output) -> None:
    for end in ends:
        if end.error:
            continue  # the result says so
        output.line(f"end the manager of {end.host}")
        if end.stopped:
            output.line(f"  stop: {', '.join(end.stopped)}")
        if end.left:
            output.line(f"  leave running: {', '.join(end.left)}")
