"""`hostmanager silence`: do not warn of agents for a time."""

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

from hostmanager.cli import options
from hostmanager.cli.confirmation import DRY_RUN, nothing_changed_yet
from hostmanager.cli.exit_codes import OK, UNREACHABLE, CommandError
from hostmanager.cli.host_results import request_on_all
from hostmanager.cli.output import Output, command
from hostmanager.client.alarm_client import AlarmClient
from hostmanager.client.errors import ClientError
from hostmanager.client.manager_client import OperationResult, make_clients
from hostmanager.client.multi_host import TargetManagers
from hostmanager.client.site_model import read_site
from hostmanager.client.status.model import AgentStatus, HostStatus, silence_text, unreachable
from hostmanager.client.status.selection import fetch_status, hosts_to_query, select_agents
from hostmanager.util.text import join_names

SILENCE_TIMEOUT = 10.0

NOBODY_KEEPS = (
    "{hosts} does not answer, and there is no alarm service at the router that could keep a silence "
    "(`hostmanager alerts`)."
)

DESCRIPTION = """\
Do not warn of agents for a time: during work on the hardware, say. They are shown as silenced,
with who, why and until when, and nothing about them counts as wrong. It stops nothing, and agents
that die are restarted as ever. It ends by itself. Without --for and --end, the silences are shown.

The managers of the agents keep it, over their own end and over a boot of the host. Of hosts that
do not answer, and of whole hosts (--host HOST --all), the alarm service keeps it: nobody is told
when such a host goes away."""

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
    options.add_alerts_id(parser)
    options.add_common(parser)


@command
def run(args: argparse.Namespace, output: Output) -> int:
    """Silence agents, end silences, or show them."""
    changes = args.duration is not None or args.end
    with nothing_changed_yet():
        if changes and not (args.pattern or args.agent_class or args.all):
            raise ClientError("name at least one agent, or give --all: all of the hosts named.")
        site = read_site(args)
        alarms = AlarmClient(site, args)
        statuses = fetch_status(site, args, hosts_to_query(site, args))
        agents = select_agents(statuses, args)
        if not changes:
            return _show(agents, alarms, output)
        able = [agent for agent in agents if agent.child is not None]
        ids = _by_host([agent for agent in able if "silenced" in (agent.child or {})])
        at_service = _for_alarm_service(statuses, agents, args)
        missing = []
        if at_service and not alarms.is_there():
            missing = [name for name in _unreachable_names(statuses) if name in at_service]
            at_service = {}
        _refuse_others(able, ids, list(at_service), missing)
    if args.dry_run:
        return _show_plan(args, ids, at_service, output)
    targets = TargetManagers(site, list(ids), make_clients(site, args, ids))
    results = {}
    for host, names in at_service.items():
        answer = alarms.silence(host, names, args.duration, end=args.end)
        # A whole host is silenced at its manager, too: whether the service had it is no matter.
        is_ok = answer.ok or (args.end and host in ids)
        results[f"{host}, alarms"] = OperationResult(is_ok, answer.text)
    if missing:
        output.warn(f"not silenced: {NOBODY_KEEPS.format(hosts=join_names(missing))}")
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
        code=UNREACHABLE if missing else OK,
        besides=results,
        dry_run=False,
        agents=ids,
    )


def _unreachable_names(statuses: Sequence[HostStatus]) -> list[str]:
    """The hosts whose manager did not answer."""
    return [status.host.name for status in unreachable(statuses)]


def _for_alarm_service(
    statuses: Sequence[HostStatus], agents: Sequence[AgentStatus], args: argparse.Namespace
) -> dict[str, list[str]]:
    """What the alarm service is to silence: agents by host; none named: the host with all."""
    if args.all and not (args.pattern or args.agent_class):
        return {status.host.name: [] for status in statuses}
    away = _unreachable_names(statuses)
    return _by_host([agent for agent in agents if agent.host in away])


def _show_plan(
    args: argparse.Namespace,
    ids: Mapping[str, Sequence[str]],
    at_service: Mapping[str, Sequence[str]],
    output: Output,
) -> int:
    action = "end the silence of" if args.end else "silence"
    for host, names in ids.items():
        output.line(f"would {action} {join_names(names)} on {host}")
    for host, names in at_service.items():
        what = join_names(names) if names else "all"
        output.line(f"would {action} {what} on {host} at the alarm service")
    output.line(DRY_RUN)
    return output.emit_json(0, dry_run=True, agents=ids)


def _by_host(agents: Sequence[AgentStatus]) -> dict[str, list[str]]:
    hosts: dict[str, list[str]] = {}
    for agent in agents:
        hosts.setdefault(agent.host, []).append(agent.instance_id)
    return hosts


def _refuse_others(
    agents: Sequence[AgentStatus],
    ids: Mapping[str, Sequence[str]],
    at_service: Sequence[str],
    missing: Sequence[str],
) -> None:
    """Refuse agents whose managers cannot silence them, before any is silenced."""
    others = [agent for agent in agents if agent.host not in ids]
    if others:
        hosts = list(dict.fromkeys(agent.host for agent in others))
        raise CommandError(
            f"the managers of {join_names(hosts)} cannot silence agents (an older version, or the "
            "HostManager inside ocs)."
        )
    if not agents and not at_service:
        reason = NOBODY_KEEPS.format(hosts=join_names(missing)) if missing else ""
        raise CommandError(reason or "none of these agents has a manager that answers.")


def _show(agents: Sequence[AgentStatus], alarms: AlarmClient, output: Output) -> int:
    silenced = [agent for agent in agents if agent.get("silenced")]
    for agent in silenced:
        output.line(
            f"{agent.instance_id} on {agent.host}: {silence_text(agent.get('silenced'), agent.now)}"
        )
    content = [
        {"host": agent.host, "instance_id": agent.instance_id, **agent.get("silenced")}
        for agent in silenced
    ]
    hosts = {agent.host for agent in agents}
    status = alarms.status() if alarms.is_there() else {"silences": [], "now": None}
    kept = [silence for silence in status["silences"] if silence["host"] in hosts]
    for silence in kept:
        names = join_names(silence["agents"]) if silence["agents"] else "all of its agents"
        text = silence_text(silence, status["now"])
        output.line(f"{silence['host']}, {names}, no alarms: {text}")
    if not silenced and not kept:
        output.line("No agent is silenced.")
    return output.emit_json(0, silences=content, alarm_silences=kept)
