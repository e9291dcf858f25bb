"""`hostmanager pull`: have managers pull the images of their compose files."""

import argparse
import threading

from hostmanager.cli import options
from hostmanager.cli.confirmation import DRY_RUN, nothing_changed_yet
from hostmanager.cli.host_results import report_errors, request_on_all
from hostmanager.cli.output import Output, command
from hostmanager.client.change.pull_plan import plan_pull
from hostmanager.client.change.stops import list_hosts
from hostmanager.client.change.timeouts import TIMEOUTS
from hostmanager.client.managers.manager_client import ManagerClient, OperationResult
from hostmanager.client.managers.multi_host import TargetManagers, select_managers
from hostmanager.client.managers.task_progress import MessageReader, run_and_stream
from hostmanager.client.site_model import read_site
from hostmanager.util.help_parser import HelpParser

DESCRIPTION = """\
Have the managers pull the images that their compose files name, all hosts at the same time, and
show the progress. Running containers are left as they are: `hostmanager status` shows which
would run another image after `hostmanager restart`. Ctrl-C ends the waiting, not the pulling."""

EPILOG = options.make_epilog(
    done="all images were pulled",
    not_reached="at least one was not; the message says which and why",
    examples="""\
  hostmanager pull --host daq1
  hostmanager pull --dry-run
      which images of which compose files, and which are missing
  hostmanager pull && hostmanager status --wrong
      pull everything, then see what needs a restart
""",
)


def add_options(parser: HelpParser) -> None:
    """Add the options."""
    options.add_hosts(parser)
    options.add_change_options(parser, yes_help="")
    options.add_timeout(parser, TIMEOUTS["pull"], "how long each host may take")
    options.add_common(parser)


@command
def run(args: argparse.Namespace, output: Output) -> int:
    """Pull the images."""
    with nothing_changed_yet():
        targets = select_managers(read_site(args), args)
        if args.dry_run:
            return _dry_run(targets, args, output)
    lock = threading.Lock()

    def pull(manager: ManagerClient) -> OperationResult:
        def show(text: str) -> None:
            with lock:
                output.line(f"{manager.host}: {text}", "dim")

        reader = MessageReader(show)
        return run_and_stream(manager, "docker_pull", args.timeout, args.answer_time, reader)

    return request_on_all(
        targets,
        pull,
        args,
        output,
        interrupted=f"The managers of {list_hosts(targets.hosts)} go on pulling; "
        "`hostmanager pull` shows their progress.",
    )


def _dry_run(targets: TargetManagers, args: argparse.Namespace, output: Output) -> int:
    sessions = targets.fetch_sessions(args.answer_time)
    plans = plan_pull(sessions)
    for plan in plans:
        output.plan(plan.lines())
    code = report_errors(sessions, output)
    output.line(DRY_RUN)
    return output.emit_json(code, plan=[plan.as_json() for plan in plans], dry_run=True)
