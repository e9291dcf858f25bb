"""Signals that reach who is meant, and nobody else: through pidfds, to groups as well."""

import errno
import logging
import os
import signal

log = logging.getLogger(__name__)

_TO_GROUP = 1 << 2
"""`PIDFD_SIGNAL_PROCESS_GROUP` of linux/pidfd.h, Linux 6.9 and later."""

FIRST_LIBC_SIGNAL = 32

IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)


def unignore_signals() -> None:
    """Ignore no signal any more that whoever started this program had it ignore.

    What a program ignores, all that it executes ignore as well: a shell script that puts a
    manager into the background would give it agents that do not hear SIGINT, and where SIGCHLD
    is ignored, nobody's exit status can be had. What is handled, if only by doing nothing, is
    not passed on. To be called in the main thread.
    """
    for number in range(1, FIRST_LIBC_SIGNAL):
        # Python ignores two by itself, and gives them back to what it executes.
        if number not in IGNORED_BY_PYTHON and signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, _do_nothing)


def _do_nothing(_number: int, _frame: object) -> None:
    pass


def request_stop(pidfd: int, number: signal.Signals) -> None:
    """Ask a process to end, by a signal. A suspended one is continued, or it would never hear it.

    As systemd does: nobody who wants an agent down wants it to wait to be killed instead.
    """
    send(pidfd, number)
    if number is not signal.SIGKILL:
        send(pidfd, signal.SIGCONT)


def request_group_stop(pidfd: int, leader: int, number: signal.Signals) -> None:
    """Ask the process group that a process leads to end, in the same way."""
    send_group(pidfd, leader, number)
    if number is not signal.SIGKILL:
        send_group(pidfd, leader, signal.SIGCONT)


def send(pidfd: int, number: signal.Signals) -> None:
    """Send a signal to a process. If it ended, the loop will hear of it."""
    try:
        signal.pidfd_send_signal(pidfd, number)
    except ProcessLookupError:
        pass
    except PermissionError:
        log.warning("no permission to send %s: the process changed its user", number.name)


def send_group(pidfd: int, leader: int, number: signal.Signals) -> None:
    """Send a signal to the process group that a process leads.

    If an earlier manager launched it, init may have waited for it, and its number may be
    somebody else's by now; its pidfd never is.
    """
    try:
        try:
            signal.pidfd_send_signal(pidfd, number, None, _TO_GROUP)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            signal.pidfd_send_signal(pidfd, 0)  # still there, so its number is still its own
            os.killpg(leader, number)
    except ProcessLookupError:
        pass
    except PermissionError:
        log.warning("no permission to send %s to group %d", number.name, leader)
