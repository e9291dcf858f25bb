"""`hostmanager up`, `down` and `restart`: say what will happen, do it, and see it through."""

import argparse
import contextlib
import signal
from collections.abc import Iterator, Sequence
from typing import Any

from hostmanager.cli.exit_codes import FAILED, OK, UNREACHABLE, CommandError
from hostmanager.cli.options import add_common, add_selection, exit_status_help, new_parser, seconds
from hostmanager.cli.output import Output, command
from hostmanager.client.change.plan import AgentChange, Plan, make_plan
from hostmanager.client.site_model import Site, read_site
from hostmanager.client.status.model import HostStatus, no_router
from hostmanager.client.status.selection import fetch_status, hosts_to_query, select
from hostmanager.util.text import join_names, pluralize

TIMEOUT = 60.0
"""Seconds until it is given up to wait for agents; an agent may take 15 s to be ended."""

VERBS = {"up": "start", "down": "stop", "restart": "restart"}

_WHAT = {
    "up": """\
Start agents: say that they are wanted up, and wait until they are. An agent counts as up when
it has been so for 2 seconds, since many die only then, whoever started it. One that waits to be
started again after it died is started at once.""",
    "down": """\
Stop agents: say that they are wanted down, and wait until nothing of them is left. They stay
down, whatever else happens, until somebody says `up`; only a start of the `manager` process
after a stop of it, or --initial-state of a manager that had ended in order, sets other targets.""",
    "restart": """\
Restart agents: each that is wanted up is ended, and started again as soon as it has ended.
Those that are wanted down are left down, and it is said which. The managers carry that out, also
if this command, the router or the manager itself dies meanwhile; only `down` calls it off. A
compose service is ended only once its new image is here. The service that runs the router is
restarted last, by itself.""",
}
_COMMON = """

What will happen is shown first; --dry-run shows only that. Then each agent is waited for
(--no-wait: it is not), and of those that do not get there, it is said why, with their last
lines. All hosts are told at the same time. Ctrl-C ends the waiting, not what goes on on the
hosts."""

_YES = {
    "up": "for scripts that give it to every command: nothing is asked here",
    "down": "do not ask before all agents are stopped",
    "restart": "do not ask before all agents are restarted",
}
_EXAMPLES = {
    "up": """\
  hostmanager up fake1
  hostmanager up 'fake*' acu1 --timeout 2m
      all whose ids begin with "fake", and acu1
  hostmanager up --host daq1 --all
      everything on daq1
  hostmanager up --class FakeDataAgent --dry-run
      show which agents of the class would be started
""",
    "down": """\
  hostmanager down acu1
      before somebody puts their hands into the hardware
  hostmanager down --host daq1 --all --yes
      everything on daq1, without being asked
  hostmanager down 'cam*' --no-wait
""",
    "restart": """\
  hostmanager restart acu1
  hostmanager restart --class FakeDataAgent
      all agents of the class, on every host, that are wanted up
  hostmanager restart --all --dry-run
      what a restart of everything would end and start
""",
}


def add_parser(subparsers: Any) -> None:
    """Add the three subcommands."""
    for name, what in _WHAT.items():
        epilog = exit_status_help(
            done="all agents are as they were told to be (with --no-wait: they were told)",
            not_reached="at least one is not, or could not be told; it was said which and why",
        )
        epilog += f"\nexamples:\n{_EXAMPLES[name]}"
        parser = new_parser(subparsers, name, what + _COMMON, epilog)
        add_selection(parser, whole=True)
        parser.add_argument("--dry-run", action="store_true", help="only show what would happen")
        parser.add_argument("--yes", "-y", action="store_true", help=_YES[name])
        parser.add_argument("--no-wait", action="store_true", help="tell them, and do not wait")
        parser.add_argument(
            "--timeout",
            type=seconds,
            default=TIMEOUT,
            metavar="TIME",
            help="give up waiting after this time, as 90s or 2m (default: %(default)g s)",
        )
        add_common(parser)


def run_change(args: argparse.Namespace, screen: Output) -> int:
    """Do what one of the three subcommands says."""
    if not (args.pattern or args.host or args.agent_class or args.all):
        raise CommandError(f"say which agents: hostmanager {args.command} PATTERN..., or --all.")
    if args.all and args.pattern:
        raise CommandError("--all and names exclude each other.")
    site = read_site(args)
    found = fetch_status(site, args, hosts_to_query(site, args))
    away = no_router(found)
    if away is not None:
        raise CommandError(f"{away.sentences} Nothing was changed.", UNREACHABLE)
    plan = make_plan(args.command, found, select(found, args), args.pattern)
    _show(plan, screen)
    if args.dry_run:
        return screen.emit_json(_code_before(plan), **plan.as_json(), dry_run=True)
    if plan.steps and not _confirm(plan, site, found, args, screen):
        raise CommandError("nothing was changed.", FAILED)
    return _carry_out(site, plan, found, args, screen)


def _carry_out(
    site: Site, plan: Plan, found: Sequence[HostStatus], args: argparse.Namespace, screen: Output
) -> int:
    from hostmanager.client.change.executor import PlanExecutor  # noqa: PLC0415 - not for a dry run

    pursuit = PlanExecutor(site, plan, found, args)
    with signals_as_keyboard_interrupt():
        code = max(pursuit.run(screen), _code_before(plan))
    return screen.emit_json(code, **plan.as_json(), dry_run=False)


@contextlib.contextmanager
def signals_as_keyboard_interrupt() -> Iterator[None]:
    """A terminal that is closed, or a `kill`, must leave nothing ended that was to come back."""

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


def _code_before(plan: Plan) -> int:
    """The exit status for what is known before anything is done."""
    if any(refusal.silent for refusal in plan.refused):
        return UNREACHABLE
    return FAILED if plan.refused else OK


def _show(plan: Plan, screen: Output) -> None:
    """Say what will happen."""
    verb = VERBS[plan.command]
    by_host: dict[str, list[AgentChange]] = {}
    for step in plan.steps:
        by_host.setdefault(step.row.host, []).append(step)
    if not plan.steps:
        screen.line("nothing was changed" if plan.refused else f"nothing to {verb}")
    for host, steps in by_host.items():
        names = [_name(step) for step in steps]
        screen.line(f"{verb} on {host}: {', '.join(names)}")
        if host in plan.managers_to_start:
            screen.line(
                f"  the manager of {host} was told to stop; it begins again, with only these up"
            )
    for host in plan.without_restart:
        screen.line(
            f"  the manager of {host} has no operation 'restart' (an older one, or that of OCS): "
            "this command tells each down, and up again once it has ended; do not interrupt it"
        )
    if plan.unchanged:
        state = "down, left so" if plan.command == "restart" else f"already {plan.command}"
        screen.line(f"{state}: {join_names([row.instance_id for row in plan.unchanged], 10)}")
    for refusal in plan.refused:
        screen.line(f"! {refusal.row.host} {refusal.row.instance_id}: {refusal.reason}", "red")


def _restarts(step: AgentChange) -> bool:
    return step.stop_first or step.by_manager


def _name(step: AgentChange) -> str:
    state = step.row.state
    usual = ("down",) if step.final == "up" and not _restarts(step) else ("up",)
    return step.row.instance_id + ("" if state in usual else f" (now {state})")


def _confirm(
    plan: Plan,
    site: Site,
    found: Sequence[HostStatus],
    args: argparse.Namespace,
    screen: Output,
) -> bool:
    """Ask before everything is stopped, if there is somebody to be asked."""
    alive = [r for host in found for r in host.agents if r.child is not None and r.state != "down"]
    everything = args.all or (len(found) == len(site.hosts) and len(plan.steps) >= len(alive) > 1)
    if plan.command == "up" or args.yes or not everything or not screen.can_ask:
        return True
    hosts = {step.row.host for step in plan.steps}
    where = f"{pluralize(len(plan.steps), 'agent')} on {pluralize(len(hosts), 'host')}"
    return screen.ask(f"This will {VERBS[plan.command]} {where}. Go on?")


run = command(run_change)
