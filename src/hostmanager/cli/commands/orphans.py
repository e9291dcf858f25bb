"""`hostmanager orphans`: containers whose service is gone from its compose file."""

import argparse
from collections.abc import Mapping
from typing import Any

from hostmanager.cli.exit_codes import FAILED, OK, UNREACHABLE
from hostmanager.cli.options import add_common, add_hosts, exit_status_help, new_parser, seconds
from hostmanager.cli.output import Output, command
from hostmanager.client.manager_client import FailureKind, ManagerError, run_parallel
from hostmanager.client.multi_host import (
    TargetManagers,
    as_json,
    exit_code,
    print_results,
    require_router,
    run_on_all,
    select_managers,
)
from hostmanager.client.site_model import read_site

TIMEOUT = 60.0
"""Seconds; a container may take 10 s to stop."""

DESCRIPTION = """\
Show the orphans of each host: containers of a managed compose project that run for a service
which is no longer in its compose file. With --remove, they are stopped and removed; containers
of other projects are left alone."""

EPILOG = f"""\
{
    exit_status_help(
        done="shown; with --remove: none is left",
        not_reached="at least one could not be removed, or a manager could not tell",
    )
}
examples:
  hostmanager orphans
  hostmanager orphans --host daq1 --remove
"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = new_parser(subparsers, "orphans", DESCRIPTION, EPILOG)
    add_hosts(parser)
    parser.add_argument("--remove", action="store_true", help="stop and remove them")
    parser.add_argument(
        "--timeout",
        type=seconds,
        default=TIMEOUT,
        metavar="TIME",
        help="with --remove: how long each host may take (default: %(default)g s)",
    )
    add_common(parser)


def orphans(args: argparse.Namespace, screen: Output) -> int:
    """Show them, or have them removed."""
    who = select_managers(read_site(args), args)
    answers = run_parallel({h: man.session for h, man in who.managers.items()}, args.answer_time)
    require_router(answers)
    code, found = OK, {}
    for host in who.hosts:
        answer = answers[host]
        if isinstance(answer, ManagerError):
            screen.line(f"! {host}: {answer}", "red")
            code = max(code, FAILED if answer.kind is FailureKind.REFUSED else UNREACHABLE)
        elif answer.get("status") != "running":
            screen.line(f"! {host}: its manager was told to stop, so it does not know", "red")
            code = max(code, FAILED)
        else:
            found[host] = (answer.get("data") or {}).get("orphans") or {}
            _show(host, found[host], screen)
    told = {host: list(by_id.values()) for host, by_id in found.items()}
    if not args.remove:
        return screen.emit_json(code, orphans=told)
    some = [host for host in found if found[host]]
    crew_with = TargetManagers(who.site, some, {host: who.managers[host] for host in some})
    removed = run_on_all(
        crew_with,
        lambda man: lambda: man.run("remove_orphans", args.timeout),
        args.answer_time,
        args.timeout + args.answer_time,
    )
    print_results(removed, screen)
    return screen.emit_json(max(code, exit_code(removed)), orphans=told, hosts=as_json(removed))


def _show(host: str, by_id: Mapping[str, Any], screen: Output) -> None:
    if not by_id:
        screen.line(f"{host}: no orphans")
    for name, orphan in by_id.items():
        image = f", image {orphan['running_image']}" if orphan.get("running_image") else ""
        screen.line(
            f"{host}: {orphan.get('service')} (container {str(name)[:12]}{image}), not in "
            f"{orphan.get('compose_file')} any more"
        )


run = command(orphans)
