"""`hostmanager alerts`: the alarm service, its status, a test message."""

import argparse
import logging
import os
import sys
import time
from collections.abc import Mapping
from typing import Any

from hostmanager.cli.exit_codes import FAILED, OK
from hostmanager.cli.options import add_alerts_id, add_common, make_epilog
from hostmanager.cli.output import Output, command
from hostmanager.client.alarm_client import AlarmClient
from hostmanager.client.site_model import read_site
from hostmanager.client.text import format_time
from hostmanager.util.help_parser import HelpParser
from hostmanager.util.text import format_duration, pluralize

DESCRIPTION = """\
The alarm service: it watches all agents of the site and the router, and sends messages when something
is wrong, by mail, chat or any other service of apprise (pip install 'ocs-hostmanager[alerts]'). It
runs on one host of the site until SIGTERM; `hostmanager install-systemd --alerts` installs it.

The receivers and the rules are in alerts.yaml beside the site config; docs/alerts.md describes it."""

EPILOG = make_epilog(
    done="it ended by SIGTERM; with --status: nothing is wrong; with --test: all were notified",
    not_reached="with --status: there are open incidents; with --test: a receiver failed",
    examples="""\
  hostmanager alerts --test
      sends a message to each receiver in alerts.yaml
  hostmanager alerts --status
      what is wrong, who was notified, whether receivers take messages
  hostmanager ack 17 --reason 'on my way'
      acknowledges an incident: there is no message about it before it is over
""",
)


def add_options(parser: HelpParser) -> None:
    """Add the options."""
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--status", action="store_true", help="show what the running service knows, and end"
    )
    what.add_argument(
        "--test", action="store_true", help="send a test message to each receiver, and end"
    )
    what.add_argument(
        "--once",
        action="store_true",
        help="check once, for as long as the rules ask, send what is due, and end",
    )
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="the rules (default: alerts.yaml beside the site config)",
    )
    parser.add_argument(
        "--state-dir",
        metavar="DIR",
        help="directory of its state: what is wrong, and who was notified",
    )
    add_alerts_id(parser)
    add_common(parser)


@command
def run(args: argparse.Namespace, output: Output) -> int:
    """Run the service, or show or test it."""
    if args.status:
        return _status(args, output)
    from hostmanager.alerts import main  # noqa: PLC0415 - not for --status

    if args.test:
        return _test(main.send_test(main.load_rules(args)), output)
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s: %(message)s"
    )
    prepared = main.prepare(args)
    if args.once:
        main.run_once(prepared)
        return _show(prepared.service.status(), output)
    main.run_service(args, prepared, os.environ)
    return OK


def _test(results: Mapping[str, Any], output: Output) -> int:
    code = OK
    for name, result in results.items():
        if result.error:
            code = FAILED
            output.line(f"! {name}: {result.error}", "red")
        else:
            output.line(f"{name}: sent")
    content = [{"receiver": name, "error": result.error} for name, result in results.items()]
    return output.emit_json(code, receivers=content)


def _status(args: argparse.Namespace, output: Output) -> int:
    client = AlarmClient(read_site(args, or_copy=True), args)
    return _show(client.status(), output)


def _show(status: Mapping[str, Any], output: Output) -> int:
    now = status["now"]
    incidents, pending = status["incidents"], status["pending"]
    ago = format_duration(now - status["last_look"])
    waiting = f", {pluralize(len(pending), 'finding')} not due yet" if pending else ""
    output.line(f"{pluralize(len(incidents), 'open incident')}{waiting}; checked {ago} ago")
    for incident in incidents:
        _show_incident(incident, output)
    for silence in status["silences"]:
        names = ", ".join(silence["agents"]) or "all"
        left = format_duration(silence["until"] - now)
        by = f" by {silence['requested_by']}" if silence["requested_by"] else ""
        reason = f": {silence['reason']}" if silence["reason"] else ""
        output.line(f"silenced: {names} on {silence['host']} for another {left}{by}{reason}")
    for receiver in status["receivers"]:
        _show_receiver(receiver, now, output)
    if status["not_kept"]:
        output.warn(f"it cannot keep its state: {status['not_kept']}")
    return output.emit_json(FAILED if incidents else OK, alerts=dict(status))


def _show_incident(incident: Mapping[str, Any], output: Output) -> None:
    told = incident["receivers"][: incident["told"]]
    waiting = [name for name in told if name in incident.get("not_notified", ())]
    notified = [name for name in told if name not in waiting]
    opened = format_time(incident["opened"], time.time())
    parts = [f"{', '.join(notified)} notified at {opened}"] if notified else []
    parts += [f"{', '.join(waiting)} not notified yet"] if waiting else []
    state = "; ".join(parts)
    if incident["acknowledged_by"]:
        reason = incident["acknowledged_reason"]
        state += f"; acknowledged by {incident['acknowledged_by']}{reason and f': {reason}'}"
    style = "red" if incident["severity"] == "critical" else "yellow"
    output.line(f"! incident {incident['number']}, {incident['severity']}, {state}", style)
    for finding in incident["findings"]:
        name = " on ".join(filter(None, (finding["instance_id"], finding["host"]))) or "the router"
        note = " (silenced, or not known now)" if finding["silenced_or_unknown"] else ""
        output.line(f"    {name}: {finding['reason']}{note}")


def _show_receiver(receiver: Mapping[str, Any], now: float, output: Output) -> None:
    last = receiver["last_sent"]
    text = f"last message {format_duration(now - last)} ago" if last else "no message yet"
    if receiver["waiting"] or receiver["sending"]:
        text += f", {pluralize(receiver['waiting'] + receiver['sending'], 'notice')} to be sent"
    line = f"{receiver['name']} ({receiver['service']}): {text}"
    if receiver["last_error"]:
        retry = format_duration(max(0.0, receiver["retry_at"] - now))
        output.line(f"! {line}; {receiver['last_error']}; next attempt in {retry}", "red")
    else:
        output.line(line)
