"""Signals that come before the manager can act on them are noted, and acted on then.

Importing what the manager consists of takes longer than it takes somebody to send a signal; by
default SIGHUP, which means "read the site config again", would end the process. So whatever
starts a manager calls `note_signals` first, before it imports anything else.
"""

import os
import signal
from collections.abc import Callable, Mapping
from types import FrameType

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_noted: list[int] = []


def note_signals() -> None:
    """Note signals from now on. A second one that requests the end has its default effect."""
    for number in (signal.SIGHUP, *STOP_SIGNALS):
        signal.signal(number, _note)


def _note(number: int, _: FrameType | None) -> None:
    if number in STOP_SIGNALS and stop_requested():
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    _noted.append(number)


def stop_requested() -> bool:
    """Whether a noted signal requests the end."""
    return any(number in STOP_SIGNALS for number in _noted)


def hand_over(handlers: Mapping[signal.Signals, Callable[[], object]]) -> None:
    """Have signals handled by these from now on, those that were noted first."""
    for number, handle in handlers.items():
        signal.signal(number, lambda *_, handle=handle: handle())
    for noted in _noted:
        handlers[signal.Signals(noted)]()
