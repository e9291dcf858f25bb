"""As process 1 of a container: a small init above the manager, which reaps orphans.

Process 1 inherits every process whose parent has ended, and has to wait for it when it ends. A
manager that did so itself could take the exit status of its own children (agents, the log
daemon, compose commands, whatever a library starts) from those who wait for them. So process 1 forks: the
child is the manager and has no children but its own; the parent forwards signals, reaps every
process that ends, and exits as the manager does, which ends the container.
"""

import os
import signal
from collections.abc import Set as AbstractSet

NOT_FORWARDED = frozenset(
    # About the parent itself, or cannot be blocked.
    {signal.SIGCHLD, signal.SIGKILL, signal.SIGSTOP, signal.SIGSEGV, signal.SIGBUS}
    | {signal.SIGFPE, signal.SIGILL, signal.SIGTRAP, signal.SIGABRT, signal.SIGSYS}
)


def leave_process_1() -> None:
    """If this is process 1, go on in a child of it. To be called before there are threads."""
    if os.getpid() == 1:
        _fork()


def _fork() -> None:
    forwarded = set(signal.valid_signals()) - NOT_FORWARDED
    before = signal.pthread_sigmask(signal.SIG_BLOCK, forwarded | {signal.SIGCHLD})
    # If it is inherited as ignored, nothing could be waited for.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    child = os.fork()
    if child:
        os._exit(_supervise(child, forwarded))
    # Of a session of its own: Ctrl-C reaches it once, by way of its parent.
    os.setsid()
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _supervise(child: int, forwarded: AbstractSet[int]) -> int:
    """Forward signals and reap processes, until the child ends; returns its exit status."""
    while True:
        number = signal.sigwait(forwarded | {signal.SIGCHLD})
        if number != signal.SIGCHLD:
            os.kill(child, number)  # not waited for, so the number is still its own
            continue
        while ended := _reap():
            pid, status = ended
            if pid == child:
                code = os.waitstatus_to_exitcode(status)
                return code if code >= 0 else 128 - code


def _reap() -> tuple[int, int] | None:
    """Reap one process that has ended: pid and status; None if there is none."""
    try:
        pid, status = os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return None
    return (pid, status) if pid else None
