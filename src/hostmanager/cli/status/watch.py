"""`status --watch`: live on a terminal, or a line for each change."""

import argparse
import os
import select
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from hostmanager.cli.output import Output
from hostmanager.cli.status.overview import headline, render_status
from hostmanager.cli.status.result import status_exit_code, status_json
from hostmanager.client.managers.credentials import make_clients
from hostmanager.client.site_model import Site
from hostmanager.client.status.findings import build_host_status
from hostmanager.client.status.model import HostStatus, StatusSeverity
from hostmanager.client.status.selection import filter_hosts
from hostmanager.client.status.site_findings import compare_hosts
from hostmanager.client.text import format_time
from hostmanager.client.watch.poller import NO_ANSWER_YET, SessionPoller
from hostmanager.util.text import join_sentences

StateLines = dict[str, tuple[StatusSeverity, str]]
"""By host, or host and agent: how bad the status is, and the status in words."""

Fetch = Callable[[], list[HostStatus]]


def watch(site: Site, names: Sequence[str], args: argparse.Namespace, output: Output) -> int:
    """Show the status of these hosts until q or Ctrl-C."""
    managers = make_clients(site, args, names)
    poller = SessionPoller(managers, args.interval, args.answer_time)
    poller.wait_for_all()

    def fetch() -> list[HostStatus]:
        sessions = {host: poller.latest(host) or NO_ANSWER_YET for host in managers}
        hosts = compare_hosts(
            [build_host_status(site.hosts[name], sessions.get(name)) for name in names]
        )
        return filter_hosts(hosts, args)

    fetch()  # a mistake in the names is reported before anything is shown
    try:
        if output.is_terminal and not output.console.is_dumb_terminal:
            _show_live(fetch, args, output.console)
        else:
            _print_changes(site, fetch, args, output)
    except KeyboardInterrupt:
        pass
    return status_exit_code(fetch())


def _show_live(fetch: Fetch, args: argparse.Namespace, console: Console) -> None:
    with _single_keys(), Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            live.update(_fit_to_screen(fetch(), args, console), refresh=True)
            if _is_quit_typed(args.interval):
                return


@contextmanager
def _single_keys() -> Iterator[None]:
    """Let keys be read as they are typed; Ctrl-C stays what it is."""
    if not sys.stdin.isatty():
        yield
        return
    before = termios.tcgetattr(sys.stdin)
    try:
        tty.setcbreak(sys.stdin)
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def _is_quit_typed(limit: float) -> bool:
    """Wait `limit` seconds; report whether q was typed, which ends that at once."""
    end = time.monotonic() + limit
    while (left := end - time.monotonic()) > 0:
        if not sys.stdin.isatty():
            time.sleep(left)
        elif select.select([sys.stdin], [], [], left)[0]:
            typed = os.read(sys.stdin.fileno(), 64)
            if not typed or {b"q", b"Q"} & {typed[at : at + 1] for at in range(len(typed))}:
                return True
    return False


def _fit_to_screen(hosts: list[HostStatus], args: argparse.Namespace, console: Console) -> Group:
    """As much as fits on the screen; what is wrong is at the top."""
    now = time.time()
    heading = Text(no_wrap=True, overflow="ellipsis").append(f"{format_time(now, now)} ", "dim")
    heading.append_text(headline(hosts))
    parts = render_status(
        hosts, now, console.width, only_wrong=args.wrong, lines=1, resources=args.wide
    )
    next(parts)  # the heading
    lines: list[Any] = [heading]
    left = console.height - 2
    for part in parts:
        height = len(console.render_lines(part))
        if height > left:
            hint = "… more than fits; --wrong, --host and patterns narrow it down"
            lines += [_Cropped(part, left), Text(hint, "dim")]
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


def _print_changes(site: Site, fetch: Fetch, args: argparse.Namespace, output: Output) -> None:
    """Print everything once (for programs, each time that it changes), then what changes."""
    before: StateLines = {}
    least = StatusSeverity.WARNING if args.wrong else StatusSeverity.OK
    while True:
        hosts = fetch()
        lines = _state_lines(hosts)
        if not output.json:
            _print_changed_lines(lines, before, least, output)
        elif lines != before:
            content = status_json(site, hosts, least)
            output.print_json({"command": "status", "time": time.time(), **content})
        before = lines
        time.sleep(args.interval)


def _print_changed_lines(
    lines: StateLines, before: StateLines, least: StatusSeverity, output: Output
) -> None:
    """Print what has changed and is at least so bad, or was."""
    clock = format_time(time.time(), time.time())
    for name, (severity, text) in lines.items():
        old_severity, old_text = before.get(name, (StatusSeverity.OK, ""))
        if text != old_text and max(severity, old_severity) >= least:
            output.line(f"{clock} {name} {text}")
    for name in before.keys() - lines.keys():
        if before[name][0] >= least:
            output.line(f"{clock} {name} is gone")
    output.console.file.flush()


def _state_lines(hosts: list[HostStatus]) -> StateLines:
    """A line for each host and agent that changes when its status does."""
    lines: StateLines = {}
    for host in hosts:
        name = host.host.name
        text = "ok"
        if host.severity >= StatusSeverity.WARNING:
            text = "no answer" if host.error is not None else join_sentences(host.reasons)
        lines[name] = host.severity, text
        for agent in host.agents:
            target = f" (target {agent.target})" if agent.target not in (agent.state, "") else ""
            pid = f" pid {agent.get('pid')}" if agent.get("pid") else ""
            text = f"{agent.state_text}{target}{pid}"
            if agent.severity >= StatusSeverity.WARNING:
                text += f": {join_sentences(agent.reasons)}"
            lines[f"{name} {agent.instance_id}"] = agent.severity, text
    return lines
