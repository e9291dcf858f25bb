"""`hostmanager orphans`: containers whose service is gone from its compose file."""

import argparse
from collections.abc import Mapping
from typing import Any

from hostmanager.cli import options
from hostmanager.cli.confirmation import DRY_RUN, confirm, nothing_changed_yet
from hostmanager.cli.exit_codes import FAILED, OK
from hostmanager.cli.host_results import error_code, request_on_all
from hostmanager.cli.output import Output, command
from hostmanager.client.change.stops import Stops, list_hosts
from hostmanager.client.errors import ManagerError
from hostmanager.client.multi_host import TargetManagers, select_managers
from hostmanager.client.site_model import read_site

ORPHANS_TIMEOUT = 60.0
"""Seconds; a container may take 10 s to stop."""

DESCRIPTION = """\
Show the orphans of each host: containers of a managed compose project that run for a service
which is no longer in its compose file. With --remove, they are stopped and removed; containers
of other projects are left alone. More than one is removed only after a question, or with --yes."""

EPILOG = f"""\
{
    options.exit_status_help(
        done="shown; with --remove: none is left",
        not_reached="at least one could not be removed, or a manager does not know",
    )
}
examples:
  hostmanager orphans
  hostmanager orphans --host daq1 --remove
  hostmanager orphans --remove --yes
      from a script, where nobody can answer whether several may be removed
"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = options.new_parser(subparsers, "orphans", DESCRIPTION, EPILOG)
    options.add_hosts(parser)
    parser.add_argument("--remove", action="store_true", help="stop and remove them")
    options.add_change_options(parser, yes_help="do not ask before more than one is removed")
    options.add_timeout(parser, ORPHANS_TIMEOUT, "with --remove: how long each host may take")
    options.add_common(parser)


@command
def run(args: argparse.Namespace, output: Output) -> int:
    """Show them, or have them removed."""
    with nothing_changed_yet():
        targets = select_managers(read_site(args), args)
        code, orphans = _find(targets, args, output)
    content: dict[str, Any] = {
        "orphans": {host: list(by_id.values()) for host, by_id in orphans.items()}
    }
    if not args.remove:
        return output.emit_json(code, **content)
    names = {host: [_service(o) for o in by_id.values()] for host, by_id in orphans.items()}
    stops = Stops("stop and remove", names, noun="orphaned container")
    content |= {"stops": stops.as_json(), "dry_run": args.dry_run}
    if args.dry_run:
        if stops.count:
            output.line(f"would {stops.action}")
        output.line(DRY_RUN)
        return output.emit_json(code, **content)
    confirm(stops, args, output)
    concerned = {host: targets.managers[host] for host, by_id in orphans.items() if by_id}
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


def _find(
    targets: TargetManagers, args: argparse.Namespace, output: Output
) -> tuple[int, dict[str, Mapping[str, Any]]]:
    """Show the orphans of each host; returns the exit status so far, and the orphans by host."""
    sessions = targets.fetch_sessions(args.answer_time)
    code, orphans = OK, dict[str, Mapping[str, Any]]()
    for host in targets.hosts:
        session = sessions[host]
        if isinstance(session, ManagerError):
            output.line(f"! {host}: {session}", "red")
            code = max(code, error_code(session))
        elif session.get("status") != "running":
            output.line(f"! {host}: its manager process is stopped, so this is unknown", "red")
            code = max(code, FAILED)
        else:
            orphans[host] = (session.get("data") or {}).get("orphans") or {}
            _show(host, orphans[host], output)
    return code, orphans


def _service(orphan: Mapping[str, Any]) -> str:
    return str(orphan.get("service"))


def _show(host: str, by_id: Mapping[str, Any], output: Output) -> None:
    if not by_id:
        output.line(f"{host}: no orphans")
    for name, orphan in by_id.items():
        image = f", image {orphan['running_image']}" if orphan.get("running_image") else ""
        output.line(
            f"{host}: {_service(orphan)} (container {str(name)[:12]}{image}), not in "
            f"{orphan.get('compose_file')} any more"
        )
