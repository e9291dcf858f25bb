"""What OCS, autobahn and Twisted log, in our own log: one line each, and each thing once."""

import logging
import re
from typing import Any

import txaio
from twisted.logger import LogLevel, formatEvent, globalLogPublisher

SESSION_MESSAGE = re.compile(r"manager:\d+ (?!Status is now)")
"""What goes before a message of the manager process in OCS's log. It has all that a person wants
to read; the messages of other operations repeat it."""

ALREADY_REPORTED = re.compile(
    "Failed to register basic handlers|Is this agent already running|Are the WAMP realm and OCS"
    "|dropping connection to peer"
)
"""What OCS and autobahn log, at each attempt, of things that the session reports once itself."""


def start_logging(level: str) -> None:
    """Send what OCS, autobahn and Twisted log through our own log.

    One line each: OCS logs whole pages when it joins. What is only of interest to
    programmers goes there as `debug`.
    """
    txaio.start_logging(out=None, level=level)
    globalLogPublisher.addObserver(_forward)


def _forward(event: dict[str, Any]) -> None:
    level = getattr(logging, event.get("log_level", LogLevel.info).name.upper(), logging.ERROR)
    text = formatEvent(event)
    if level < logging.WARNING:
        text = text.partition("\n")[0]
        prefix = SESSION_MESSAGE.match(text)
        level, text = (level, text[prefix.end() :]) if prefix else (logging.DEBUG, text)
    elif ALREADY_REPORTED.match(text):
        level = logging.DEBUG
    elif "log_failure" in event:
        text = f"{text}\n{event['log_failure'].getTraceback()}"
    logging.getLogger("hostmanager.ocs").log(level, "%s", text)
