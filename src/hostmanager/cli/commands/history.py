"""`hostmanager history`: who requested what, and what exited when, on all hosts."""

import argparse
import time
from collections.abc import Sequence
from typing import Any

from rich.text import Text

from hostmanager.cli import options
from hostmanager.cli.exit_codes import FAILED, OK, CommandError
from hostmanager.cli.host_results import error_code
from hostmanager.cli.output import Output, command
from hostmanager.client.errors import require_router
from hostmanager.client.history.journal_reader import (
    ENTRY_KINDS,
    JournalQuery,
    SiteJournals,
    read_journals,
)
from hostmanager.client.managers.credentials import make_clients
from hostmanager.client.site_model import Site, read_site
from hostmanager.client.status.selection import matches, select_hosts, suggestions
from hostmanager.client.text import format_time, sanitize
from hostmanager.util.help_parser import HelpParser

ENTRIES = 50
MAX_ENTRIES = 10_000
"""Entries that are shown with --since by default."""

MAX_TEXT = 500
"""Characters of an entry that are shown."""

KIND_STYLES = {
    "request": "cyan",
    "result": "cyan",
    "exit": "red",
    "launch": "green",
    "manager": "magenta",
    "journal": "yellow",
    "router": "yellow",
    "reload": "cyan",
    "output": "dim",
}

DESCRIPTION = """\
Show what happened, the newest last: who requested what and with which result, what was started,
what exited and how, when a manager itself started or ended. Every manager keeps a journal of
its host; the journals of all hosts are merged by time. A crash loop is one line; --no-fold shows
each launch. Ages and --since count by the clock of each manager, not by the one here."""

EPILOG = options.make_epilog(
    before="""\
kinds:
  request, result   what somebody requested, who (user@host as the client said, its credential
                    level by OCS) and why; its result
  launch, exit      an agent was started; it exited, with code or signal
  output            its last output
  state             its state changed
  health            whether it answers, and how its operations are, changed
  router            the connection to the router was lost, or is back
  reload            the site config was read
  manager           the manager itself started, ended, or had been killed
  journal           a fault of the journal itself
""",
    done="shown",
    not_reached="a manager could not read its journal; the message says why",
    examples=f"""\
  hostmanager history
      the last {ENTRIES} events of the site
  hostmanager history acu1 --since 1d
      what happened to acu1 since yesterday
  hostmanager history --since 03:00 --kind exit --kind request
      what exited in the night, and what was requested
""",
)


def add_options(parser: HelpParser) -> None:
    """Add the options."""
    parser.add_argument(
        "pattern",
        nargs="*",
        metavar="PATTERN",
        help="instance-ids, or patterns of them in quotes; agents of the past, too",
    )
    options.add_hosts(parser)
    parser.add_argument(
        "--kind",
        action="append",
        choices=ENTRY_KINDS,
        metavar="KIND",
        help=f"only entries of this kind: {', '.join(ENTRY_KINDS)}; may be repeated",
    )
    parser.add_argument(
        "-n",
        "--lines",
        type=options.line_count,
        metavar="N",
        help=f"the newest N entries (default: {ENTRIES}; with --since: {MAX_ENTRIES})",
    )
    parser.add_argument(
        "--no-fold",
        "--all",
        action="store_true",
        help="each launch and exit of a crash loop, not one line for all of them",
    )
    options.add_since(parser, "what happened")
    options.add_common(parser)


@command
def run(args: argparse.Namespace, output: Output) -> int:
    """Show what happened."""
    site = read_site(args, or_copy=True)
    if site.notice:
        output.warn(site.notice)
    hosts = select_hosts(site, args.host)
    managers = make_clients(site, args, hosts)
    if not managers:
        raise CommandError("none of these hosts has a manager.")
    limit = int(args.lines or (MAX_ENTRIES if args.since is not None else ENTRIES))
    query = JournalQuery(args.pattern, args.kind or (), args.since, limit, args.lines is None)
    folds = not (output.json or args.no_fold)
    journals = read_journals(managers, query, args.answer_time, folds=folds)
    require_router(list(journals.results.values()))
    code, entries = _warn_of_missing(journals, output), journals.lines()
    _require_known(site, hosts, args.pattern, entries)
    entries = entries[-limit:]
    if not output.json:
        if not entries and code == OK:
            output.line("no events")
        _show(entries, output, with_output=bool(args.pattern))
    return output.emit_json(code, entries=entries)


def _warn_of_missing(journals: SiteJournals, output: Output) -> int:
    """Print what is wrong with a journal, or missing; returns the exit status for that."""
    for host, error in journals.errors.items():
        output.warn(f"{host}: {error}")
    for host, part in journals.parts:
        for text in filter(None, (part.error, part.note)):
            output.warn(f"{host}: {text}")
    codes = [error_code(error) for error in journals.errors.values()]
    return max([OK, *codes, *(FAILED for _, part in journals.parts if part.error)])


def _require_known(
    site: Site, hosts: Sequence[str], patterns: Sequence[str], entries: Sequence[dict[str, Any]]
) -> None:
    """Check for typing errors: every pattern matches an agent of the site config or a journal.

    Raises:
        CommandError: One of them does not.
    """
    configured = [name for host in hosts for name in site.hosts[host].entries]
    recorded = {str(entry["instance_id"]) for entry in entries}
    for pattern in patterns:
        if not any(matches(name, [pattern]) for name in (*configured, *recorded)):
            hint = suggestions(pattern, configured)
            raise CommandError(f"there is no agent {pattern!r}, nor is one in a journal.{hint}")


def _show(entries: Sequence[dict[str, Any]], output: Output, *, with_output: bool) -> None:
    now = time.time()
    host_width = max((len(entry["host"]) for entry in entries), default=0)
    name_width = max((len(entry["instance_id"] or "") for entry in entries), default=0)
    for entry in entries:
        kind = entry["kind"]
        text = Text().append(f"{format_time(entry['time'], now)} ", "dim")
        text.append(f"{entry['host']:{host_width}} ", "dim")
        text.append(f"{entry['instance_id'] or '':{name_width}} ", "bold")
        text.append(f"{kind:7} ", KIND_STYLES.get(kind, ""))
        is_folded = "folded" in entry["data"]
        has_lines = with_output and (kind == "output" or is_folded)
        lines = entry["data"].get("lines", ()) if has_lines else ()
        message = sanitize(str(entry["text"]))
        if len(message) >= MAX_TEXT:
            message = message[: MAX_TEXT - 1] + "…"
        output.line(text.append("last output:" if lines and not is_folded else message))
        for line in lines:
            output.line(Text().append(f"    | {sanitize(str(line))}", "dim"))
