"""Signals that come before the manager can act on them are noted, and acted on then.

Importing what the manager consists of takes longer than it takes somebody to send a signal; by
default SIGHUP, which means "read the site config again", would end the process. So whatever
starts a manager calls `install` first, before it imports anything else.
"""

import os
import signal
from collections.abc import Callable, Mapping
from types import FrameType

ENDING = (signal.SIGTERM, signal.SIGINT)
_NOTED: list[int] = []


def install() -> None:
    """Note signals from now on. A second one that asks for the end is obeyed at once."""
    for number in (signal.SIGHUP, *ENDING):
        signal.signal(number, _note)


def _note(number: int, _: FrameType | None) -> None:
    if number in ENDING and told_to_end():
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    _NOTED.append(number)


def told_to_end() -> bool:
    """Whether one of those that were noted asks for the end."""
    return any(number in ENDING for number in _NOTED)


def hand_over(handlers: Mapping[signal.Signals, Callable[[], object]]) -> None:
    """Have signals handled by these from now on, those that were noted first."""
    for number, handle in handlers.items():
        signal.signal(number, lambda *_, handle=handle: handle())
    for noted in _NOTED:
        handlers[signal.Signals(noted)]()
