"""Finds output that does not get into its file: a full disk, one that is read-only, or hangs.

A log daemon that lives and can write empties a pipe, or makes its file larger, between two looks. (The
time of the file says nothing: an attempt to write renews it.)
"""

import os
import time
from pathlib import Path
from typing import NamedTuple

from hostmanager.logd.client import LogDaemonClient
from hostmanager.logd.paths import log_file
from hostmanager.util.text import join_names

HELD_UP_AFTER = 1.0
"""Seconds after which output that waits, while nothing gets into its file, is held up."""

LOOK_INTERVAL = 0.3
"""Seconds between two looks at it."""

HANGS_AFTER = 10.0
"""Seconds after which a disk that has not answered is said to hang."""

MAX_LOST_NAMED = 5
"""Agents that a sentence names."""


class _Waiting(NamedTuple):
    """Output that waits in a pipe: since when it was seen so, and the size of its file then."""

    since: float
    size: int


class HeldUpOutput:
    """Looks at pipes and files. Where it asks the disk, it is for threads.

    Args:
        client: Knows the pipes.
        directory: The directory of the output files.
    """

    def __init__(self, client: LogDaemonClient, directory: Path) -> None:
        self._client = client
        self._directory = directory
        self._waiting: dict[str, _Waiting] = {}  # by id; changed by several threads
        self._looking_since: float | None = None

    def is_held_up(self, instance_id: str) -> bool:
        """Whether output of an instance is held up; takes `HELD_UP_AFTER` to find that it is.

        The first look is at all pipes: who asks for many agents, one after the other, waits once.
        """
        started = time.monotonic()
        first = seen = self._look(instance_id)
        if first is not None and first.since >= started:
            for other in self._client.instances():
                self._look(other)
        while seen is not None and seen == first:
            if time.monotonic() - seen.since >= HELD_UP_AFTER:
                return True
            time.sleep(LOOK_INTERVAL)
            seen = self._look(instance_id)
        return False

    def fault(self) -> str:
        """Whose output is held up since an earlier look, and why, as a sentence; empty: nobody's."""
        self._looking_since = time.monotonic()
        before = self._looking_since - HELD_UP_AFTER
        seen = {name: self._look(name) for name in self._client.instances()}
        held_up = [name for name, waiting in seen.items() if waiting and waiting.since <= before]
        reason = _reason(self._directory) if held_up else ""
        self._looking_since = None
        if not held_up:
            return ""
        return (
            f"The output of {join_names(held_up, MAX_LOST_NAMED)} cannot be written into "
            f"{self._directory}: {reason}. Until it can be, all but the latest kilobytes are lost."
        )

    def hang(self) -> str:
        """Say that the disk hangs, while another thread waits in `fault`; does not ask the disk."""
        since = self._looking_since
        if since is None or time.monotonic() - since < HANGS_AFTER:
            return ""
        return f"The disk of {self._directory}, for the output of agents, does not respond."

    def forget(self, instance_id: str) -> None:
        """An instance is gone."""
        self._waiting.pop(instance_id, None)

    def _look(self, instance_id: str) -> _Waiting | None:
        """The output of an instance that waits, since it was seen first; None: none does."""
        if not self._client.waiting(instance_id):
            self._waiting.pop(instance_id, None)
            return None
        try:
            size = Path(log_file(os.fspath(self._directory), instance_id)).stat().st_size
        except OSError:
            size = 0
        seen = self._waiting.get(instance_id)
        if seen is None or seen.size != size:
            seen = self._waiting[instance_id] = _Waiting(time.monotonic(), size)
        return seen


def _reason(directory: Path) -> str:
    try:
        disk = os.statvfs(directory)
    except OSError as error:
        return error.strerror or str(error)
    if disk.f_flag & os.ST_RDONLY:
        return "its disk is read-only"
    if not disk.f_bavail:
        return "its disk is full"
    if disk.f_files and not disk.f_favail:
        return "its disk has no more inodes"
    return "scribe.log in the state directory says why"
