"""The targets that operators set, kept over every end of the manager.

An agent that was told `down` because somebody has their hands in the hardware must not come
up because the manager ended, in whatever way. So the targets that operators set are kept in a
small file, replaced as a whole on each change. Only requests of operators get into it: a signal,
`die`, a shutdown and a stop of the manager process change nothing in it. A target is in force
until another request, until the manager process is started anew, or until its entry goes.

The file tells what is *wanted*, never what *is*. One that cannot be read is set aside and
said so; one that cannot be written disturbs nothing.
"""

import asyncio
import errno
import json
import logging
import os
from collections.abc import Mapping
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path

from hostmanager.core.model import Target
from hostmanager.drivers.process.workers import make_workers
from hostmanager.journal.aside import set_aside

log = logging.getLogger(__name__)

PATIENCE = 0.2
"""Seconds that a request waits at most until it is kept: a hanging disk delays nobody."""

LARGEST = 4 * 1024 * 1024
"""Bytes; a file of ours is never that large."""


class Wanted:
    """Keeps what operators say, in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._targets: dict[str, Target] = {}
        self._ended = False
        self._writer = make_workers(1, "wanted")
        self._job: Future[None] | None = None
        self._failed = False

    def recall(self, *, forced: bool = False) -> Mapping[str, Target]:
        """Read what operators told earlier managers, and go on from there. Reads a file.

        Args:
            forced: The command line has a target for all. After a clean end it counts more than
                what was said before; after an unclean one it is only repeated by who starts us.

        Returns:
            The targets, by instance-id.
        """
        try:
            self._targets, ended = _parse(_read(self._path))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, RecursionError) as error:
            log.warning(
                "what operators had said cannot be read (%s: %s); %s, and agents get the targets "
                "of the site config",
                *(self._path, error, self._set_aside()),
            )
            return {}
        if ended:
            if forced:
                self._targets.clear()
            self._save()
        return dict(self._targets)

    def _set_aside(self) -> str:
        """Move it out of the way; tells where it is."""
        try:
            aside = set_aside(self._path)
        except OSError as error:
            return f"it stays there ({error})"
        return f"it is set aside as {aside.name}" if aside else "it is gone by now"

    def target(self, instance_id: str) -> Target | None:
        """What operators said last of an instance; None if nothing."""
        return self._targets.get(instance_id)

    def said(self, targets: Mapping[str, Target]) -> None:
        """Take down what operators want."""
        self._targets.update(targets)
        self._save()

    def drop(self, instance_id: str) -> None:
        """The instance is no more."""
        if self._targets.pop(instance_id, None) is not None:
            self._save()

    def begin(self) -> None:
        """The manager process was started anew: what was said before counts no more."""
        self._targets.clear()
        self._save()

    async def kept(self) -> None:
        """Wait until all that was said is kept; not for ever."""
        if self._job is not None and not self._job.done():
            waiting = asyncio.wrap_future(self._job)
            await asyncio.wait([waiting], timeout=PATIENCE)

    def end(self) -> None:
        """Mark a clean end, which `recall` has to know of."""
        self._ended = True
        if self._targets:
            self._save()

    def close(self) -> None:
        """Let the worker thread go."""
        self._writer.shutdown(wait=False)

    def _save(self) -> None:
        text = json.dumps({"ended": self._ended, "targets": self._targets}, indent=1)
        self._job = self._writer.submit(self._write, text)

    def _write(self, text: str) -> None:
        data = text.encode()
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                self._replace(data)
            except OSError as error:
                full = error.errno in (errno.ENOSPC, errno.EDQUOT)
                if not (full and _overwrite(self._path, data)):
                    raise
            self._failed = False
        except OSError as error:
            if not self._failed:
                log.warning("what operators say cannot be kept: %s: %s", self._path, error)
            self._failed = True

    def _replace(self, data: bytes) -> None:
        new = self._path.with_name(self._path.name + ".new")
        try:
            with new.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            new.replace(self._path)
        except OSError:
            with suppress(OSError):
                new.unlink()
            raise


def _read(path: Path) -> str:
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
    with os.fdopen(fd, "rb") as file:
        data = file.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise ValueError("it is far too large")
    return data.decode("utf-8")


def _overwrite(path: Path, data: bytes) -> bool:
    """Write over what is there: on a full disk there is room for nothing else.

    In one call, so that a death comes before or after: the rest of a longer one before is
    filled with spaces. The block that a small file has is large enough for most of its lives.

    Returns:
        Whether it worked; else what was there is there.
    """
    with suppress(OSError):
        fd = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            size = os.fstat(fd).st_size
            if len(data) > size:
                os.posix_fallocate(fd, 0, len(data))
            os.pwrite(fd, data.ljust(size), 0)
            os.fsync(fd)
            return True
        finally:
            os.close(fd)
    return False


def _parse(text: str) -> tuple[dict[str, Target], bool]:
    """The targets in a file, and whether the manager that wrote it ended cleanly."""
    data = json.loads(text.rstrip("\0"))  # NULs: killed after making room, see `_overwrite`
    if not isinstance(data, dict) or not isinstance(data.get("targets"), dict):
        raise ValueError("it does not hold targets")
    targets = {str(name): Target(value) for name, value in data["targets"].items()}
    return targets, data.get("ended") is True
