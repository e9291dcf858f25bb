"""Runs `send` as a child process, with a time limit: a receiver that hangs holds nothing up."""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hostmanager.alerts.message import AlertMessage
from hostmanager.alerts.rules_file import RulesFile
from hostmanager.alerts.send import NOT_INSTALLED
from hostmanager.siteconfig.diagnostics import Diagnostic, DiagnosticCollector
from hostmanager.siteconfig.source import Location
from hostmanager.util.secret import Secret
from hostmanager.util.text import quote_value

SEND_TIMEOUT = 60.0
"""Seconds that a receiver has to take a message."""

CHECK_TIMEOUT = 60.0


@dataclass(frozen=True, slots=True)
class SendResult:
    """What became of a message.

    Attributes:
        error: Why it was not sent; empty: it was.
        maybe_sent: Whether it may have been sent although there is an error.
    """

    error: str = ""
    maybe_sent: bool = False


def send_by_child(url: Secret, message: AlertMessage, timeout: float = SEND_TIMEOUT) -> SendResult:
    """Send a message; blocks until it is sent, or the time is over."""
    request = {"url": str(url), "title": message.title, "body": message.body}
    try:
        answer = _run(request, timeout)
    except subprocess.TimeoutExpired:
        return SendResult(f"no answer within {timeout:g} s", maybe_sent=True)
    except (OSError, ValueError):
        return SendResult("the process that sends it failed", maybe_sent=True)
    return SendResult(str(answer))


def check_urls(file: RulesFile) -> tuple[Sequence[Diagnostic], str]:
    """Ask apprise whether it can use the URLs.

    Returns:
        What is wrong, with lines; and why it could not be checked, or an empty text.
    """
    try:
        answer = _run({"check": [str(url) for _, url in file.urls]}, CHECK_TIMEOUT)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        answer = ["apprise could not be asked"]
    collector = DiagnosticCollector(str(file.path))
    if not isinstance(answer, list):
        return (), str(answer)
    for (location, _), hint in zip(file.urls, answer, strict=False):
        if hint.startswith((NOT_INSTALLED, "apprise could not")):
            return (), hint
        if hint:
            what = f"URL {location.number} of receiver {quote_value(location.receiver)}"
            place = Location(location.line, location.column)
            collector.error(place, f"{what} cannot be used by apprise.", hint)
    return collector.diagnostics, ""


def _run(request: Any, timeout: float) -> Any:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "hostmanager.alerts.send"],
        input=json.dumps(request),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # a traceback shows arguments
        timeout=timeout,
        text=True,
        check=False,
    )
    return json.loads(done.stdout)
