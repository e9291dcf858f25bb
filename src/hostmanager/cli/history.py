"""`hostmanager history`: who asked for what, what died when, on all hosts."""

import argparse
import time
from collections.abc import Callable, Sequence
from typing import Any

from rich.text import Text

from hostmanager.cli.asking import AskError, Manager, Reply, Trouble, in_parallel, managers
from hostmanager.cli.errors import DONE, NO_ANSWER, NOT_REACHED, CommandError
from hostmanager.cli.human import harmless, moment
from hostmanager.cli.options import (
    add_common,
    add_hosts,
    add_since,
    exit_status,
    new_parser,
    whole_number,
)
from hostmanager.cli.screen import Screen, guarded
from hostmanager.cli.selection import fits, is_pattern, near, pick_hosts
from hostmanager.cli.sites import Site, read_site

ENTRIES = 50
MOST = 10_000
"""Entries that a manager gives at most."""

STYLES = {
    "request": "cyan",
    "result": "cyan",
    "exit": "red",
    "launch": "green",
    "manager": "magenta",
    "journal": "yellow",
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

{exit_status(done="shown", not_reached="a manager could not read its journal; it was said why")}
examples:
  hostmanager history
      the last {ENTRIES} things that happened at the site
  hostmanager history acu1 --since 1d
      what became of acu1 since yesterday
  hostmanager history --since 03:00 --kind exit --kind request
      what died in the night, and what somebody asked for
"""

KINDS = ("manager", "request", "result", "reload", "launch", "exit", "state", "output", "journal")


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


def history(args: argparse.Namespace, screen: Screen) -> int:
    """Show what happened."""
    site = read_site(args)
    hosts = pick_hosts(site, args.host)
    asked = managers(site, args, hosts)
    if not asked:
        raise CommandError("none of these hosts has a manager.")
    work = {host: _asking(manager, args) for host, manager in asked.items()}
    answers = in_parallel(work, args.answer_time)
    troubles = [error for error in answers.values() if isinstance(error, AskError)]
    if len(troubles) == len(asked) and all(error.kind is Trouble.ROUTER for error in troubles):
        raise CommandError(troubles[0].sentences, NO_ANSWER)
    code, entries = _collect(answers, screen)
    chosen = [entry for entry in entries if _is_chosen(entry, args)]
    _insist(site, hosts, args, chosen)
    chosen = sorted(chosen, key=lambda entry: entry["time"])[-_limit(args) :]
    if not screen.json:
        if not chosen and code == DONE:
            screen.line("nothing happened")
        _show(chosen, screen, whole=bool(args.pattern))
    return screen.answer(code, entries=chosen)


def _limit(args: argparse.Namespace) -> int:
    return int(args.lines or (MOST if args.since is not None else ENTRIES))


def _asking(manager: Manager, args: argparse.Namespace) -> Callable[[], list[Reply]]:
    """Ask for no more than can be shown: with patterns, for all, as they are picked here."""
    named = [word for word in args.pattern if not is_pattern(word)]
    exact = len(named) == len(args.pattern)
    limit = MOST if args.kind or not exact else _limit(args)
    params = {"limit": limit, "since": args.since}

    def work() -> list[Reply]:
        whose = named if named and exact else [None]
        return [
            manager.run("history", args.answer_time, instance_id=name, **params) for name in whose
        ]

    return work


def _collect(
    answers: dict[str, list[Reply] | AskError], screen: Screen
) -> tuple[int, list[dict[str, Any]]]:
    code, entries = DONE, []
    for host, replies in answers.items():
        if isinstance(replies, AskError):
            screen.remark(f"{host}: {replies}")
            code = max(code, NOT_REACHED if replies.kind is Trouble.REFUSED else NO_ANSWER)
            continue
        for reply in replies:
            trouble = reply.data.get("trouble")
            if not reply.ok or trouble:
                screen.remark(f"{host}: {trouble or reply.text}")
                code = max(code, NOT_REACHED)
            entries += [{"host": host, **entry} for entry in reply.data.get("entries", [])]
    return code, entries


def _is_chosen(entry: dict[str, Any], args: argparse.Namespace) -> bool:
    if args.pattern and not fits(str(entry["instance_id"] or ""), args.pattern):
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
        if not any(fits(name, [word]) for name in (*known, *heard)):
            hint = near(word, known)
            raise CommandError(f"there is no agent {word!r}, and no journal knows of one.{hint}")


def _show(entries: Sequence[dict[str, Any]], screen: Screen, *, whole: bool) -> None:
    now = time.time()
    hosts = max((len(entry["host"]) for entry in entries), default=0)
    names = max((len(entry["instance_id"] or "") for entry in entries), default=0)
    for entry in entries:
        text = Text().append(f"{moment(entry['time'], now)} ", "dim")
        text.append(f"{entry['host']:{hosts}} ", "dim")
        text.append(f"{entry['instance_id'] or '':{names}} ", "bold")
        text.append(f"{entry['kind']:7} ", STYLES.get(entry["kind"], ""))
        lines = entry["data"].get("lines", ()) if entry["kind"] == "output" and whole else ()
        screen.line(text.append("last lines:" if lines else _text(entry)))
        for line in lines:
            screen.line(Text().append(f"    | {harmless(str(line))}", "dim"))


def _text(entry: dict[str, Any]) -> str:
    text = harmless(str(entry["text"]))
    return text if len(text) < 500 else text[:499] + "…"


run = guarded(history)
