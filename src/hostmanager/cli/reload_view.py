"""What a reload would do, as `diff` and `reload` show it."""

import argparse

from hostmanager.cli.exit_codes import FAILED, OK
from hostmanager.cli.host_results import error_code
from hostmanager.cli.output import Output
from hostmanager.client.change.reload_plan import SiteChanges, fetch_site_changes
from hostmanager.client.managers.multi_host import TargetManagers

MARKS_HELP = """\
marks:
  +   new: it would be added, and started unless its entry says down
  -   gone, or ignored now: it would be stopped and removed
  ~   other class or kind: the old one would be stopped, then the new one started
  *   other arguments or settings: it keeps running as it is until it is restarted
  !   broken: an entry, whose agent would be left as it is; or the whole host
"""


def show_reload(targets: TargetManagers, args: argparse.Namespace, output: Output) -> SiteChanges:
    """Show what a reload would do on each host, by the site config as it is read here."""
    changes = fetch_site_changes(targets, args.answer_time)
    output.plan(changes.lines())
    return changes


def reload_error_code(changes: SiteChanges) -> int:
    """The exit status for managers that do not answer, and files that cannot be used."""
    codes = [error_code(error) for error in changes.errors.values()]
    return max((FAILED if changes.is_broken else OK, *codes))
