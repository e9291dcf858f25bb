"""`hostmanager status`: how all agents of the site are, and first what is wrong."""

import argparse
from collections.abc import Sequence
from typing import Any

from hostmanager.cli.exit_codes import FAILED, OK, UNREACHABLE, CommandError
from hostmanager.cli.options import add_common, add_selection, exit_status_help, new_parser, seconds
from hostmanager.cli.output import Output, command
from hostmanager.client.site_model import Site, read_site
from hostmanager.client.status.model import (
    AgentStatus,
    HostStatus,
    Severity,
    no_router,
    unreachable,
)
from hostmanager.client.status.selection import fetch_status, hosts_to_query, select

DESCRIPTION = """\
Show how the agents of the site are. All hosts are asked at the same time. What is wrong comes
first, with the reason: how an agent ended, its last lines, what stands in its way, and where
the site config (as read here) and a manager disagree. Then a table by host."""

EPILOG = f"""\
states:
  up, down     it is so
  wait_start   it is being launched
  wait_dead    it was told to stop, and something of it is still alive
  start_at     it died, and is started again soon
  ?            it cannot be operated, or its manager does not answer
  -            no manager looks after it

{
    exit_status_help(
        done="every agent is as it is wanted",
        not_reached="at least one is not, or a manager cannot use its site config",
        interrupted="interrupted; with --watch, Ctrl-C ends it with what was so last: 0, 1 or 3",
    )
}
examples:
  hostmanager status
      the whole site; $OCS_CONFIG_DIR/default.yaml says what belongs to it
  hostmanager status --wrong
      only what is wrong
  hostmanager status 'fake*' --host daq1 --host daq2
      the agents of two hosts whose ids begin with "fake"
  hostmanager status --class FakeDataAgent --watch
      all agents of a class, live; Ctrl-C ends it
  hostmanager status --json | jq -r '.hosts[].agents[]|select(.severity=="wrong").instance_id'
      the ids of all agents that are not as they are wanted
"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = new_parser(subparsers, "status", DESCRIPTION, EPILOG)
    add_selection(parser)
    parser.add_argument("--wrong", action="store_true", help="no table, only what is wrong")
    parser.add_argument(
        "--watch",
        action="store_true",
        help="go on showing it until Ctrl-C; without a terminal, a line for each change",
    )
    parser.add_argument(
        "--interval",
        type=seconds,
        default=1.0,
        metavar="SECONDS",
        help="with --watch: pause between two looks (default: %(default)g)",
    )
    add_common(parser)


def status(args: argparse.Namespace, screen: Output) -> int:
    """Show how things are."""
    site = read_site(args)
    hosts = hosts_to_query(site, args)
    if args.watch:
        from hostmanager.cli.status.watch import watch  # noqa: PLC0415

        return watch(site, hosts, args, screen)
    found = fetch_status(site, args, hosts)
    away = no_router(found)
    if away is not None:
        raise CommandError(away.sentences, UNREACHABLE)
    chosen = filter_hosts(found, args)
    if not screen.json:
        from hostmanager.cli.status.table import show  # noqa: PLC0415 - rich, not for programs

        show(chosen, screen, only_wrong=args.wrong)
    least = Severity.WARNING if args.wrong else Severity.OK
    return screen.emit_json(exit_code_of(chosen), **as_json(site, chosen, least))


def filter_hosts(found: Sequence[HostStatus], args: argparse.Namespace) -> list[HostStatus]:
    """Leave of each host what the command line is about.

    Raises:
        CommandError: It is about nothing that there is.
    """
    chosen = {(row.host, row.instance_id) for row in select(found, args)}
    picky = bool(args.pattern or args.agent_class)
    hosts = []
    for host in found:
        rows = [row for row in host.agents if (row.host, row.instance_id) in chosen]
        if rows or not picky:
            hosts.append(_with_rows(host, rows))
    return hosts


def _with_rows(host: HostStatus, rows: list[AgentStatus]) -> HostStatus:
    ordered = tuple(sorted(rows, key=lambda row: -row.severity))  # stable: else as in the file
    return HostStatus(
        *(host.host, host.error, host.process, host.data, ordered, host.severity, host.reasons)
    )


def exit_code_of(found: Sequence[HostStatus]) -> int:
    """The exit status for what was found."""
    if unreachable(found):
        return UNREACHABLE
    if any(host.severity is Severity.ERROR for host in found):
        return FAILED
    rows = [row for host in found for row in host.agents if row.child is not None]
    return OK if all(row.reached for row in rows) else FAILED


def as_json(
    site: Site, found: Sequence[HostStatus], least: Severity = Severity.OK
) -> dict[str, Any]:
    """What programs get; docs/cli.md describes it.

    Args:
        site: The site.
        found: How things are; the summary counts all of it.
        least: Agents that are listed are at least as bad as this.
    """
    rows = [row for host in found for row in host.agents]
    managed = [row for row in rows if row.is_managed]
    return {
        "site_file": site.path,
        "summary": {
            "hosts": len(found),
            "hosts_silent": len(unreachable(found)),
            "agents": len(managed),
            **{level.word: sum(row.severity is level for row in managed) for level in Severity},
        },
        "hosts": [_host_json(host, least) for host in found],
    }


def _host_json(host: HostStatus, least: Severity) -> dict[str, Any]:
    data = host.data
    return {
        "host": host.host.name,
        "manager": host.host.manager,
        "answers": host.host.manager is not None and host.error is None,
        "trouble": None if host.error is None else host.error.kind.value,
        "process": host.process or None,
        "severity": host.severity.word,
        "reasons": list(host.reasons),
        "config_parse_status": data.get("config_parse_status") or {},
        "orphans": data.get("orphans") or {},
        "new_tags": data.get("new_tags") or {},
        "agents": [row_json(row) for row in host.agents if row.severity >= least],
    }


def row_json(row: AgentStatus) -> dict[str, Any]:
    """Give one instance: what its manager says, and what is made of it here."""
    entry = row.entry
    return {
        **(row.child or {}),
        "host": row.host,
        "instance_id": row.instance_id,
        "agent_class": row.agent_class,
        "state": row.state,
        "target": row.target or None,
        "severity": row.severity.word,
        "reasons": list(row.reasons),
        "manage": entry.manage if entry is not None else None,
        "in_site_config": entry is not None,
        "known_to_manager": row.child is not None,
    }


run = command(status)
