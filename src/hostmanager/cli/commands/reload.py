"""`hostmanager reload`: have managers read their site config (and compose files) again."""

import argparse

from hostmanager.cli import options
from hostmanager.cli.confirmation import DRY_RUN, confirm, nothing_changed_yet
from hostmanager.cli.host_results import request_on_all
from hostmanager.cli.output import Output, command
from hostmanager.cli.reload_view import MARKS_HELP, reload_error_code, show_reload
from hostmanager.client.change.stops import list_hosts
from hostmanager.client.change.timeouts import TIMEOUTS
from hostmanager.client.managers.multi_host import select_managers
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
        targets = select_managers(read_site(args), args)
        changes = show_reload(targets, args, output)
    plan = {
        "plan": changes.as_json(),
        "stops": changes.stops.as_json(),
        "dry_run": args.dry_run,
    }
    if args.dry_run:
        output.line(DRY_RUN)
        return output.emit_json(reload_error_code(changes), **plan)
    confirm(changes.stops, args, output)
    return request_on_all(
        targets,
        lambda manager: manager.run("update", args.timeout, reload_config=True),
        args,
        output,
        interrupted=f"The managers of {list_hosts(targets.hosts)} go on reading the site config; "
        "`hostmanager diff` shows what they have not applied yet.",
        **plan,
    )
