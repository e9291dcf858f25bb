"""As process 1 of a container: a small init above the manager, which waits for strangers.

Process 1 inherits every process whose parent has ended, and has to wait for it when it ends. A
manager that did so itself could take the exit status of its own children (agents, the scribe,
compose commands, whatever a library starts) from those who wait for them. So process 1 forks: the
child is the manager and has no children but its own; the parent passes signals on, waits for
whoever ends, and leaves as the manager does. That ends the container, as it does without it.
"""

import os
import signal
from collections.abc import Set as AbstractSet

NOT_PASSED_ON = frozenset(
    # Of what the parent itself does, or cannot block.
    {signal.SIGCHLD, signal.SIGKILL, signal.SIGSTOP, signal.SIGSEGV, signal.SIGBUS}
    | {signal.SIGFPE, signal.SIGILL, signal.SIGTRAP, signal.SIGABRT, signal.SIGSYS}
)


def leave_process_1() -> None:
    """If this is process 1, go on in a child of it. To be called before there are threads."""
    if os.getpid() == 1:
        _fork()


def _fork() -> None:
    passed_on = set(signal.valid_signals()) - NOT_PASSED_ON
    before = signal.pthread_sigmask(signal.SIG_BLOCK, passed_on | {signal.SIGCHLD})
    # Where whoever started us ignored it, nobody would be waited for, and no end be heard of.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    child = os.fork()
    if child:
        os._exit(_look_after(child, passed_on))
    # Of a session of its own: Ctrl-C reaches it once, by way of its parent.
    os.setsid()
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _look_after(child: int, passed_on: AbstractSet[int]) -> int:
    """Pass signals on and wait for all who end, until the child has; returns its exit status."""
    while True:
        number = signal.sigwait(passed_on | {signal.SIGCHLD})
        if number != signal.SIGCHLD:
            os.kill(child, number)  # not waited for, so the number is still its own
            continue
        while ended := _ended():
            pid, status = ended
            if pid == child:
                code = os.waitstatus_to_exitcode(status)
                return code if code >= 0 else 128 - code


def _ended() -> tuple[int, int] | None:
    """Wait for one who has ended: pid and status; None if nobody has."""
    try:
        pid, status = os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return None
    return (pid, status) if pid else None
