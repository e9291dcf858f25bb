"""What `up`, `down` and `restart` share: options, the plan, a question, waiting, the outcome."""

import argparse
import contextlib
import signal
from collections.abc import Iterator, Sequence
from typing import Any

from hostmanager.cli.exit_codes import FAILED, INTERRUPTED, OK, UNREACHABLE, CommandError
from hostmanager.cli.options import (
    add_common,
    add_selection,
    add_timeout,
    exit_status_help,
    new_parser,
)
from hostmanager.cli.output import Output, command
from hostmanager.client.change.plan import AgentChange, Plan, make_plan
from hostmanager.client.change.progress import AgentProgress
from hostmanager.client.site_model import Site, read_site
from hostmanager.client.status.model import HostStatus, state_text
from hostmanager.client.status.selection import fetch_status, hosts_to_query, select_agents
from hostmanager.util.text import join_names, pluralize

CHANGE_TIMEOUT = 60.0
"""Seconds to wait for agents; one may take 15 s to stop."""

VERBS = {"up": "start", "down": "stop", "restart": "restart"}

_COMMON = """

What will happen is shown first; --dry-run shows only that. Then the command waits for each agent
(unless --no-wait is given); for those that do not get there, the reason and their last output are
shown. All hosts get their requests at the same time. Ctrl-C ends the waiting, not what the
managers do."""


def add_change_parser(
    subparsers: Any, name: str, description: str, *, yes_help: str, examples: str
) -> None:
    """Add the parser of `up`, `down` or `restart`."""
    epilog = exit_status_help(
        done="all agents are as requested (with --no-wait: the request was accepted)",
        not_reached="at least one is not, or was refused; the message says which and why",
    )
    epilog += f"\nexamples:\n{examples}"
    parser = new_parser(subparsers, name, description + _COMMON, epilog)
    add_selection(parser, whole=True)
    parser.add_argument("--dry-run", action="store_true", help="only show what would happen")
    parser.add_argument("--yes", "-y", action="store_true", help=yes_help)
    parser.add_argument("--no-wait", action="store_true", help="send the requests, do not wait")
    add_timeout(parser, CHANGE_TIMEOUT, "stop waiting after this time, as 90s or 2m")
    add_common(parser)


@command
def run_change(args: argparse.Namespace, output: Output) -> int:
    """Run one of the three subcommands."""
    if not (args.pattern or args.host or args.agent_class or args.all):
        raise CommandError(
            f"name at least one agent: hostmanager {args.command} PATTERN..., or --all."
        )
    if args.all and args.pattern:
        raise CommandError("--all and names exclude each other.")
    site = read_site(args)
    hosts = fetch_status(site, args, hosts_to_query(site, args))
    plan = make_plan(args.command, hosts, select_agents(hosts, args), args.pattern)
    _show(plan, output)
    if args.dry_run:
        return output.emit_json(_refusal_code(plan), **plan.as_json(), dry_run=True)
    if plan.steps and not _confirm(plan, site, hosts, args, output):
        raise CommandError("Nothing was changed.", FAILED)
    with _signals_as_keyboard_interrupt():
        code = max(_execute(site, plan, hosts, args, output), _refusal_code(plan))
    return output.emit_json(code, **plan.as_json(), dry_run=False)


def _execute(
    site: Site, plan: Plan, hosts: Sequence[HostStatus], args: argparse.Namespace, output: Output
) -> int:
    from hostmanager.cli.progress_view import ProgressView  # noqa: PLC0415 - not for a dry run
    from hostmanager.client.change.executor import PlanExecutor  # noqa: PLC0415

    executor = PlanExecutor(site, plan, hosts, args)
    view = ProgressView(executor, output)
    started: list[AgentProgress] = []
    not_started: list[AgentProgress] = []
    try:
        with view:
            try:
                executor.execute(view.refresh)
            except BaseException:  # before anything is printed: the terminal may be gone
                # A second Ctrl-C must find out what was not started.
                not_started = executor.stopped_not_started()
                started, not_started = executor.start_stopped()
                raise
    except KeyboardInterrupt:
        view.interrupted(started, not_started)
        return INTERRUPTED
    view.result()
    for host, text in executor.warnings.items():
        output.warn(f"{host}: {text}")
    if executor.unreachable:
        return UNREACHABLE
    return FAILED if executor.has_failed else OK


@contextlib.contextmanager
def _signals_as_keyboard_interrupt() -> Iterator[None]:
    """A closed terminal or a `kill` must leave nothing stopped that was to be restarted."""

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = {
        number: signal.signal(number, interrupt) for number in (signal.SIGHUP, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _refusal_code(plan: Plan) -> int:
    """The exit status for what is known before anything is done."""
    if any(refusal.unreachable for refusal in plan.refused):
        return UNREACHABLE
    return FAILED if plan.refused else OK


def _show(plan: Plan, output: Output) -> None:
    """Show what will happen."""
    verb = VERBS[plan.command]
    by_host: dict[str, list[str]] = {}
    for step in plan.steps:
        by_host.setdefault(step.agent.host, []).append(_name(step))
    if not plan.steps:
        output.line("nothing was changed" if plan.refused else f"nothing to {verb}")
    for host, names in by_host.items():
        output.line(f"{verb} on {host}: {', '.join(names)}")
        if host in plan.managers_to_start:
            output.line(
                f"  the manager process of {host} was stopped; it starts with only these up"
            )
    for host in plan.hosts_without_restart:
        output.line(
            f"  the manager of {host} has no operation 'restart' (an older one, or that of OCS): "
            "this command stops each agent, and starts it once it has ended; do not interrupt it"
        )
    if plan.unchanged:
        state = "left down" if plan.command == "restart" else f"already {plan.command}"
        names = [agent.instance_id for agent in plan.unchanged]
        output.line(f"{state}: {join_names(names, 10)}")
    for refusal in plan.refused:
        agent = refusal.agent
        output.line(f"! {agent.host} {agent.instance_id}: {refusal.reason}", "red")


def _name(step: AgentChange) -> str:
    is_restart = step.stop_first or step.by_manager
    expected = "down" if step.final == "up" and not is_restart else "up"
    state = step.agent.state
    return step.agent.instance_id + ("" if state == expected else f" (now {state_text(state)})")


def _confirm(
    plan: Plan, site: Site, hosts: Sequence[HostStatus], args: argparse.Namespace, output: Output
) -> bool:
    """Ask before everything is stopped, if there is a terminal."""
    agents = [agent for host in hosts for agent in host.agents]
    running = [agent for agent in agents if agent.child is not None and agent.state != "down"]
    whole_site = len(hosts) == len(site.hosts) and len(plan.steps) >= len(running) > 1
    if plan.command == "up" or args.yes or not (args.all or whole_site) or not output.can_ask:
        return True
    names = list(dict.fromkeys(step.agent.host for step in plan.steps))
    count = pluralize(len(plan.steps), "agent")
    where = names[0] if len(names) == 1 else f"{len(names)} hosts"
    return output.ask(f"This will {VERBS[plan.command]} {count} on {where}. Continue?")
