"""`hostmanager diff`: what a reload would do, host by host."""

import argparse
from collections.abc import Sequence
from typing import Any

from hostmanager.cli.exit_codes import FAILED, OK
from hostmanager.cli.host_results import error_code
from hostmanager.cli.options import add_common, add_hosts, exit_status_help, new_parser
from hostmanager.cli.output import Output, command
from hostmanager.client.errors import ManagerError
from hostmanager.client.multi_host import select_managers
from hostmanager.client.reload_diff import ReloadChange, reload_changes
from hostmanager.client.site_model import read_site

DESCRIPTION = """\
Show what a reload of the site config would do on each host: the site config as it is read here,
compared with what each manager knows now. If the hosts have copies of the file, each manager reads
its own. Nothing is changed."""

EPILOG = f"""\
marks:
  +   new: it would be added, and started unless its entry says down
  -   gone, or ignored now: it would be stopped and removed
  ~   other class or kind: the old one would be stopped, then the new one started
  *   other settings: it keeps running as it is until it is restarted
  !   broken: an entry, whose agent would be left as it is; or the whole host

{exit_status_help(done="a reload would change nothing", not_reached="it would change something")}
examples:
  hostmanager diff
  hostmanager diff --host daq1 --site-file new-site.yaml
      what a new version of the file would do to daq1
"""

CHANGE_MARKS = {"add": "+", "stop": "-", "replace": "~", "change": "*", "broken": "!"}
CHANGE_STYLES = {
    "add": "green",
    "stop": "red",
    "replace": "yellow",
    "change": "cyan",
    "broken": "bold red",
}


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = new_parser(subparsers, "diff", DESCRIPTION, EPILOG)
    add_hosts(parser)
    add_common(parser)


@command
def run(args: argparse.Namespace, output: Output) -> int:
    """Show it."""
    site = read_site(args)
    targets = select_managers(site, args)
    sessions = targets.fetch_sessions(args.answer_time)
    code, hosts = OK, []
    for host in targets.hosts:
        session = sessions[host]
        if isinstance(session, ManagerError):
            output.line(f"! {host}: {session}", "red")
            code = max(code, error_code(session))
            hosts.append({"host": host, "answers": False, "text": str(session), "changes": []})
            continue
        changes = reload_changes(site.hosts[host], session)
        code = max(code, FAILED if changes else OK)
        _show(host, changes, output)
        content = [change.as_json() for change in changes]
        hosts.append({"host": host, "answers": True, "text": "", "changes": content})
    return output.emit_json(code, site_file=site.path, hosts=hosts)


def _show(host: str, changes: Sequence[ReloadChange], output: Output) -> None:
    if not changes:
        output.line(f"{host}: no change")
        return
    output.line(f"{host}:", "bold")
    for change in changes:
        name = f"{change.instance_id} " if change.what != "broken" else ""
        output.line(
            f"  {CHANGE_MARKS[change.what]} {name}{change.text}", CHANGE_STYLES[change.what]
        )
