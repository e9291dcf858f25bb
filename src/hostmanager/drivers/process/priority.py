"""A higher CPU priority for the manager, at no cost for the agents.

The manager needs milliseconds, but at once. While a hundred agents start, it computes 0.3 s in
total, in competition with all of them: without a priority the last one was launched after 4 to
7 s, with it after 1.3 s. The same goes for an agent that uses all processors by mistake.

Linux shares processors between sessions first (autogroup, see sched(7)), and by niceness within
one; where a service has a control group of its own for processors, by niceness only. So both are
set. Neither is inherited: an agent has a session of its own, and a thread with
``SCHED_RESET_ON_FORK`` launches with the usual niceness. It needs root, or a limit on niceness
(``LimitNICE=``) that allows it; otherwise nothing changes.
"""

import logging
import os
from pathlib import Path

from hostmanager.core.policy import MANAGER_NICE

log = logging.getLogger(__name__)

AUTOGROUP = Path("/proc/self/autogroup")


def raise_manager_priority() -> bool:
    """Raise the priority of this process; to be called in the main thread, before there are others.

    A manager that was started with a niceness of its own keeps that.

    Returns:
        Whether it was raised.
    """
    if _nice(0) != 0:
        return False
    try:
        _raise_thread_priority(MANAGER_NICE)
    except OSError as error:
        log.debug("the manager has no higher priority than its agents: %s", error)
        return False
    if os.getsid(0) == os.getpid():  # else it would be that of a whole terminal
        try:
            AUTOGROUP.write_text(str(MANAGER_NICE))
        except OSError as error:  # a kernel without, or too soon after another
            log.debug("the session of the manager has no higher priority: %s", error)
    return True


def manager_nice() -> int:
    """The niceness that the manager was raised to, or 0."""
    main = os.getpid()
    return _nice(main) if os.sched_getscheduler(main) & os.SCHED_RESET_ON_FORK else 0


def inherit_manager_priority() -> None:
    """Give this thread the priority of the main thread, which threads do not inherit."""
    nice = manager_nice()
    if nice < 0:
        try:
            _raise_thread_priority(nice)
        except OSError as error:
            log.debug("a thread has no higher priority: %s", error)


def _nice(tid: int) -> int:
    return os.getpriority(os.PRIO_PROCESS, tid)


def _raise_thread_priority(nice: int) -> None:
    # For Linux, "process 0" is the calling thread. What it forks gets the usual niceness.
    os.setpriority(os.PRIO_PROCESS, 0, nice)
    flagged = os.SCHED_OTHER | os.SCHED_RESET_ON_FORK
    os.sched_setscheduler(0, flagged, os.sched_param(0))
