"""`hostmanager logs`: the output of agents on all hosts, merged by time."""

import argparse
import re
import time
from collections.abc import Sequence
from dataclasses import asdict

from rich.text import Text

from hostmanager.cli import options
from hostmanager.cli.exit_codes import FAILED, OK, UNREACHABLE, CommandError
from hostmanager.cli.output import Output, command
from hostmanager.client.logs.log_filter import LEVELS, LogFilter, LogLine
from hostmanager.client.logs.log_reader import (
    MAX_LINES_PER_REQUEST,
    LogSource,
    limit_to_run,
    read_all,
)
from hostmanager.client.managers.credentials import make_clients
from hostmanager.client.site_model import read_site
from hostmanager.client.status.selection import fetch_status, hosts_to_query, select_agents
from hostmanager.client.text import format_time, sanitize, strip_timestamp
from hostmanager.util.help_parser import HelpParser
from hostmanager.util.text import join_names

FOLLOW_INTERVAL = 0.5
"""Seconds between two requests when following."""

LINES = 50
MAX_RUNS = 1000

AGENT_STYLES = ("cyan", "green", "magenta", "yellow", "blue", "red")

DESCRIPTION = """\
Show what agents print to stdout and stderr, earlier runs included. Lines of several agents, of
any host, are merged by time, each after the id of its agent. They come from the managers, so
nobody has to log in to a host. Ages, as in --since 10m, count by the clock of each manager.

--grep and --level select records: a line, with its traceback and what is indented below it. The
levels are found in the forms of Python's logging and of Twisted. OCS, txaio and crossbar print
none: such a line counts as info, one with a traceback as error."""

EPILOG = options.make_epilog(
    done="the output of every agent was shown, or there was none yet",
    not_reached="a manager could not give the output of an agent; the message says why",
    interrupted="interrupted; with --follow, Ctrl-C is the usual end, and it is 0",
    examples="""\
  hostmanager logs acu1
  hostmanager logs acu1 -n 500 --since 2h
      of the last two hours, but at most the newest 500 lines
  hostmanager logs 'fake*' cam1 -f
      keep showing what they print, until Ctrl-C
  hostmanager logs acu1 -n 0 -f
      only what comes from now on
  hostmanager logs --host daq1 --since 14:05 --until 14:10
      the output of all agents of daq1 in these five minutes
  hostmanager logs acu1 --level error --since 1d
      errors, each with its traceback
  hostmanager logs acu1 --run 1
      what the run before the latest one printed
  hostmanager logs acu1 --json | jq -r .text
      one JSON object a line
""",
)


def add_options(parser: HelpParser) -> None:
    """Add the options."""
    options.add_selection(parser)
    parser.add_argument(
        "-n",
        "--lines",
        type=options.number_between(0, options.MAX_COUNT),
        metavar="N",
        help=f"the newest N lines of each agent (default: {LINES}; with --since, --until or --run: "
        f"{MAX_LINES_PER_REQUEST}); 0 with --follow: only new ones",
    )
    parser.add_argument(
        "-f", "--follow", action="store_true", help="keep showing new lines until Ctrl-C"
    )
    parser.add_argument(
        "--grep",
        type=_pattern,
        metavar="PATTERN",
        help="only records with a line in which this regular expression (Python's) is found",
    )
    parser.add_argument("-i", "--ignore-case", action="store_true", help="--grep ignores case")
    parser.add_argument(
        "--level",
        type=_level,
        metavar="LEVEL",
        help=f"only records of this level or a higher one: {', '.join(LEVELS)}",
    )
    parser.add_argument(
        "--run",
        type=options.number_between(-MAX_RUNS, MAX_RUNS),
        metavar="N",
        help="only what one run printed: 0 is the latest, 1 the one before, and so on",
    )
    options.add_since(parser, "lines")
    options.add_until(parser, "lines")
    options.add_common(parser)


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a regular expression: {error}. Put a backslash before a special "
            "character that is meant as itself"
        ) from None
    return text


def _level(text: str) -> int:
    name = {"warn": "warning", "err": "error", "fatal": "critical"}.get(text.lower(), text.lower())
    if name not in LEVELS:
        raise argparse.ArgumentTypeError(f"{text!r} is not a level; they are {', '.join(LEVELS)}")
    return LEVELS[name]


@command
def run(args: argparse.Namespace, output: Output) -> int:
    """Show the output."""
    if not (args.pattern or args.host or args.agent_class):
        raise CommandError(
            "name at least one agent: hostmanager logs PATTERN..., or --host, or --class."
        )
    if args.follow and (args.until is not None or args.run is not None):
        raise CommandError("--follow shows what comes; it excludes --until and --run.")
    site = read_site(args, or_copy=True)
    if site.notice:
        output.warn(site.notice)
    hosts = fetch_status(site, args, hosts_to_query(site, args))
    agents = [agent for agent in select_agents(hosts, args) if agent.is_managed]
    if not agents:
        raise CommandError("no manager controls any of these, so none keeps their output.")
    managers = make_clients(site, args, {agent.host for agent in agents})
    silent = {host.host.name for host in hosts if host.error is not None}
    for host in hosts:
        if host.error is not None:
            output.warn(f"{host.host.name}: {host.error}")
    pattern = re.compile(args.grep, re.IGNORECASE * args.ignore_case) if args.grep else None
    selection = LogFilter(pattern, args.level or 0)
    sources = [
        LogSource(agent, managers[agent.host], selection, args.since, args.until)
        for agent in agents
        if agent.host not in silent
    ]
    if args.run is not None:
        limit_to_run(sources, abs(args.run), args.answer_time)
    code = _show(sources, args, output)
    return UNREACHABLE if silent else code


def _show(sources: Sequence[LogSource], args: argparse.Namespace, output: Output) -> int:
    is_limited = any(limit is not None for limit in (args.since, args.until, args.run))
    lines = args.lines
    if lines is None:
        lines = MAX_LINES_PER_REQUEST if is_limited else LINES
    printer = Printer(sources, output)
    printer.show(read_all(sources, lines, args.answer_time))
    printer.print_errors()
    printer.print_held_up()
    if lines:
        printer.print_missing()
    if args.lines is None:
        printer.print_truncated(lines)
    try:
        while args.follow:
            time.sleep(FOLLOW_INTERVAL)
            printer.show(read_all(sources, MAX_LINES_PER_REQUEST, args.answer_time))
            printer.print_errors()
    except KeyboardInterrupt:
        return OK
    if any(source.unreachable for source in sources):
        return UNREACHABLE
    return FAILED if any(source.error for source in sources) else OK


class Printer:
    """Prints lines, each with its time and its agent."""

    def __init__(self, sources: Sequence[LogSource], output: Output) -> None:
        self._output = output
        self._sources = sources
        names = dict.fromkeys(source.agent.instance_id for source in sources)
        self._width = max(map(len, names), default=0)
        self._styles = {name: AGENT_STYLES[i % len(AGENT_STYLES)] for i, name in enumerate(names)}
        self._errors: dict[str, str] = {}
        self._with_lines: set[tuple[str, str]] = set()

    def show(self, lines: Sequence[LogLine]) -> None:
        """Print these lines."""
        now = time.time()
        for line in lines:
            self._with_lines.add((line.host, line.instance_id))
            if self._output.json:
                self._output.print_json(asdict(line))
            else:
                self._output.line(self._text(line, now))
        if lines and not self._output.json:
            self._output.console.file.flush()

    def _text(self, line: LogLine, now: float) -> Text:
        when = format_time(line.time, now, fine=True)
        text = Text(tab_size=8).append(f"{when or '?':12} ", "dim")
        name = line.instance_id.ljust(self._width)
        # On a terminal the time stands there already; who keeps the lines wants all of them.
        content = strip_timestamp(line.text) if self._output.is_terminal else line.text
        return text.append(name, self._styles[line.instance_id]).append(f" | {sanitize(content)}")

    def print_missing(self) -> None:
        """Name the agents without any line."""
        agents = [source.agent for source in self._sources if not source.error]
        names = [a.instance_id for a in agents if (a.host, a.instance_id) not in self._with_lines]
        if names:
            source = self._sources[0]
            limits = (source.since, source.until)
            is_selected = source.selection.is_active or any(at is not None for at in limits)
            what = "no matching output of" if is_selected else "no output yet from"
            self._output.warn(f"{what} {join_names(names)}")

    def print_held_up(self) -> None:
        """Name the agents whose newest output cannot be written."""
        names = [source.agent.instance_id for source in self._sources if source.held_up]
        if names:
            self._output.warn(
                f"newer output of {join_names(names)} cannot be written into its file: the disk of "
                "its host is full or does not respond; scribe.log in its state directory has the reason"
            )

    def print_truncated(self, lines: int) -> None:
        """Name the agents that have older lines of the requested time."""
        names = [source.agent.instance_id for source in self._sources if source.truncated]
        if names and lines >= MAX_LINES_PER_REQUEST:
            self._output.warn(
                f"only the newest {lines} lines of {join_names(names)}; -n {10 * lines} shows more"
            )

    def print_errors(self) -> None:
        """Print why an agent's output cannot be read, once."""
        for source in self._sources:
            name = source.agent.instance_id
            if source.error and self._errors.get(name) != source.error:
                self._output.warn(f"{source.agent.host} {name}: {source.error}")
            self._errors[name] = source.error
