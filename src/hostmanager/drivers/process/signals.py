"""Signals that never reach an unrelated process: through pidfds, to groups as well."""

import errno
import logging
import os
import signal

from hostmanager.core.events import StopStage

log = logging.getLogger(__name__)

_TO_GROUP = 1 << 2
"""`PIDFD_SIGNAL_PROCESS_GROUP` of linux/pidfd.h, Linux 6.9 and later."""

SIGNALS = {
    StopStage.INTERRUPT: signal.SIGINT,
    StopStage.TERMINATE: signal.SIGTERM,
    StopStage.KILL: signal.SIGKILL,
}

FIRST_LIBC_SIGNAL = 32

IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)


def unignore_signals() -> None:
    """Stop ignoring the signals that the parent of this program had it ignore.

    Ignored signals are inherited: agents of a manager that a shell script started in the
    background would ignore SIGINT, and without SIGCHLD there are no exit statuses. Signals with a
    handler, even one that does nothing, are not inherited. To be called in the main thread.
    """
    for number in range(1, FIRST_LIBC_SIGNAL):
        # Python ignores two signals itself, and resets them in what it executes.
        if number not in IGNORED_BY_PYTHON and signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, _do_nothing)


def _do_nothing(_number: int, _frame: object) -> None:
    pass


def request_stop(pidfd: int, number: signal.Signals) -> None:
    """Send a signal that stops a process, and continue it if it is suspended.

    A suspended process would not react before it is killed; systemd does the same.
    """
    send(pidfd, number)
    if number is not signal.SIGKILL:
        send(pidfd, signal.SIGCONT)


def request_group_stop(pidfd: int, leader: int, number: signal.Signals) -> None:
    """Do the same for the process group that a process leads."""
    send_group(pidfd, leader, number)
    if number is not signal.SIGKILL:
        send_group(pidfd, leader, signal.SIGCONT)


def send(pidfd: int, number: signal.Signals) -> None:
    """Send a signal to a process; harmless if it has ended."""
    try:
        signal.pidfd_send_signal(pidfd, number)
    except ProcessLookupError:
        pass
    except PermissionError:
        log.warning("no permission to send %s: the process changed its user", number.name)


def send_group(pidfd: int, leader: int, number: signal.Signals) -> None:
    """Send a signal to the process group that a process leads.

    If an earlier manager launched it, init may have reaped it, and its number may have been
    reused; its pidfd never is.
    """
    try:
        try:
            signal.pidfd_send_signal(pidfd, number, None, _TO_GROUP)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            signal.pidfd_send_signal(pidfd, 0)  # alive, so its number was not reused
            os.killpg(leader, number)
    except ProcessLookupError:
        pass
    except PermissionError:
        log.warning("no permission to send %s to group %d", number.name, leader)
