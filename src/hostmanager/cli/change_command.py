"""What `up`, `down` and `restart` share: options, the plan, a question, waiting, the outcome."""

import argparse
import contextlib
import signal
from collections.abc import Iterator, Sequence

from hostmanager.cli import options
from hostmanager.cli.confirmation import DRY_RUN, confirm, nothing_changed_yet
from hostmanager.cli.exit_codes import FAILED, INTERRUPTED, OK, UNREACHABLE, CommandError
from hostmanager.cli.output import Output, command
from hostmanager.client.change.plan import Plan, Selection, make_plan
from hostmanager.client.change.plan_text import plan_lines
from hostmanager.client.change.stops import lost_reason_text
from hostmanager.client.change.timeouts import TIMEOUTS
from hostmanager.client.site_model import Site, read_site
from hostmanager.client.status.model import HostStatus
from hostmanager.client.status.selection import fetch_status, hosts_to_query, select_agents
from hostmanager.util.help_parser import HelpParser

WHAT_FOLLOWS = """\
What will happen is shown first; --dry-run shows only that. If more than one running agent would
be stopped, there is a question; where there is no terminal, --yes is needed. Then the command
waits for each agent (unless --no-wait is given); for those that do not get there, the reason and
their last output are shown. All hosts get their requests at the same time. Ctrl-C ends the
waiting, not what the managers do."""
"""The end of the description of each."""


def make_change_epilog(examples: str) -> str:
    """Make the end of the help text of each."""
    return options.make_epilog(
        done="all agents are as requested (with --no-wait: the request was accepted)",
        not_reached="at least one is not, or was refused; the message says which and why",
        examples=examples,
    )


def add_change_command(
    parser: HelpParser,
    name: str,
    *,
    yes_help: str,
    selection: tuple[str, Selection, str] | None = None,
) -> None:
    """Add the options of `up`, `down` or `restart`.

    Args:
        parser: Gets them.
        name: The command.
        yes_help: Help of `--yes`.
        selection: An option that selects agents by their status: its name, what it selects, help.
    """
    parser.set_defaults(change=name, selection=Selection.ALL)  # `start` is `up`
    options.add_selection(parser, whole=True)
    if selection is not None:
        option, value, text = selection
        parser.add_argument(option, dest="selection", action="store_const", const=value, help=text)
    options.add_change_options(parser, yes_help=yes_help)
    parser.add_argument("--no-wait", action="store_true", help="send the requests, do not wait")
    if name != "down":
        parser.add_argument(
            "--no-wait-ready",
            action="store_true",
            help="wait only until agents stay up for a moment, not until they have registered",
        )
    options.add_timeout(parser, TIMEOUTS[name], "stop waiting after this time, as 90s or 2m")
    options.add_common(parser)


@command
def run_change(args: argparse.Namespace, output: Output) -> int:
    """Run one of the three subcommands."""
    by_status = args.selection is not Selection.ALL
    if not (args.pattern or args.host or args.agent_class or args.all or by_status):
        raise CommandError(
            f"name at least one agent: hostmanager {args.command} PATTERN..., or --all."
        )
    if args.all and args.pattern:
        raise CommandError("--all and names exclude each other.")
    with nothing_changed_yet():
        # What the site config says must not come from an old one.
        by_config = args.selection is Selection.NOT_AS_CONFIGURED
        site = read_site(args, or_copy=not by_config)
        if site.notice:
            output.warn(site.notice)
        hosts = fetch_status(site, args, hosts_to_query(site, args))
        agents = select_agents(hosts, args)
        plan = make_plan(args.change, hosts, agents, args.pattern, args.selection)
        output.plan(plan_lines(plan))
    if args.dry_run:
        output.line(DRY_RUN)
        return output.emit_json(_refusal_code(plan), **plan.as_json(), dry_run=True)
    confirm(plan.stops, args, output)
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
    try:
        with view:
            executor.execute(view.refresh)
    except KeyboardInterrupt:
        view.interrupted(*executor.interrupted)
        return INTERRUPTED
    view.result()
    if executor.hosts_without_reason:
        output.warn(lost_reason_text(executor.hosts_without_reason))
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
