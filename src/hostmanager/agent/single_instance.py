"""One manager of an id on a host: a second one refuses to start, and names the first.

Two claims, both held by the kernel for as long as the process lives and not inherited by
agents: a lock on a file in the state folder, which decides, and socket names, which are one per
host whatever the state folder is. Anybody can take such a name, so one that another user has
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

from hostmanager.util.lockfile import acquire_lock
from hostmanager.util.numbers import parse_number

log = logging.getLogger(__name__)

BACKLOG = 128
"""Others that may knock at the name: nobody answers the door, the kernel tells who lives here."""

PATIENCE = 1.0
PAUSE = 0.02
"""Seconds for which, and between which, a claim is tried."""


class ManagerRunningError(Exception):
    """A manager of this id runs on this host already; the text names it."""


def acquire_manager_lock(state: Path, *keys: str) -> ExitStack:
    """Claim to be the only manager of each of these keys on this host.

    Returns:
        What holds the claim, until it is closed.

    Raises:
        ManagerRunningError: There is one.
    """
    until = time.monotonic() + PATIENCE
    path = state / "manager.lock"
    names = [f"\0ocs-hostmanager/{os.getuid()}/{key}" for key in keys]
    while True:
        held = ExitStack()
        waited = time.monotonic() > until
        taken = [name for name in names if not _acquire_name(held, name)]
        in_the_way = [name for name in taken if _is_ours(_peer(name), waited)]
        if not in_the_way and _acquire_file(held, path):
            for name in taken:
                log.warning("%s", _squatted(name, path))
            return held
        held.close()
        if waited:
            raise ManagerRunningError(
                f"A host manager of this id runs on this host already: {_who(in_the_way, path)}. "
                "Nothing was started. Stop that one first, or give this one another --instance-id."
            )
        time.sleep(PAUSE)


def _acquire_name(held: ExitStack, name: str) -> bool:
    """Bind the name, an abstract one that vanishes with its process."""
    ours = held.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
    try:
        ours.bind(name)
        ours.listen(BACKLOG)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        return False
    return True


def _peer(name: str) -> tuple[int, int] | None:
    """Tell who listens at a name: pid and uid, from the kernel; None if nobody seems to."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as knock:
        knock.settimeout(0.2)
        try:
            knock.connect(name)
            creds = knock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        except OSError:
            return None
    pid, uid, _ = struct.unpack("3i", creds)
    return pid, uid


def _is_ours(peer: tuple[int, int] | None, waited: bool) -> bool:
    """Whether a manager of ours has the name. One that has just bound it listens soon."""
    return not waited if peer is None else peer[1] == os.getuid()


def _squatted(name: str, path: Path) -> str:
    peer = _peer(name)
    who = "somebody who does not listen there" if peer is None else "pid {} of uid {}".format(*peer)
    return (
        f"{who} has taken the name @{name[1:]}, which is that of this manager; it is no manager "
        f"of ours, so the lock {path} alone tells that there is no other one"
    )


def _acquire_file(held: ExitStack, path: Path) -> bool:
    try:
        fd = acquire_lock(os.fspath(path), f"{os.getpid()}\n")
    except OSError as error:
        # Read-only, or something else lies there: no reason to leave the agents alone.
        log.warning("%s cannot be locked (%s); the name alone has to do", path, error.strerror)
        return True
    if fd is None:
        return False
    held.callback(os.close, fd)
    return True


def _who(names: list[str], path: Path) -> str:
    """Tell who has the claim: the kernel knows who listens, the file says who locked it."""
    for name in names:
        if (peer := _peer(name)) is not None:
            return f"pid {peer[0]}"
    try:
        with path.open("rb") as file:
            said = parse_number(file.read(32).strip())
    except OSError:
        said = None
    return f"somebody holds {path}" if said is None else f"pid {said} holds {path}"
