"""`hostmanager logs`: the output of agents on all hosts, merged by time."""

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
    line_count,
    new_parser,
)
from hostmanager.cli.output import Output, command
from hostmanager.cli.text import format_time, sanitize, strip_timestamp
from hostmanager.client.log_reader import MAX_LINES_PER_REQUEST, LogLine, LogSource, read_all
from hostmanager.client.manager_client import make_clients
from hostmanager.client.site_model import read_site
from hostmanager.client.status.selection import fetch_status, hosts_to_query, select_agents
from hostmanager.util.text import join_names

FOLLOW_INTERVAL = 0.5
"""Seconds between two requests when following."""

LINES = 50

AGENT_STYLES = ("cyan", "green", "magenta", "yellow", "blue", "red")

DESCRIPTION = """\
Show what agents print to stdout and stderr, earlier runs included. Lines of several agents, of
any host, are merged by time, each after the id of its agent. They come from the managers, so
nobody has to log in to a host."""

EPILOG = f"""\
{
    exit_status_help(
        done="the output of every agent was shown, or there was none yet",
        not_reached="a manager could not give the output of an agent; the message says why",
        interrupted="interrupted; with --follow, Ctrl-C is the usual end, and it is 0",
    )
}
examples:
  hostmanager logs acu1
  hostmanager logs acu1 -n 500 --since 2h
      of the last two hours, but at most the newest 500 lines
  hostmanager logs 'fake*' cam1 -f
      keep showing what they print, until Ctrl-C
  hostmanager logs --host daq1 --since 14:05
      the output of all agents of daq1 since five past two
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
        type=line_count,
        metavar="N",
        help=f"the newest N lines of each agent (default: {LINES}; with --since: {MAX_LINES_PER_REQUEST})",
    )
    parser.add_argument(
        "-f", "--follow", action="store_true", help="keep showing new lines until Ctrl-C"
    )
    add_since(parser, "lines")
    add_common(parser)


@command
def run(args: argparse.Namespace, output: Output) -> int:
    """Show the output."""
    if not (args.pattern or args.host or args.agent_class):
        raise CommandError(
            "name at least one agent: hostmanager logs PATTERN..., or --host, or --class."
        )
    site = read_site(args)
    hosts = fetch_status(site, args, hosts_to_query(site, args))
    agents = [agent for agent in select_agents(hosts, args) if agent.is_managed]
    if not agents:
        raise CommandError("no manager controls any of these, so none keeps their output.")
    managers = make_clients(site, args, {agent.host for agent in agents})
    silent = {host.host.name for host in hosts if host.error is not None}
    for host in hosts:
        if host.error is not None:
            output.warn(f"{host.host.name}: {host.error}")
    sources = [LogSource(a, managers[a.host]) for a in agents if a.host not in silent]
    code = _show(sources, args, output)
    return UNREACHABLE if silent else code


def _show(sources: Sequence[LogSource], args: argparse.Namespace, output: Output) -> int:
    lines = args.lines or (MAX_LINES_PER_REQUEST if args.since is not None else LINES)
    printer = Printer(sources, output)
    printer.show(read_all(sources, lines, args.since, args.answer_time))
    printer.print_errors()
    printer.print_missing()
    if not args.lines:
        printer.print_truncated(lines)
    try:
        while args.follow:
            time.sleep(FOLLOW_INTERVAL)
            printer.show(read_all(sources, MAX_LINES_PER_REQUEST, args.since, args.answer_time))
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
                self._output.print_json(line.as_json())
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
            self._output.warn(f"no output yet from {join_names(names)}")

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
