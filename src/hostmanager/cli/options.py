"""Options that subcommands share, and how their help looks."""

import argparse
from collections.abc import Callable
from typing import Any

from hostmanager.client.managers.request_origin import reason_problem
from hostmanager.client.text import SINCE_HELP, parse_since
from hostmanager.util.help_parser import HelpParser
from hostmanager.util.numbers import parse_number
from hostmanager.util.text import parse_time_span

MAX_COUNT = 1_000_000
"""Lines, or entries, that can be asked for; managers give them page by page."""

ANSWER_TIMEOUT = 5.0
"""Seconds that a host has for an answer by default."""


DEFAULT_ALERTS_ID = "alerts"
"""The instance-id of the alarm service at the router."""


def make_epilog(
    *,
    done: str,
    not_reached: str,
    examples: str,
    interrupted: str = "interrupted (Ctrl-C)",
    before: str = "",
) -> str:
    """Make the end of a help text: what the command has to say `before`, exit statuses, examples."""
    lead = f"{before}\n" if before else ""
    return f"""\
{lead}exit status:
  0    {done}
  1    {not_reached}
  2    the command line or the site config makes no sense; nothing was done
  3    the router, or the manager of a host in question, does not answer
  130  {interrupted}

examples:
{examples}"""


def add_common(parser: HelpParser, *, json: bool = True) -> None:
    """Add the options of all subcommands that ask managers: output, time limit, privileges, site."""
    if json:
        parser.add_argument("--json", action="store_true", help="print JSON, for programs")
    asking = parser.add_argument_group("asking the managers")
    asking.add_argument(
        "--answer-time",
        type=seconds,
        default=ANSWER_TIMEOUT,
        metavar="SECONDS",
        help="how long each host has for an answer; all are asked at the same time "
        "(default: %(default)g)",
    )
    asking.add_argument(
        "--privs",
        metavar="LEVEL|PASSWORD",
        help="with access control: the credential level 1, 2 or 3, whose password is looked up in "
        "OCS's password file, or a password; '-' asks for it",
    )
    add_site_options(parser)


def add_site_options(parser: HelpParser) -> None:
    """Add the options that every OCS program has."""
    from ocs.site_config import add_arguments  # noqa: PLC0415 - takes long, and is not for all

    parser.add_site_options(add_arguments)


def add_alerts_id(parser: argparse.ArgumentParser) -> None:
    """Add `--alerts-id`."""
    parser.add_argument(
        "--alerts-id",
        metavar="ID",
        default=DEFAULT_ALERTS_ID,
        help="the instance-id of the alarm service at the router (default: %(default)s)",
    )


def add_selection(parser: argparse.ArgumentParser, *, whole: bool = False) -> None:
    """Add the selection of agents: patterns, hosts, classes.

    Args:
        parser: Gets the options.
        whole: Whether `--all` is needed, so that nothing means nothing.
    """
    group = parser.add_argument_group("which agents")
    group.add_argument(
        "pattern",
        nargs="*",
        metavar="PATTERN",
        help="instance-ids, or patterns of them in quotes: 'fake*', 'acu[12]'",
    )
    add_hosts(group)
    group.add_argument(
        "--class",
        dest="agent_class",
        action="append",
        metavar="CLASS",
        help="only agents of this class, or of any that fits a pattern; may be repeated",
    )
    if whole:
        group.add_argument("--all", action="store_true", help="all agents (of the hosts named)")


def add_hosts(group: Any) -> None:
    """Add `--host`."""
    group.add_argument(
        "--host",
        action="append",
        metavar="HOST",
        help="only on this host, or on any that fits a pattern; may be repeated",
    )


def add_timeout(parser: argparse.ArgumentParser, default: float, what: str) -> None:
    """Add `--timeout`."""
    parser.add_argument(
        "--timeout",
        type=seconds,
        default=default,
        metavar="TIME",
        help=f"{what} (default: %(default)g s)",
    )


def add_change_options(parser: argparse.ArgumentParser, *, yes_help: str) -> None:
    """Add the options of all subcommands that change something: a dry run, no question, a reason."""
    parser.add_argument(
        "--dry-run", action="store_true", help="only show what would happen; change nothing"
    )
    if yes_help:
        parser.add_argument("--yes", "-y", action="store_true", help=yes_help)
    parser.add_argument(
        "--reason",
        type=reason_text,
        default=None,
        metavar="TEXT",
        help="why, for others: kept in `hostmanager history` and shown by `hostmanager status`",
    )


def reason_text(text: str) -> str:
    """Read the value of `--reason`, for argparse."""
    problem = reason_problem(text)
    if problem:
        raise argparse.ArgumentTypeError(problem)
    return text.strip()


def add_since(parser: argparse.ArgumentParser, what: str) -> None:
    """Add `--since`."""
    text = f"only {what} after this: {SINCE_HELP}"
    parser.add_argument("--since", type=_typed(parse_since), metavar="TIME", help=text)


def add_until(parser: argparse.ArgumentParser, what: str) -> None:
    """Add `--until`."""
    text = f"only {what} before this, given as for --since"
    parser.add_argument("--until", type=_typed(parse_since), metavar="TIME", help=text)


def seconds(text: str) -> float:
    """Read a duration, for argparse."""
    return _typed(parse_time_span)(text)


def number_between(least: int, most: int) -> Callable[[str], int]:
    """Make a reader of whole numbers, for argparse."""

    def convert(text: str) -> int:
        number = parse_number(text, most)
        if number is None or number < least:
            raise argparse.ArgumentTypeError(
                f"{text!r} is not a whole number from {least} to {most}"
            )
        return number

    return convert


line_count = number_between(1, MAX_COUNT)
"""Reads a number of lines, for argparse."""


def _typed(read: Callable[[str], float]) -> Callable[[str], float]:
    def convert(text: str) -> float:
        try:
            return read(text)
        except (ValueError, OverflowError) as error:
            raise argparse.ArgumentTypeError(str(error).rstrip(".")) from None

    return convert
