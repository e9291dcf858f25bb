"""One manager of an id on a host: a second one refuses to start, and names the first.

Two claims, both held by the kernel for as long as the process lives and not inherited by
agents: a lock on a file in the state directory, which decides, and socket names, which are one per
host whatever the state directory is. Anybody can take such a name, so one that another user has
is only worth a warning. A manager that was killed between forking an agent and the
agent's first instruction leaves a copy of both for a moment, so a claim is tried for a while.
"""

import errno
import logging
import os
import socket
import struct
import time
from contextlib import ExitStack
from pathlib import Path

from hostmanager.util.lockfile import acquire_lock, read_lock_holder

log = logging.getLogger(__name__)

BACKLOG = 128
"""Connections that others may have at the name: nobody accepts, the kernel names the owner."""

CLAIM_TIMEOUT = 1.0
CLAIM_INTERVAL = 0.02
"""Seconds for which, and between which, a claim is tried."""

PROBE_TIMEOUT = 0.2

Owner = tuple[int, int]
"""Pid and uid."""


class ManagerRunningError(Exception):
    """A manager of this id is already running on this host; the text names it."""


def acquire_manager_lock(state: Path, *keys: str) -> ExitStack:
    """Claim to be the only manager of each of these keys on this host.

    Returns:
        What holds the claim, until it is closed.

    Raises:
        ManagerRunningError: There is one.
    """
    deadline = time.monotonic() + CLAIM_TIMEOUT
    path = state / "manager.lock"
    names = [f"\0ocs-hostmanager/{os.getuid()}/{key}" for key in keys]
    while True:
        claim = ExitStack()
        timed_out = time.monotonic() > deadline
        owners = {name: _probe(name) for name in names if not _bind(claim, name)}
        # A manager that has just bound a name listens there soon.
        rivals = [o for o in owners.values() if (o[1] == os.getuid() if o else not timed_out)]
        if not rivals and _lock(claim, path):
            for name, owner in owners.items():
                log.warning("%s", _name_warning(name, owner, path))
            return claim
        claim.close()
        if timed_out:
            raise ManagerRunningError(
                f"A host manager of this id is already running on this host: {_holder(rivals, path)}. "
                "Nothing was started. Stop that one first, or give this one another --instance-id."
            )
        time.sleep(CLAIM_INTERVAL)


def _bind(claim: ExitStack, name: str) -> bool:
    """Bind the name, an abstract one that vanishes with its process."""
    listener = claim.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
    try:
        listener.bind(name)
        listener.listen(BACKLOG)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        return False
    return True


def _probe(name: str) -> Owner | None:
    """Find out who listens at a name, from the kernel; None if nobody seems to."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(PROBE_TIMEOUT)
        try:
            connection.connect(name)
            credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        except OSError:
            return None
    pid, uid, _ = struct.unpack("3i", credentials)
    return pid, uid


def _lock(claim: ExitStack, path: Path) -> bool:
    try:
        fd = acquire_lock(os.fspath(path), f"{os.getpid()}\n")
    except OSError as error:
        # Read-only, or something else is there: that must not prevent the start.
        log.warning("%s cannot be locked (%s); the name alone has to do", path, error.strerror)
        return True
    if fd is not None:
        claim.callback(os.close, fd)
    return fd is not None


def _name_warning(name: str, owner: Owner | None, path: Path) -> str:
    who = "a process that does not listen there" if owner is None else "pid {} of uid {}"
    return (
        f"{who.format(*owner or ())} has taken the name @{name[1:]}, which is that of this manager; "
        f"it is no manager of ours, so the lock {path} alone prevents a second one"
    )


def _holder(rivals: list[Owner | None], path: Path) -> str:
    """Name who has the claim: the kernel knows who listens, the file says who locked it."""
    for owner in rivals:
        if owner is not None:
            return f"pid {owner[0]}"
    pid = (read_lock_holder(os.fspath(path)) or "").strip()
    return f"pid {pid} holds {path}" if pid.isdecimal() else f"another process holds {path}"
