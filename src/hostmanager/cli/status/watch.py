"""`status --watch`: the same, again and again: a live picture, or a line for each change."""

import argparse
import time
from collections.abc import Sequence
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from hostmanager.cli.commands.status import as_json, exit_code_of, filter_hosts
from hostmanager.cli.output import Output
from hostmanager.cli.status.table import headline, render
from hostmanager.cli.text import format_time
from hostmanager.client.manager_client import FailureKind, ManagerError, make_clients
from hostmanager.client.poller import SessionPoller
from hostmanager.client.site_model import Site
from hostmanager.client.status.model import HostStatus, Severity, build_host_status
from hostmanager.util.text import join_sentences

NOT_YET = ManagerError(FailureKind.TIMEOUT, "no answer yet")

StateLines = dict[str, tuple[Severity, str]]
"""By host, or host and agent: how bad it is, and in words."""


def watch(site: Site, hosts: Sequence[str], args: argparse.Namespace, screen: Output) -> int:
    """Show it until somebody has seen enough."""
    asked = make_clients(site, args, hosts)
    pulse = SessionPoller(asked, args.interval, args.answer_time)
    pulse.wait_for_all()

    def look() -> list[HostStatus]:
        answers = {host: pulse.answer(host) or NOT_YET for host in asked}
        found = [build_host_status(site.hosts[host], answers.get(host)) for host in hosts]
        return filter_hosts(found, args)

    found = look()
    try:
        if screen.is_terminal:
            _live(found, look, args, screen.console)
        else:
            _lines(site, found, look, args, screen)
    except KeyboardInterrupt:
        pass
    return exit_code_of(look())


def _live(found: list[HostStatus], look: Any, args: Any, console: Console) -> None:
    with Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            live.update(_fit_to_screen(found, args, console), refresh=True)
            time.sleep(args.interval)
            found = look()


def _fit_to_screen(found: list[HostStatus], args: Any, console: Console) -> Group:
    """As much as fits on the screen; what is wrong is at the top."""
    now = time.time()
    heading = Text(no_wrap=True, overflow="ellipsis").append(f"{format_time(now, now)} ", "dim")
    heading.append_text(headline(found))
    parts = render(found, now, console.width, only_wrong=args.wrong, lines=1)
    next(parts)  # the heading
    lines: list[Any] = [heading]
    left = console.height - 2
    for part in parts:
        height = len(console.render_lines(part))
        if height > left:
            lines += [
                _Cropped(part, left),
                Text("… more than fits; --wrong, --host and patterns narrow it down", "dim"),
            ]
            break
        lines.append(part)
        left -= height
    return Group(*lines)


class _Cropped:
    """The first few lines of something."""

    def __init__(self, part: Any, lines: int) -> None:
        self._part = part
        self._lines = lines

    def __rich_console__(self, console: Console, options: Any) -> Any:
        for line in console.render_lines(self._part, options, pad=False)[: max(0, self._lines)]:
            yield from line
            yield Text("")


def _lines(site: Site, found: list[HostStatus], look: Any, args: Any, screen: Output) -> None:
    """Print the whole once (for programs, each time that it changes), then what changes."""
    before: StateLines = {}
    least = Severity.WARNING if args.wrong else Severity.OK
    while True:
        states = _states(found)
        if not screen.json:
            _print_changes(states, before, least, screen)
        elif states != before:
            content = as_json(site, found, least)
            screen.print_json({"command": "status", "time": time.time(), **content})
        before = states
        time.sleep(args.interval)
        found = look()


def _print_changes(states: StateLines, before: StateLines, least: Severity, screen: Output) -> None:
    """Print what has changed and is at least so bad, or was."""
    clock = format_time(time.time(), time.time())
    nothing = (Severity.OK, "")
    for name, (severity, text) in states.items():
        was = before.get(name, nothing)
        if text != was[1] and max(severity, was[0]) >= least:
            screen.line(f"{clock} {name} {text}")
    for name in before.keys() - states.keys():
        if before[name][0] >= least:
            screen.line(f"{clock} {name} is gone")
    screen.console.file.flush()


def _states(found: list[HostStatus]) -> StateLines:
    """A line for each host and agent that changes when something does, and how bad it is."""
    states: StateLines = {}
    for host in found:
        name = host.host.name
        told = "ok"
        if host.severity >= Severity.WARNING:
            told = "no answer" if host.error is not None else join_sentences(host.reasons)
        states[name] = host.severity, told
        for row in host.agents:
            wanted = f" (wanted {row.target})" if row.target not in (row.state, "") else ""
            pid = f" pid {row.get('pid')}" if row.get("pid") else ""
            reason = f": {'; '.join(row.reasons)}" if row.severity >= Severity.WARNING else ""
            text = f"{row.state}{wanted}{pid}{reason}"
            states[f"{name} {row.instance_id}"] = row.severity, text
    return states
