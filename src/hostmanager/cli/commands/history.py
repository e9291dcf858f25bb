"""`hostmanager history`: who asked for what, what died when, on all hosts."""

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from rich.text import Text

from hostmanager.cli.exit_codes import FAILED, OK, UNREACHABLE, CommandError
from hostmanager.cli.options import (
    add_common,
    add_hosts,
    add_since,
    exit_status_help,
    new_parser,
    whole_number,
)
from hostmanager.cli.output import Output, command
from hostmanager.cli.text import format_time, sanitize
from hostmanager.client.manager_client import (
    FailureKind,
    ManagerClient,
    ManagerError,
    OperationResult,
    make_clients,
    run_parallel,
    within,
)
from hostmanager.client.site_model import Site, read_site
from hostmanager.client.status.selection import is_pattern, matches, select_hosts, suggestions

ENTRIES = 50
MOST = 10_000
"""Entries that are shown with --since, unless told."""

TOO_LARGE = "would have made the answer too large"
"""What managers of before there were pages say when they have cut an answer."""

STYLES = {
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
Show what happened, the newest last: who asked for what and what came of it, what was started,
what ended and how, when a manager itself started or ended. Every manager keeps a journal of
its host; those of all hosts are merged by time."""

EPILOG = f"""\
kinds:
  request, result   what somebody asked for, with the credential level; what came of it
  launch, exit      an agent was started; it ended, with code or signal
  output            its last lines
  state             its state changed
  reload            the site config was read
  manager           the manager itself started, ended, or had been killed
  journal           of the journal itself

{exit_status_help(done="shown", not_reached="a manager could not read its journal; it was said why")}
examples:
  hostmanager history
      the last {ENTRIES} things that happened at the site
  hostmanager history acu1 --since 1d
      what became of acu1 since yesterday
  hostmanager history --since 03:00 --kind exit --kind request
      what died in the night, and what somebody asked for
"""

KINDS = (
    *("manager", "request", "result", "reload", "launch", "exit", "state", "output"),
    *("router", "journal"),
)


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = new_parser(subparsers, "history", DESCRIPTION, EPILOG)
    parser.add_argument(
        "pattern",
        nargs="*",
        metavar="PATTERN",
        help="instance-ids, or patterns of them in quotes; agents of the past, too",
    )
    add_hosts(parser)
    parser.add_argument(
        "--kind", action="append", choices=KINDS, help="only entries of this kind; may be repeated"
    )
    parser.add_argument(
        "-n",
        "--lines",
        type=whole_number,
        metavar="N",
        help=f"the newest N entries (default: {ENTRIES}; with --since: {MOST})",
    )
    add_since(parser, "what happened")
    add_common(parser)


def history(args: argparse.Namespace, screen: Output) -> int:
    """Show what happened."""
    site = read_site(args)
    hosts = select_hosts(site, args.host)
    asked = make_clients(site, args, hosts)
    if not asked:
        raise CommandError("none of these hosts has a manager.")
    work = {host: _asking(manager, args) for host, manager in asked.items()}
    answers = run_parallel(work, None)  # each page of each has its time
    troubles = [error for error in answers.values() if isinstance(error, ManagerError)]
    if len(troubles) == len(asked) and all(error.kind is FailureKind.ROUTER for error in troubles):
        raise CommandError(troubles[0].sentences, UNREACHABLE)
    code, entries = _collect(answers, screen)
    _insist(site, hosts, args, entries)
    chosen = sorted(entries, key=lambda entry: entry["time"])[-_limit(args) :]
    if not screen.json:
        if not chosen and code == OK:
            screen.line("nothing happened")
        _show(chosen, screen, whole=bool(args.pattern))
    return screen.emit_json(code, entries=chosen)


def _limit(args: argparse.Namespace) -> int:
    return int(args.lines or (MOST if args.since is not None else ENTRIES))


@dataclass(frozen=True, slots=True)
class Found:
    """What one manager knows.

    Attributes:
        entries: The newest that were asked for, the newest last.
        trouble: What is wrong with its journal; empty: nothing.
        cut: Why there may be older ones that are not here; empty: there are none that count.
    """

    entries: list[dict[str, Any]]
    trouble: str = ""
    cut: str = ""


def _asking(manager: ManagerClient, args: argparse.Namespace) -> Callable[[], list[Found]]:
    """Ask page by page, until there is as much as can be shown."""
    named = [word for word in args.pattern if not is_pattern(word)]
    whose: list[str | None] = [None]
    if named and len(named) == len(args.pattern):
        whose = [*named]
    return lambda: [_pages(manager, args, name) for name in whose]


def _pages(manager: ManagerClient, args: argparse.Namespace, name: str | None) -> Found:
    chosen: list[dict[str, Any]] = []
    place: dict[str, Any] = {}
    limit = _limit(args)
    # What is picked here can be rare.
    size = MOST if args.kind or (args.pattern and name is None) else min(limit, MOST)
    params = {"instance_id": name, "limit": size, "since": args.since}
    while True:
        ask = partial(manager.run, "history", args.answer_time, **params, **place)
        reply = within(args.answer_time, ask)
        page = reply.data.get("entries", [])
        chosen = [entry for entry in page if _is_chosen(entry, args)] + chosen
        trouble = str(reply.data.get("trouble") or ("" if reply.ok else reply.text))
        older = reply.data.get("older")
        if trouble or older is None or not page or len(chosen) >= limit:
            return Found(chosen[-limit:], trouble, _cut(reply, chosen, limit, args))
        place = {"before": older}


def _cut(
    reply: OperationResult, chosen: Sequence[dict[str, Any]], limit: int, args: argparse.Namespace
) -> str:
    if TOO_LARGE in reply.text:  # a manager of before there were pages
        return f"{reply.text} Ask for less: an agent, --kind or --since."
    more = reply.data.get("older") is not None or len(chosen) > limit
    if more and args.lines is None and args.since is not None:
        return f"these are the newest {limit} entries; -n {10 * limit} shows more."
    return ""


def _collect(
    answers: dict[str, list[Found] | ManagerError], screen: Output
) -> tuple[int, list[dict[str, Any]]]:
    code, entries = OK, []
    for host, found in answers.items():
        if isinstance(found, ManagerError):
            screen.warn(f"{host}: {found}")
            code = max(code, FAILED if found.kind is FailureKind.REFUSED else UNREACHABLE)
            continue
        for one in found:
            if one.trouble:
                screen.warn(f"{host}: {one.trouble}")
                code = max(code, FAILED)
            if one.cut:
                screen.warn(f"{host}: {one.cut}")
            entries += [{"host": host, **entry} for entry in one.entries]
    return code, entries


def _is_chosen(entry: dict[str, Any], args: argparse.Namespace) -> bool:
    if args.pattern and not matches(str(entry["instance_id"] or ""), args.pattern):
        return False
    return not args.kind or entry["kind"] in args.kind


def _insist(
    site: Site,
    hosts: Sequence[str],
    args: argparse.Namespace,
    chosen: Sequence[dict[str, Any]],
) -> None:
    """An agent that nobody ever heard of is a slip of the finger."""
    known = [name for host in hosts for name in site.hosts[host].entries]
    heard = {str(entry["instance_id"]) for entry in chosen}
    for word in args.pattern:
        if not any(matches(name, [word]) for name in (*known, *heard)):
            hint = suggestions(word, known)
            raise CommandError(f"there is no agent {word!r}, and no journal knows of one.{hint}")


def _show(entries: Sequence[dict[str, Any]], screen: Output, *, whole: bool) -> None:
    now = time.time()
    hosts = max((len(entry["host"]) for entry in entries), default=0)
    names = max((len(entry["instance_id"] or "") for entry in entries), default=0)
    for entry in entries:
        text = Text().append(f"{format_time(entry['time'], now)} ", "dim")
        text.append(f"{entry['host']:{hosts}} ", "dim")
        text.append(f"{entry['instance_id'] or '':{names}} ", "bold")
        text.append(f"{entry['kind']:7} ", STYLES.get(entry["kind"], ""))
        lines = entry["data"].get("lines", ()) if entry["kind"] == "output" and whole else ()
        screen.line(text.append("last lines:" if lines else _text(entry)))
        for line in lines:
            screen.line(Text().append(f"    | {sanitize(str(line))}", "dim"))


def _text(entry: dict[str, Any]) -> str:
    text = sanitize(str(entry["text"]))
    return text if len(text) < 500 else text[:499] + "…"


run = command(history)
