"""`hostmanager blame`: how long each agent took to be ready, and which chain held a host back."""

import argparse
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from hostmanager.cli.exit_codes import FAILED, OK, UNREACHABLE
from hostmanager.cli.options import add_common, add_selection, make_epilog
from hostmanager.cli.output import Output, command
from hostmanager.client.site_model import read_site
from hostmanager.client.start_times import StartTime, critical_chains, first_launches, start_time
from hostmanager.client.status.selection import fetch_status, hosts_to_query, select_agents
from hostmanager.client.text import format_time
from hostmanager.util.help_parser import HelpParser
from hostmanager.util.text import format_duration, join_names

DESCRIPTION = """\
Show how long each agent took from its launch until it was ready (until its first heartbeat; a
one-shot: until it was done), the slowest first. Of what a manager took over from an earlier one
nothing is known. With --chain, show what held back the agent that was ready last on each host, or
the agents that are named: the one that it was started after, and so on."""

EPILOG = make_epilog(
    before="""\
In a chain, "@" is the time of the launch, counted from the first launch on that host, and "+" the
time from there until it was ready.
""",
    done="the times are shown",
    not_reached="it is not known of any agent that was asked for when it became ready",
    examples="""\
  hostmanager blame
      all agents of the site
  hostmanager blame --chain --host daq1
      what made the start of daq1 as long as it was
  hostmanager blame --chain pump
      what pump waited for, also on other hosts
""",
)


def add_options(parser: HelpParser) -> None:
    """Add the options."""
    add_selection(parser)
    parser.add_argument(
        "--chain", action="store_true", help="show which agent waited for which other one"
    )
    add_common(parser)


@command
def run(args: argparse.Namespace, output: Output) -> int:
    """Show start times, or what held them back."""
    site = read_site(args, or_copy=True)
    selected = hosts_to_query(site, args)
    # A chain may lead to any host.
    hosts = fetch_status(site, args, list(site.hosts) if args.chain else selected)
    named = {a.instance_id for a in select_agents(hosts, args) if a.host in selected}
    starts = [each for host in hosts for agent in host.agents if (each := start_time(agent))]
    shown = [each for each in starts if each.instance_id in named]
    shown.sort(key=lambda each: -1.0 if each.took is None else each.took, reverse=True)
    ends = named if args.pattern or args.agent_class else ()
    chains = critical_chains(starts, ends, selected) if args.chain else []
    firsts = first_launches(starts)
    if args.chain:
        _show_chains(chains, firsts, output)
    else:
        _show_times(shown, output)
    code = OK if any(each.took is not None for each in shown) else FAILED
    for host in hosts:
        if host.error is not None and host.host.name in selected:
            output.line(f"! {host.host.name}: {host.error}", "red")
            code = UNREACHABLE
    return output.emit_json(
        code,
        agents=[asdict(each) for each in shown],
        first_launches=firsts,
        chains=[[asdict(link) for link in links] for links in chains],
    )


def _show_times(starts: Sequence[StartTime], output: Output) -> None:
    if not starts:
        output.line("Nothing is known of the agents that were asked for.")
        return
    width = max(len(start.instance_id) for start in starts)
    host_width = max(len(start.host) for start in starts)
    for start in starts:
        took = format_duration(start.took) or "-"
        text = f"{took:>9}  {start.instance_id:<{width}}  {start.host:<{host_width}}"
        note = start.note or _wait(start)
        output.line(f"{text}  {note}".rstrip())


def _wait(start: StartTime) -> str:
    """For whom a launch waited; empty if for nobody."""
    if not start.waited_for:
        return ""
    text = f"waited {format_duration(start.waited)} for {join_names(list(start.waited_for))}"
    return f"{text}, in vain" if start.given_up else text


def _show_chains(
    chains: Sequence[Sequence[StartTime]], firsts: Mapping[str, float], output: Output
) -> None:
    if not chains:
        output.line("No agent is known to have become ready since its manager was started.")
    for links in chains:
        host = links[0].host
        output.line(_since(host, firsts))
        for depth, link in enumerate(links):
            branch = "" if not depth else "  " * (depth - 1) + "└─"
            place = "" if link.host in ("", host) else f" (host {_since(link.host, firsts)})"
            output.line(f"  {branch}{link.instance_id}{place} {_times(link, firsts)}".rstrip())


def _since(host: str, firsts: Mapping[str, float]) -> str:
    """A host, with the moment from which the times of its agents count."""
    since = firsts.get(host)
    return host if since is None else f"{host}, first launch {format_time(since, time.time())}"


def _times(start: StartTime, firsts: Mapping[str, float]) -> str:
    if start.launched_at is None:
        return start.note
    since = max(0.0, start.launched_at - firsts.get(start.host, start.launched_at))
    took = start.note if start.took is None else f"+{format_duration(start.took)}"
    wait = _wait(start)
    return f"@{format_duration(since)} {took}{f' ({wait})' if wait else ''}"
