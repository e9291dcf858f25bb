"""The targets that operators set, kept over every end of the manager.

An agent that was told `down` because somebody has their hands in the hardware must not come
up because the manager ended, in whatever way. So the targets that operators set are kept in a
small file, replaced as a whole on each change. Only requests of operators get into it: a signal,
`die`, a shutdown and a stop of the manager process change nothing in it. A target is in force
until another request, until the manager process is started anew, or until its entry goes.
Beside them stand the restarts that are under way: which run of which instance is to be ended.

The file tells what is *wanted*, never what *is*. One that cannot be read is set aside and
said so. One that cannot be written keeps nothing from being done: it is said, and tried again.
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
from hostmanager.core.protocols import Clock
from hostmanager.drivers.process.thread_pools import prestarted_pool
from hostmanager.util.files import read_bounded
from hostmanager.util.quarantine import quarantine

log = logging.getLogger(__name__)

HUNG_DISK_TIMEOUT = 0.5
"""Seconds that a request waits at most until it is kept: a hanging disk delays nobody for long."""

RETRY_INTERVAL = 10.0
"""Seconds after which what could not be kept is tried again."""

MAX_TARGETS_FILE_BYTES = 4 * 1024 * 1024
"""Bytes; a file of ours is never that large."""


class TargetStore:
    """Keeps what operators say, in a file.

    Args:
        path: The file.
        clock: For later attempts to write it.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._targets: dict[str, Target] = {}
        self.restarts: dict[str, str] = {}  # by instance-id: the run that is to be ended
        self._ended = False
        self._writer = prestarted_pool(1, "wanted")
        self._job: Future[None] | None = None
        self._error = ""
        self._retry_due = False

    def load(self, *, forced: bool = False) -> Mapping[str, Target]:
        """Read what operators told earlier managers, and go on from there. Reads a file.

        Args:
            forced: The command line has a target for all. After a clean end it counts more than
                what was said before; after an unclean one it is only repeated by who starts us.

        Returns:
            The targets, by instance-id.
        """
        try:
            self._targets, self.restarts, ended = _parse(
                read_bounded(self._path, MAX_TARGETS_FILE_BYTES, follow_links=False).decode()
            )
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
            aside = quarantine(self._path)
        except OSError as error:
            return f"it stays there ({error})"
        return f"it is set aside as {aside.name}" if aside else "it is gone by now"

    def target(self, instance_id: str) -> Target | None:
        """What operators said last of an instance; None if nothing."""
        return self._targets.get(instance_id)

    def set_targets(self, targets: Mapping[str, Target]) -> None:
        """Take down what operators want."""
        self._targets.update(targets)
        self._save()

    def remove(self, instance_id: str) -> None:
        """The instance is no more."""
        if self._targets.pop(instance_id, None) is not None:
            self._save()

    def keep_restarts(self, runs: Mapping[str, str]) -> None:
        """Take down which runs are to be restarted, by instance-id."""
        if any(self.restarts.get(name) != run for name, run in runs.items()):
            self.restarts.update(runs)
            self._save()

    def drop_restart(self, instance_id: str) -> None:
        """The restart is done, or was called off."""
        if self.restarts.pop(instance_id, None) is not None:
            self._save()

    def reset(self) -> None:
        """The manager process was started anew: what was said before counts no more."""
        self._targets.clear()
        self.restarts.clear()
        self._save()

    async def flush(self, limit: float | None = None) -> str:
        """Wait until all that was said is kept; not for ever.

        Returns:
            What is wrong, as `not_kept` says it.
        """
        if self._job is not None and not self._job.done():
            waiting = asyncio.wrap_future(self._job)
            await asyncio.wait([waiting], timeout=limit or HUNG_DISK_TIMEOUT)
        return self.not_kept

    @property
    def not_kept(self) -> str:
        """Why what was said last would be lost with this manager; empty if it is on the disk."""
        if self._job is None or (self._job.done() and not self._error):
            return ""
        why = self._error or f"writing {self._path} takes long; is its disk hanging?"
        return f"Targets are not kept, they hold only as long as this manager lives: {why}"

    def delete(self) -> None:
        """Mark a clean end, which `recall` has to know of."""
        self._ended = True
        if self._targets or self.restarts:
            self._save()

    def close(self) -> None:
        """Let the worker thread go."""
        self._writer.shutdown(wait=False)

    def _save(self) -> None:
        data: dict[str, object] = {"ended": self._ended, "targets": self._targets}
        if self.restarts:
            data["restarts"] = self.restarts
        text = json.dumps(data, indent=1)
        self._job = self._writer.submit(self._write, text)
        self._look_later()

    def _look_later(self) -> None:
        if not self._retry_due:
            self._retry_due = True
            self._clock.call_at(self._clock.now().monotonic + RETRY_INTERVAL, self._retry)

    def _retry(self) -> None:
        self._retry_due = False
        if self._job is not None and not self._job.done():
            self._look_later()  # a disk that hangs may fail in the end
        elif self._error:
            self._save()

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
            self._error = ""
        except Exception as error:  # no memory left, say; whatever it is, nothing is kept
            text = f"{self._path}: {getattr(error, 'strerror', None) or repr(error)}"
            if not self._error:
                log.warning("what operators say cannot be kept: %s", text)
            self._error = text

    def _replace(self, data: bytes) -> None:
        new = self._path.with_name(self._path.name + ".new")
        try:
            with new.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            new.replace(self._path)
            _sync_directory(self._path.parent)
        except OSError:
            with suppress(OSError):
                new.unlink()
            raise


def _sync_directory(path: Path) -> None:
    """Have the names in it survive a power cut."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


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


def _parse(text: str) -> tuple[dict[str, Target], dict[str, str], bool]:
    """The targets and restarts in a file, and whether the manager that wrote it ended cleanly."""
    data = json.loads(text.rstrip("\0"))  # NULs: killed after making room, see `_overwrite`
    if not isinstance(data, dict) or not isinstance(data.get("targets"), dict):
        raise ValueError("it does not hold targets")
    targets = {str(name): Target(value) for name, value in data["targets"].items()}
    if Target.PASSIVE in targets.values():
        raise ValueError("nobody can ask for the target 'passive'")
    restarts = data.get("restarts")  # no earlier version has any
    kept = restarts.items() if isinstance(restarts, dict) else ()
    return targets, {str(name): str(run) for name, run in kept}, data.get("ended") is True
