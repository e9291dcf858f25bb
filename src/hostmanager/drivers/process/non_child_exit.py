"""How a process ended that is not our child: one that a manager before us launched.

Its parent (init, since the old manager is gone) waits for it and learns the status. The
kernel tells us as well: from Linux 6.15 on through the pidfd, once init has waited, and
before that in the zombie's /proc entry. Where neither does, the status is unknown.
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
    """Tell how it ended, as far as the kernel tells."""
    raw = _by_pidfd(pidfd)
    if raw is None:
        raw = proc.zombie_exit_code(pid)
    if raw is None:
        # Init may have waited between the two looks.
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
