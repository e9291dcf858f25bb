"""`hostmanager silence`: do not warn of agents for a time."""

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

from hostmanager.cli import options
from hostmanager.cli.confirmation import DRY_RUN, nothing_changed_yet
from hostmanager.cli.exit_codes import CommandError
from hostmanager.cli.host_results import request_on_all
from hostmanager.cli.output import Output, command
from hostmanager.client.errors import ClientError
from hostmanager.client.manager_client import make_clients
from hostmanager.client.multi_host import TargetManagers
from hostmanager.client.site_model import read_site
from hostmanager.client.status.model import AgentStatus, silence_text
from hostmanager.client.status.selection import fetch_status, hosts_to_query, select_agents
from hostmanager.util.text import join_names

SILENCE_TIMEOUT = 10.0

DESCRIPTION = """\
Do not warn of agents for a time: during work on the hardware, say. They are shown as silenced,
with who, why and until when, and nothing about them counts as wrong. It stops nothing, and agents
that die are restarted as ever. It ends by itself. Without --for and --end, the silences are shown.

The managers of the agents keep it, over their own end and over a boot of the host."""

EPILOG = f"""\
{
    options.exit_status_help(
        done="done, or shown",
        not_reached="at least one manager refused, or cannot silence agents",
    )
}
examples:
  hostmanager silence 'det*' --for 2h --reason 'pump exchange'
  hostmanager silence --host daq1 --all --for 30m
      everything on one host
  hostmanager silence 'det*' --end
  hostmanager silence
      what is silenced, until when, by whom and why
"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = options.new_parser(subparsers, "silence", DESCRIPTION, EPILOG)
    options.add_selection(parser, whole=True)
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--for",
        dest="duration",
        type=options.seconds,
        metavar="TIME",
        help="how long, from 1 s to 90 days: 90, 30m, 2h, 1d",
    )
    what.add_argument("--end", action="store_true", help="end their silences now")
    options.add_change_options(parser, yes_help="")
    options.add_timeout(parser, SILENCE_TIMEOUT, "how long each manager may take")
    options.add_common(parser)


@command
def run(args: argparse.Namespace, output: Output) -> int:
    """Silence agents, end silences, or show them."""
    changes = args.duration is not None or args.end
    with nothing_changed_yet():
        if changes and not (args.pattern or args.agent_class or args.all):
            raise ClientError("name at least one agent, or give --all: all of the hosts named.")
        site = read_site(args)
        hosts = hosts_to_query(site, args)
        agents = select_agents(fetch_status(site, args, hosts), args)
        if not changes:
            return _show(agents, output)
        able = [agent for agent in agents if agent.child is not None]
        ids = _by_host([agent for agent in able if "silenced" in (agent.child or {})])
        _refuse_others(able, ids)
    if args.dry_run:
        action = "end the silence of" if args.end else "silence"
        for host, names in ids.items():
            output.line(f"would {action} {join_names(names)} on {host}")
        output.line(DRY_RUN)
        return output.emit_json(0, dry_run=True, agents=ids)
    targets = TargetManagers(site, list(ids), make_clients(site, args, ids))
    return request_on_all(
        targets,
        lambda manager: manager.run(
            *("silence", args.timeout),
            instances=ids[manager.host],
            seconds=args.duration,
            end=args.end,
        ),
        args,
        output,
        interrupted="`hostmanager silence` shows what is silenced.",
        dry_run=False,
        agents=ids,
    )


def _by_host(agents: Sequence[AgentStatus]) -> dict[str, list[str]]:
    hosts: dict[str, list[str]] = {}
    for agent in agents:
        hosts.setdefault(agent.host, []).append(agent.instance_id)
    return hosts


def _refuse_others(agents: Sequence[AgentStatus], ids: Mapping[str, Sequence[str]]) -> None:
    """Refuse agents whose managers cannot silence them, before any is silenced."""
    others = [agent for agent in agents if agent.host not in ids]
    if others:
        hosts = list(dict.fromkeys(agent.host for agent in others))
        raise CommandError(
            f"the managers of {join_names(hosts)} cannot silence agents (an older version, or the "
            "HostManager inside ocs)."
        )
    if not agents:
        raise CommandError("none of these agents has a manager that answers.")


def _show(agents: Sequence[AgentStatus], output: Output) -> int:
    silenced = [agent for agent in agents if agent.get("silenced")]
    for agent in silenced:
        output.line(
            f"{agent.instance_id} on {agent.host}: {silence_text(agent.get('silenced'), agent.now)}"
        )
    if not silenced:
        output.line("No agent is silenced.")
    content = [
        {"host": agent.host, "instance_id": agent.instance_id, **agent.get("silenced")}
        for agent in silenced
    ]
    return output.emit_json(0, silences=content)
