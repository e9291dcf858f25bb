"""Processes of another user of the machine: a bare number, no account is needed."""

import fcntl
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

STRANGER = 64123
"""The uid of the other user; group and supplementary groups are his as well."""

needs_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="only root can start processes of a second user"
)

StartAs = Callable[..., subprocess.Popen[bytes]]


@contextmanager
def hostile_host(*, exclusive: bool) -> Iterator[None]:
    """Wait for a turn on this host: whole test runs share it.

    Marks that an adversary forges end the manager of an earlier version.

    Args:
        exclusive: Whether no adversary may be there; else, whether there is one.
    """
    path = Path(tempfile.gettempdir()) / f"hostmanager-tests-adversary-{os.getuid()}.lock"
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)
        yield


@contextmanager
def other_users(uid: int = STRANGER) -> Iterator[StartAs]:
    """Start processes of another user; they are ended at the end.

    The function that is given takes argv, an environment, and options of `Popen`.
    """
    started: list[subprocess.Popen[bytes]] = []

    def start(
        argv: Sequence[str], env: Mapping[str, str] | None = None, **options: object
    ) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(  # type: ignore[call-overload]
            argv,
            env={"PATH": os.defpath, **(env or {})},
            cwd="/",
            user=uid,
            group=uid,
            extra_groups=[],
            start_new_session=True,
            **options,
        )
        started.append(process)
        until = time.monotonic() + 60
        while not Path(f"/proc/{process.pid}/environ").read_bytes():  # in the middle of an exec
            assert time.monotonic() < until
        return process

    try:
        yield start
    finally:
        for process in started:
            process.kill()
            process.wait()
