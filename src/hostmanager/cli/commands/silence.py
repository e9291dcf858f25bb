"""`hostmanager silence`: do not warn of agents for a time."""

import argparse
from collections.abc import Sequence

from hostmanager.cli import options
from hostmanager.cli.confirmation import nothing_changed_yet
from hostmanager.cli.host_results import carry_out
from hostmanager.cli.output import Output, command
from hostmanager.client.alarm_client import AlarmClient
from hostmanager.client.change.silence_plan import prepare_silence
from hostmanager.client.change.timeouts import TIMEOUTS
from hostmanager.client.errors import ClientError
from hostmanager.client.site_model import read_site
from hostmanager.client.status.model import AgentStatus, silence_text
from hostmanager.client.status.selection import fetch_status, hosts_to_query, select_agents
from hostmanager.util.help_parser import HelpParser
from hostmanager.util.text import join_names

DESCRIPTION = """\
Do not warn of agents for a time: during work on the hardware, say. They are shown as silenced,
with who, why and until when, and nothing about them counts as wrong. It stops nothing, and agents
that die are restarted as usual. It ends by itself. Without --for and --end, the silences are shown.

The managers of the agents keep it, over their own end and over a boot of the host. Of hosts that
do not answer, and of whole hosts (--host HOST --all), the alarm service keeps it: nobody is notified
when such a host goes away."""

EPILOG = options.make_epilog(
    done="done, or shown",
    not_reached="at least one manager refused, or cannot silence agents",
    examples="""\
  hostmanager silence 'det*' --for 2h --reason 'pump exchange'
  hostmanager silence --host daq1 --all --for 30m
      everything on one host
  hostmanager silence 'det*' --end
  hostmanager silence
      what is silenced, until when, by whom and why
""",
)


def add_options(parser: HelpParser) -> None:
    """Add the options."""
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
    options.add_timeout(parser, TIMEOUTS["silence"], "how long each manager may take")
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
        statuses = fetch_status(site, args, hosts_to_query(site, args))
        agents = select_agents(statuses, args)
        if not changes:
            return _show(agents, AlarmClient(site, args), output, is_named=bool(args.pattern))
        change = prepare_silence(site, args, statuses, agents, end=args.end)
    if args.dry_run:
        output.plan(change.lines)
    see_also = "`hostmanager silence` shows what is silenced."
    return carry_out(change, args, output, see_also=see_also)


def _show(
    agents: Sequence[AgentStatus], alarms: AlarmClient, output: Output, *, is_named: bool
) -> int:
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
    of_hosts = [silence for silence in status["silences"] if silence["host"] in hosts]
    for silence in of_hosts:
        names = join_names(silence["agents"]) if silence["agents"] else "all of its agents"
        text = silence_text(silence, status["now"])
        output.line(f"{silence['host']}, {names}, no alarms: {text}")
    if not silenced and not of_hosts:
        output.line("No agent is silenced.")
        if is_named:
            output.warn("nothing was changed; `--for 2h` silences for two hours.")
    return output.emit_json(0, silences=content, alarm_silences=of_hosts)
