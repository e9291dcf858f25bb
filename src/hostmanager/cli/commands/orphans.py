"""`hostmanager orphans`: containers whose service is gone from its compose file."""

import argparse
from typing import Any

from hostmanager.cli import options
from hostmanager.cli.confirmation import DRY_RUN, confirm, nothing_changed_yet
from hostmanager.cli.exit_codes import FAILED, OK
from hostmanager.cli.host_results import error_code, request_on_all
from hostmanager.cli.output import Output, command
from hostmanager.client.change.orphans_plan import site_orphans
from hostmanager.client.change.stops import list_hosts
from hostmanager.client.change.timeouts import TIMEOUTS
from hostmanager.client.managers.multi_host import TargetManagers, select_managers
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
        targets = select_managers(read_site(args), args)
        orphans = site_orphans(targets.hosts, targets.fetch_sessions(args.answer_time))
        output.plan(orphans.lines())
    code = max((OK, *map(error_code, orphans.errors.values())))
    if orphans.stopped:
        code = max(code, FAILED)
    by_host = {host: list(by_id.values()) for host, by_id in orphans.by_host.items()}
    content: dict[str, Any] = {"orphans": by_host}
    if not args.remove:
        return output.emit_json(code, **content)
    stops = orphans.stops
    content |= {"stops": stops.as_json(), "dry_run": args.dry_run}
    if args.dry_run:
        if stops.count:
            output.line(f"would {stops.action}")
        output.line(DRY_RUN)
        return output.emit_json(code, **content)
    confirm(stops, args, output)
    concerned = {host: targets.managers[host] for host, by_id in by_host.items() if by_id}
    removing = TargetManagers(targets.site, list(concerned), concerned)
    return request_on_all(
        removing,
        lambda manager: manager.run("remove_orphans", args.timeout),
        args,
        output,
        interrupted=f"Orphans are still being removed on {list_hosts(list(concerned))}; "
        "`hostmanager orphans` shows what is left.",
        code=code,
        **content,
    )
