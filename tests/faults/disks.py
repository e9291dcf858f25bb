"""Small disks that can be full: tmpfs, where we may mount them."""

import contextlib
import os
import subprocess
from pathlib import Path

BLOCK = 65536


def mount(directory: Path, size: str) -> bool:
    """Make a directory a small file system of its own, if we may."""
    directory.mkdir(mode=0o700)
    if os.getuid() != 0:
        return False
    command = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "tmpfs", str(directory)]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def unmount(directory: Path) -> None:
    """Undo it; whoever has files open there keeps them."""
    subprocess.run(["umount", "-l", directory], check=False)


def remount(directory: Path, options: str) -> None:
    """Change how it is mounted: ``ro``, ``rw``."""
    subprocess.run(["mount", "-o", f"remount,{options}", directory], check=True)


def fill(filler: Path) -> None:
    """Have no byte left where this file is."""
    with filler.open("wb", buffering=0) as file:
        free = os.statvfs(file.fileno())
        with contextlib.suppress(OSError):
            os.posix_fallocate(file.fileno(), 0, free.f_bavail * free.f_frsize - BLOCK)
    for block in (BLOCK, 1):
        with contextlib.suppress(OSError), filler.open("ab", buffering=0) as file:
            while True:
                file.write(bytes(block))
