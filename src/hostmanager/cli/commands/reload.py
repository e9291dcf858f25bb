"""`hostmanager reload`: have managers read their site config (and compose files) again."""

import argparse
from typing import Any

from hostmanager.cli.exit_codes import FAILED, CommandError
from hostmanager.cli.host_results import report_results
from hostmanager.cli.options import (
    add_common,
    add_hosts,
    add_timeout,
    exit_status_help,
    new_parser,
)
from hostmanager.cli.output import Output, command
from hostmanager.client.errors import ManagerError
from hostmanager.client.multi_host import TargetManagers, run_on_all, select_managers
from hostmanager.client.reload_diff import stopping_changes
from hostmanager.client.site_model import read_site
from hostmanager.util.text import pluralize

RELOAD_TIMEOUT = 30.0
"""Seconds: a manager asks in a process of its own which agent classes are installed."""

DESCRIPTION = """\
Have the managers read the site config again, as it is on their hosts, and follow what has
changed: new agents are started, those that are gone from it are stopped and removed, and all
others are left alone; `hostmanager diff` shows in advance what will happen. If running agents would
be stopped, by the site config as it is read here, there is a question first. Errors in the file
are shown with line and column, and change nothing."""

EPILOG = f"""\
{
    exit_status_help(
        done="all have read it, without errors",
        not_reached="at least one found an error, or its manager process is stopped",
    )
}
examples:
  hostmanager diff && echo nothing to do || hostmanager reload
  hostmanager reload --host daq1
  hostmanager reload --yes
      from a script, where nobody can answer whether agents may be stopped
"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = new_parser(subparsers, "reload", DESCRIPTION, EPILOG)
    add_hosts(parser)
    parser.add_argument(
        "--yes", "-y", action="store_true", help="do not ask before agents are stopped"
    )
    add_timeout(parser, RELOAD_TIMEOUT, "how long each may take")
    add_common(parser)


@command
def run(args: argparse.Namespace, output: Output) -> int:
    """Have it read again."""
    targets = select_managers(read_site(args), args)
    if not args.yes:
        _confirm(targets, args, output)
    results = run_on_all(
        targets,
        lambda manager: manager.run("update", args.timeout, reload_config=True),
        args.answer_time,
        args.timeout + args.answer_time,
    )
    return report_results(results, output)


def _confirm(targets: TargetManagers, args: argparse.Namespace, output: Output) -> None:
    """Ask before running agents are stopped; a slip in the file may be why.

    Raises:
        CommandError: The answer is no, or there is no terminal.
    """
    sessions = targets.fetch_sessions(args.answer_time)
    lines = [
        f"{host}: {change.instance_id}: {change.text}"
        for host, session in sessions.items()
        if not isinstance(session, ManagerError)
        for change in stopping_changes(targets.site.hosts[host], session)
    ]
    if not lines:
        return
    for line in lines:
        output.warn(line)
    effect = f"This would stop {pluralize(len(lines), 'agent')}."
    if not output.can_ask:
        raise CommandError(f"{effect} Use --yes if that is intended. Nothing was done.")
    if not output.ask(f"{effect} Continue?"):
        raise CommandError("Nothing was done.", FAILED)
