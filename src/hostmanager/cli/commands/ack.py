"""`hostmanager ack`: acknowledge incidents of the alarm service."""

import argparse

from hostmanager.cli.exit_codes import FAILED, OK
from hostmanager.cli.options import (
    add_alerts_id,
    add_common,
    make_epilog,
    number_between,
    reason_text,
)
from hostmanager.cli.output import Output, command
from hostmanager.client.alarm_client import AlarmClient
from hostmanager.client.site_model import read_site
from hostmanager.util.help_parser import HelpParser

DESCRIPTION = """\
Acknowledge incidents: somebody works on them. There are no more reminders, and the next receiver
is not notified; the end of the incident is reported. The number is in the message, and in
`hostmanager alerts --status`."""

EPILOG = make_epilog(
    done="all of them are acknowledged",
    not_reached="one of them is not open (any more)",
    examples="""\
  hostmanager ack 17 --reason 'on my way'
""",
)


def add_options(parser: HelpParser) -> None:
    """Add the options."""
    parser.add_argument(
        "incident",
        nargs="+",
        type=number_between(1, 10**9),
        metavar="INCIDENT",
        help="the number of an incident",
    )
    parser.add_argument(
        "--reason",
        type=reason_text,
        default=None,
        metavar="TEXT",
        help="why, for others: in later messages and `alerts --status`",
    )
    add_alerts_id(parser)
    add_common(parser)


@command
def run(args: argparse.Namespace, output: Output) -> int:
    """Acknowledge the incidents."""
    client = AlarmClient(read_site(args, or_copy=True), args)
    results = []
    for number in args.incident:
        result = client.acknowledge(number)
        output.line(result.text if result.ok else f"! {result.text}", "" if result.ok else "red")
        results.append({"incident": number, "ok": result.ok, "text": result.text})
    code = OK if all(each["ok"] for each in results) else FAILED
    return output.emit_json(code, incidents=results)
