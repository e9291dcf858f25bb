"""`hostmanager die`: end managers, with their agents or without."""

import argparse
import time
from collections.abc import Callable
from typing import Any

from hostmanager.cli.exit_codes import FAILED, CommandError
from hostmanager.cli.options import add_common, add_hosts, exit_status_help, new_parser, seconds
from hostmanager.cli.output import Output, command
from hostmanager.client.manager_client import (
    FailureKind,
    ManagerClient,
    ManagerError,
    OperationResult,
)
from hostmanager.client.multi_host import (
    as_json,
    exit_code,
    print_results,
    run_on_all,
    select_managers,
)
from hostmanager.client.site_model import read_site
from hostmanager.util.text import join_names, pluralize

TIMEOUT = 60.0
"""Seconds; agents may take 15 s to be ended."""

PAUSE = 0.2

DESCRIPTION = """\
End the managers of hosts: each stops all of its agents and then ends itself; it can be started
again only on its host (by systemd, if it is a service there). With --disown, all agents are
left running, and the next manager of the host takes them over as they are: for an upgrade that
no agent notices."""

EPILOG = f"""\
{
    exit_status_help(
        done="they have ended, and everything that they were to end",
        not_reached="something could not be ended, or a manager refuses; it was said why",
    )
}
examples:
  hostmanager die --host daq1
      all agents of daq1, and its manager
  hostmanager die --host daq1 --disown
      the manager alone; then install the new version, and start it
"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = new_parser(subparsers, "die", DESCRIPTION, EPILOG)
    group = parser.add_argument_group("which hosts")
    add_hosts(group)
    group.add_argument("--all", action="store_true", help="the managers of all hosts")
    parser.add_argument("--disown", action="store_true", help="leave all agents running")
    parser.add_argument(
        "--disown-dockers", action="store_true", help="leave compose services running"
    )
    parser.add_argument("--yes", "-y", action="store_true", help="do not ask before")
    parser.add_argument(
        "--timeout",
        type=seconds,
        default=TIMEOUT,
        metavar="TIME",
        help="how long each may take (default: %(default)g s)",
    )
    add_common(parser)


def die(args: argparse.Namespace, screen: Output) -> int:
    """End them."""
    if bool(args.host) == args.all:
        raise CommandError("say which: --host HOST (may be repeated), or --all.")
    who = select_managers(read_site(args), args)
    what = "and leave all agents running" if args.disown else "and stop all of their agents"
    if not args.yes and screen.can_ask:
        question = f"This will end {pluralize(len(who.hosts), 'manager')} ({join_names(list(who.hosts))}) {what}."
        if not screen.ask(f"{question} Go on?"):
            raise CommandError("nothing was done.", FAILED)
    params = {"disown_dockers": args.disown_dockers}
    if args.disown:
        params["disown"] = True  # managers of others do not know it
    try:
        answers = run_on_all(
            who,
            lambda man: _ending(man, args.timeout, args.answer_time, params),
            args.answer_time,
            args.timeout + 2 * args.answer_time,
        )
    except KeyboardInterrupt:
        screen.warn("the managers go on ending what they were told to end.")
        raise
    print_results(answers, screen)
    return screen.emit_json(exit_code(answers), hosts=as_json(answers))


def _ending(
    manager: ManagerClient, limit: float, answer_time: float, params: dict[str, bool]
) -> Callable[[], OperationResult]:
    def work() -> OperationResult:
        reply = OperationResult(True, "ended")
        try:
            reply = manager.run("die", limit, **params)
        except ManagerError as error:
            if error.kind is not FailureKind.NOT_REGISTERED:  # it was faster than its answer
                raise
        _wait_until_gone(manager, answer_time)
        return reply

    return work


def _wait_until_gone(manager: ManagerClient, patience: float) -> None:
    until = time.monotonic() + patience
    while time.monotonic() < until:
        try:
            manager.session()
        except ManagerError as error:
            if error.kind is FailureKind.NOT_REGISTERED:
                return
        time.sleep(PAUSE)
    raise ManagerError(FailureKind.REFUSED, f"{manager.instance_id} is still at the router")


run = command(die)
