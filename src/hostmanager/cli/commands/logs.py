"""`hostmanager logs`: what agents print, on whatever host, merged by time."""

import argparse
import time
from collections.abc import Sequence
from typing import Any

from rich.text import Text

from hostmanager.cli.exit_codes import FAILED, OK, UNREACHABLE, CommandError
from hostmanager.cli.options import (
    add_common,
    add_selection,
    add_since,
    exit_status_help,
    new_parser,
    whole_number,
)
from hostmanager.cli.output import Output, command
from hostmanager.cli.text import format_time, sanitize, strip_timestamp
from hostmanager.client.log_reader import MOST, LogLine, LogSource, read_all
from hostmanager.client.manager_client import make_clients
from hostmanager.client.site_model import read_site
from hostmanager.client.status.model import no_router
from hostmanager.client.status.selection import fetch_status, hosts_to_query, select
from hostmanager.util.text import join_names

PAUSE = 0.5
"""Seconds between two looks when following."""

LINES = 50

STYLES = ("cyan", "green", "magenta", "yellow", "blue", "red")

DESCRIPTION = """\
Show what agents print to stdout and stderr, of earlier runs, too. Lines of several agents, of
any host, are merged by time, each with the id of its agent before it. They come from the
managers, so nobody has to log in to a host."""

EPILOG = f"""\
{
    exit_status_help(
        done="the output of every agent was shown, or there was none yet",
        not_reached="a manager could not give the output of an agent; it was said why",
        interrupted="interrupted; with --follow, Ctrl-C is the usual end, and it is 0",
    )
}
examples:
  hostmanager logs acu1
  hostmanager logs acu1 -n 500 --since 2h
      of the last two hours, but at most the newest 500 lines
  hostmanager logs 'fake*' cam1 -f
      go on showing what they print, until Ctrl-C
  hostmanager logs --host daq1 --since 14:05
      what all agents of daq1 have said since five past two
  hostmanager logs acu1 --json | jq -r .text
      one JSON object a line
"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = new_parser(subparsers, "logs", DESCRIPTION, EPILOG)
    add_selection(parser)
    parser.add_argument(
        "-n",
        "--lines",
        type=whole_number,
        metavar="N",
        help=f"the newest N lines of each agent (default: {LINES}; with --since: {MOST})",
    )
    parser.add_argument("-f", "--follow", action="store_true", help="go on until Ctrl-C")
    add_since(parser, "lines")
    add_common(parser)


def logs(args: argparse.Namespace, screen: Output) -> int:
    """Show the output."""
    if not (args.pattern or args.host or args.agent_class):
        raise CommandError("say whose: hostmanager logs PATTERN..., or --host, or --class.")
    site = read_site(args)
    found = fetch_status(site, args, hosts_to_query(site, args))
    away = no_router(found)
    if away is not None:
        raise CommandError(away.sentences, UNREACHABLE)
    rows = [row for row in select(found, args) if row.is_managed]
    if not rows:
        raise CommandError("no manager looks after any of these, so nobody keeps their output.")
    asked = make_clients(site, args, {row.host for row in rows})
    mute = {host.host.name: str(host.error) for host in found if host.error is not None}
    for host, why in mute.items():
        screen.warn(f"{host}: {why}")
    sources = [LogSource(row, asked[row.host]) for row in rows if row.host not in mute]
    code = _show(sources, args, screen)
    return UNREACHABLE if mute else code


def _show(sources: Sequence[LogSource], args: argparse.Namespace, screen: Output) -> int:
    lines = args.lines or (MOST if args.since is not None else LINES)
    printer = Printer(sources, screen)
    printer.show(read_all(sources, lines, args.since, args.answer_time))
    printer.print_errors()
    printer.print_missing()
    if not args.lines:
        printer.say_what_is_cut(lines)
    try:
        while args.follow:
            time.sleep(PAUSE)
            printer.show(read_all(sources, MOST, args.since, args.answer_time))
            printer.print_errors()
    except KeyboardInterrupt:
        return OK
    if any(source.silent for source in sources):
        return UNREACHABLE
    return FAILED if any(source.trouble for source in sources) else OK


class Printer:
    """Prints lines, each with its time and whose it is."""

    def __init__(self, sources: Sequence[LogSource], screen: Output) -> None:
        self._screen = screen
        self._sources = sources
        names = dict.fromkeys(source.row.instance_id for source in sources)
        self._width = max(map(len, names), default=0)
        self._styles = {name: STYLES[i % len(STYLES)] for i, name in enumerate(names)}
        self._told: dict[str, str] = {}
        self._heard: set[tuple[str, str]] = set()

    def show(self, lines: Sequence[LogLine]) -> None:
        """Print these lines."""
        now = time.time()
        for line in lines:
            self._heard.add((line.host, line.instance_id))
            if self._screen.json:
                self._screen.print_json(line.as_json())
            else:
                self._screen.line(self._text(line, now))
        if lines and not self._screen.json:
            self._screen.console.file.flush()

    def _text(self, line: LogLine, now: float) -> Text:
        when = format_time(line.time, now, fine=True)
        text = Text(tab_size=8).append(f"{when or '?':12} ", "dim")
        name = line.instance_id.ljust(self._width)
        # Somebody at a terminal has read the time; whoever keeps the lines wants all of them.
        said = strip_timestamp(line.text) if self._screen.is_terminal else line.text
        return text.append(name, self._styles[line.instance_id]).append(f" | {sanitize(said)}")

    def print_missing(self) -> None:
        """Say of whom there is no line."""
        rows = [source.row for source in self._sources if not source.trouble]
        mute = [row.instance_id for row in rows if (row.host, row.instance_id) not in self._heard]
        if mute:
            self._screen.warn(f"no lines of: {join_names(mute, 20)}")

    def say_what_is_cut(self, lines: int) -> None:
        """Say of whom there are older lines of the time that was asked for."""
        cut = [source.row.instance_id for source in self._sources if source.cut]
        if cut and lines >= MOST:
            self._screen.warn(
                f"only the newest {lines} lines of: {join_names(cut, 20)}. -n {10 * lines} shows more"
            )

    def print_errors(self) -> None:
        """Say of whom there is nothing to be had, once."""
        for source in self._sources:
            name = source.row.instance_id
            if source.trouble and self._told.get(name) != source.trouble:
                self._screen.warn(f"{source.row.host} {name}: {source.trouble}")
            self._told[name] = source.trouble


run = command(logs)
