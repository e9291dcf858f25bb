"""Directories of the engines of tests: their names tell who made them, so that no other is touched."""

import contextlib
import os
import shutil
import tempfile
from pathlib import Path

from tests.support.private_engine import processes
from tests.support.private_engine.daemon import Daemon, DaemonError

PARENT = Path("/tmp")  # a Unix socket's path has at most 107 characters
PREFIX = "hm-engine-"
ENGINE = "engine"  # where in such a directory its engine is


def make() -> Path:
    """A new directory of this process."""
    return Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=PARENT))


def sweep() -> None:
    """Remove what was left by processes that were killed before they could do it themselves."""
    for directory in PARENT.glob(f"{PREFIX}*-*"):
        owner = directory.name.removeprefix(PREFIX).split("-")[0]
        with contextlib.suppress(OSError, DaemonError):  # another worker may be doing the same
            if not owner.isdecimal() or directory.stat().st_uid != os.geteuid():
                continue
            if not processes.alive(int(owner)):
                Daemon(directory / ENGINE).remove()
                shutil.rmtree(directory)
