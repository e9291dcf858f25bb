"""What a process gets of the host: its niceness, and how many files it may have open.

Set from outside, as soon as the process exists: nothing has to run between fork and exec, where
in a program with threads hardly anything may. Changed settings are given to live processes.
"""

import logging
import os
import resource
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from hostmanager.core.model import InstanceSettings

log = logging.getLogger(__name__)


INHERITED_NOFILE = resource.getrlimit(resource.RLIMIT_NOFILE)
"""The limit at our start, which agents get: the manager raises its own limit afterwards."""


class LimitError(Exception):
    """A setting of a process that is not permitted here.

    Attributes:
        setting: Its key.
        reason: Why, and what to do, as a sentence without a full stop.
    """

    def __init__(self, setting: str, reason: str) -> None:
        super().__init__(f"{setting}: {reason}")
        self.setting = setting
        self.reason = reason


def apply_limits(pid: int, settings: InstanceSettings) -> None:
    """Give a process that was just started the limits of its settings.

    Raises:
        LimitError: The manager may not do that.
    """
    _limit_open_files(pid, settings.open_files)
    if settings.nice is not None:
        _set_nice(pid, settings.nice)


def change_limits(
    pids: Iterable[int], before: InstanceSettings, now: InstanceSettings
) -> list[str]:
    """Give live processes other limits.

    Args:
        pids: All processes of the instance.
        before: What they have.
        now: What they are to have.

    Returns:
        The keys of the settings that they cannot be given while they run: what a process was
        denied, only root can grant it again.
    """
    denied: list[str] = []
    for pid in pids:
        try:
            if before.open_files != now.open_files:
                _limit_open_files(pid, now.open_files)
        except LimitError as error:
            denied.append(error.setting)
        try:
            if before.nice != now.nice:
                _set_nice_of_threads(pid, now.nice or 0)
        except LimitError as error:
            denied.append(error.setting)
    return list(dict.fromkeys(denied))


def _set_nice_of_threads(pid: int, nice: int) -> None:
    """Linux has a niceness for each thread; a new thread has that of the one that started it."""
    with suppress(FileNotFoundError):  # it has ended
        for thread in Path(f"/proc/{pid}/task").iterdir():
            _set_nice(int(thread.name), nice)


def _limit_open_files(pid: int, number: int | None) -> None:
    if number is None:
        with suppress(OSError, ValueError):  # it ended, or changed its user
            resource.prlimit(pid, resource.RLIMIT_NOFILE, INHERITED_NOFILE)
        return
    try:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (number, number))
    except ProcessLookupError:
        pass  # it has ended already
    except (OSError, ValueError) as error:
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        reason = (
            f"{number} is more than the manager may give it ({most}); raise that "
            "(`LimitNOFILE=` of the unit of the manager, or `ulimit -Hn`), or write less"
        )
        raise LimitError("open-files", reason) from error


def _set_nice(pid: int, nice: int) -> None:
    try:
        os.setpriority(os.PRIO_PROCESS, pid, nice)
    except ProcessLookupError:
        return  # it has ended already
    except OSError as error:
        reason = (
            f"{nice} needs root, or a limit that allows it (`LimitNICE={nice}` of the unit of the "
            "manager); or write 0 or more"
        )
        raise LimitError("nice", reason) from error
    # Linux shares the processors between sessions first (sched(7), autogroup), and each agent is one.
    try:
        Path(f"/proc/{pid}/autogroup").write_text(str(nice))
    except OSError as error:  # a kernel without, or too soon after another
        log.debug("the session of pid %d keeps its niceness: %s", pid, error)
