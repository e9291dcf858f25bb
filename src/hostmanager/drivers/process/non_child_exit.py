"""The exit status of a process that is not our child: an earlier manager launched it.

Its parent (init, since the old manager is gone) reaps it and gets the status. The kernel shows it
to us as well: through the pidfd from Linux 6.15 on, once init has reaped it, and before that in
the /proc entry of the zombie. If neither works, the status is unknown.
"""

import fcntl
import os
import struct

from hostmanager.core.events import ExitStatus
from hostmanager.util import procfs as proc

# linux/pidfd.h: struct pidfd_info of the first version, and _IOWR(0xFF, 11, of its size).
_INFO = struct.Struct("QQ11Ii")
_GET_INFO = (3 << 30) | (_INFO.size << 16) | (0xFF << 8) | 11
_INFO_EXIT = 1 << 3


def exit_status(pid: int, pidfd: int) -> ExitStatus:
    """Return how it ended, as far as the kernel shows it."""
    raw = _by_pidfd(pidfd)
    if raw is None:
        raw = proc.zombie_exit_code(pid)
    if raw is None:
        # Init may have reaped it between the two reads.
        raw = _by_pidfd(pidfd)
    if raw is None:
        return ExitStatus()
    if os.WIFSIGNALED(raw):
        return ExitStatus(signal=os.WTERMSIG(raw))
    return ExitStatus(code=os.WEXITSTATUS(raw))


def _by_pidfd(pidfd: int) -> int | None:
    buffer = bytearray(_INFO.pack(_INFO_EXIT, *[0] * 13))
    try:
        fcntl.ioctl(pidfd, _GET_INFO, buffer)
    except OSError:
        return None
    mask, *_, code = _INFO.unpack(buffer)
    return code if mask & _INFO_EXIT else None
