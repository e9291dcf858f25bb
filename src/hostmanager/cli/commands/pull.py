"""`hostmanager pull`: have managers pull the images of their compose files."""

import argparse
import threading
from collections.abc import Callable
from typing import Any

from hostmanager.cli.options import add_common, add_hosts, exit_status_help, new_parser, seconds
from hostmanager.cli.output import Output, command
from hostmanager.client.manager_client import ManagerClient, OperationResult
from hostmanager.client.multi_host import (
    as_json,
    exit_code,
    print_results,
    run_on_all,
    select_managers,
)
from hostmanager.client.site_model import read_site
from hostmanager.client.task_progress import Reader, run_and_stream

TIMEOUT = 1800.0
"""Seconds; images can be large and networks slow."""

DESCRIPTION = """\
Have the managers pull the images that their compose files name, all hosts at the same time, and
show how they get on. Running containers are left as they are: `hostmanager status` shows which
would run another image after `hostmanager restart`. Ctrl-C ends the waiting, not the pulling."""

EPILOG = f"""\
{
    exit_status_help(
        done="all images were pulled", not_reached="at least one was not; it was said which and why"
    )
}
examples:
  hostmanager pull --host daq1
  hostmanager pull && hostmanager status --wrong
      pull everything, then see what needs a restart
"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = new_parser(subparsers, "pull", DESCRIPTION, EPILOG)
    add_hosts(parser)
    parser.add_argument(
        "--timeout",
        type=seconds,
        default=TIMEOUT,
        metavar="TIME",
        help="how long each host may take (default: %(default)g s)",
    )
    add_common(parser)


def pull(args: argparse.Namespace, screen: Output) -> int:
    """Have them pulled."""
    who = select_managers(read_site(args), args)
    lock = threading.Lock()

    def work(manager: ManagerClient) -> Callable[[], OperationResult]:
        def news(text: str) -> None:
            with lock:
                screen.line(f"{manager.host}: {text}", "dim")

        read = Reader(news)
        return lambda: run_and_stream(manager, "docker_pull", args.timeout, args.answer_time, read)

    try:
        answers = run_on_all(who, work, args.answer_time, args.timeout + 2 * args.answer_time)
    except KeyboardInterrupt:
        screen.warn("the managers go on pulling; `hostmanager pull` shows how they get on.")
        raise
    print_results(answers, screen)
    return screen.emit_json(exit_code(answers), hosts=as_json(answers))


run = command(pull)
