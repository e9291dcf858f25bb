"""Keeping a processor for the manager, however many agents want one; agents get no less for it.

The manager needs milliseconds, but at once. Of the 0.3 s that it computes while a hundred agents
start, each of those takes the turns: without this, the last one was launched after 4 to 7 s, with
it after 1.3 s. The same when an agent goes wild at night and takes all processors.

Linux shares processors between sessions first (autogroup, see sched(7)), and by niceness within
one; where a service has a control group of its own for processors, by niceness only. So both are
set. Neither is passed on: an agent has a session of its own, and a thread with
``SCHED_RESET_ON_FORK`` launches with the usual niceness. It takes root, or a limit on niceness
(``LimitNICE=``) that allows it; without, all is as before.
"""

import logging
import os
from pathlib import Path

log = logging.getLogger(__name__)

NICE = -10

AUTOGROUP = Path("/proc/self/autogroup")


def raise_manager_priority() -> bool:
    """Prefer this process to its agents; to be called in the main thread, before there are others.

    Whoever started it with a niceness of their own choice has chosen for all that it starts.

    Returns:
        Whether it is preferred.
    """
    if _nice(0) != 0:
        return False
    try:
        _raise_thread_priority(NICE)
    except OSError as error:
        log.debug("the manager has no precedence over its agents: %s", error)
        return False
    if os.getsid(0) == os.getpid():  # else it would be for a whole terminal
        try:
            AUTOGROUP.write_text(str(NICE))
        except OSError as error:  # a kernel without, or too soon after another
            log.debug("the session of the manager has no precedence: %s", error)
    return True


def inherit_manager_priority() -> None:
    """Prefer this thread if the main thread is: threads are not, by themselves."""
    main = os.getpid()
    if os.sched_getscheduler(main) & os.SCHED_RESET_ON_FORK and (nice := _nice(main)) < 0:
        try:
            _raise_thread_priority(nice)
        except OSError as error:
            log.debug("a thread has no precedence: %s", error)


def _nice(tid: int) -> int:
    return os.getpriority(os.PRIO_PROCESS, tid)


def _raise_thread_priority(nice: int) -> None:
    # For Linux, "process 0" is the thread that asks. What it forks gets the usual niceness.
    os.setpriority(os.PRIO_PROCESS, 0, nice)
    flagged = os.SCHED_OTHER | os.SCHED_RESET_ON_FORK
    os.sched_setscheduler(0, flagged, os.sched_param(0))
