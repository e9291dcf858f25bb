"""The targets that operators set, saved over every end of the manager.

An agent that was put `down` because somebody has their hands in the hardware must not come
up because the manager ended, in whatever way. So the targets that operators set are saved in a
small file, replaced as a whole on each change. Only requests of operators get into it: a signal,
`die`, a shutdown and a stop of the manager process change nothing in it. A target is in force
until another request, until the manager process is started anew, or until its entry goes.
Beside them stand who set them and why, the restarts that are under way (which run of which
instance is to be ended), the one-shots that are done since the machine was booted, and the
silences. Versions that do not know these ignore them.

The file holds what is *requested*, never what *is*. One that cannot be read is set aside, with a
warning. One that cannot be written prevents nothing: the error is reported, and writing retried.
"""

import asyncio
import errno
import json
import logging
import os
from collections.abc import Collection, Mapping
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any

from hostmanager.agent.targets.completions import (
    SavedCompletion,
    read_completions,
    write_completions,
)
from hostmanager.agent.targets.origins import read_origins, write_origins
from hostmanager.agent.targets.silences import Silence, active, read_silences, write_silences
from hostmanager.core.model import InstanceSpec, Target
from hostmanager.core.protocols import Clock
from hostmanager.core.record import Completion
from hostmanager.core.request_origin import RequestOrigin
from hostmanager.drivers.process.thread_pools import prestarted_pool
from hostmanager.util.files import make_private_directory, read_bounded, replace_file
from hostmanager.util.quarantine import quarantine

log = logging.getLogger(__name__)

HUNG_DISK_TIMEOUT = 0.5
"""Seconds that a request waits at most until it is saved: a hanging disk delays nobody for long."""

SAVE_RETRY_INTERVAL = 10.0
"""Seconds after which a failed write is tried again."""

MAX_TARGETS_FILE_BYTES = 4 * 1024 * 1024
"""Bytes; a file that this store wrote is never that large."""


class TargetStore:
    """Saves what operators request, in a file.

    Args:
        path: The file.
        clock: For later attempts to write it.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._targets: dict[str, Target] = {}
        self._origins: dict[str, RequestOrigin] = {}
        self.restarts: dict[str, str] = {}  # by instance-id: the run id that is to be ended
        self.once: set[str] = set()  # whose target counts once, since they are left alone
        self.completions: dict[str, SavedCompletion] = {}
        self._silences: dict[str, Silence] = {}
        self._clean_end = False
        self._writer = prestarted_pool(1, "wanted")
        self._job: Future[None] | None = None
        self._error = ""
        self._retry_due = False

    def load(self, *, forced: bool = False) -> Mapping[str, Target]:
        """Read what operators requested of earlier managers, and go on from there. Blocks.

        Args:
            forced: The command line has a target for all. After a clean end it counts more than
                earlier requests; after an unclean one, whatever starts the manager repeats it.

        Returns:
            The targets, by instance-id.
        """
        try:
            data = read_bounded(self._path, MAX_TARGETS_FILE_BYTES, follow_links=False)
            saved = _parse(data.decode())
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, RecursionError) as error:
            log.warning(
                "the saved targets cannot be read (%s: %s); %s, and agents get the targets "
                "of the site config",
                *(self._path, error, self._quarantine()),
            )
            return {}
        self._targets, self._origins = saved["targets"], saved["origins"]
        self.restarts, self.once = saved["restarts"], saved["once"]
        self.completions, self._silences = saved["done"], saved["silences"]
        if saved["ended"]:
            if forced:
                self._targets.clear()
                self._origins.clear()
            self._save()
        return dict(self._targets)

    def _quarantine(self) -> str:
        """Move the file out of the way; returns where it is, for people."""
        try:
            moved = quarantine(self._path)
        except OSError as error:
            return f"it stays there ({error})"
        return f"it is set aside as {moved.name}" if moved else "it is gone by now"

    def target(self, instance_id: str) -> Target | None:
        """The latest request for an instance; None if there is none."""
        return self._targets.get(instance_id)

    def origin(self, instance_id: str) -> RequestOrigin | None:
        """Who set the target of an instance, and why; None if nobody did, or it was not kept."""
        return self._origins.get(instance_id)

    def set_targets(
        self,
        targets: Mapping[str, Target],
        origin: RequestOrigin | None = None,
        once: Collection[str] = (),
    ) -> None:
        """Save what operators request.

        A request that changes nothing and gives no reason leaves the origin as it was: an agent
        that Ann stopped three hours ago has not been stopped by whoever says `down --all` now.

        Args:
            targets: The targets, by instance-id.
            origin: Who set them, and why.
            once: Those of them whose target counts once.
        """
        for instance_id, target in targets.items():
            is_repeated = self._targets.get(instance_id) is target and instance_id in self._origins
            if origin is not None and (origin.reason or not is_repeated):
                self._origins[instance_id] = origin
            elif origin is None:
                self._origins.pop(instance_id, None)
            self._targets[instance_id] = target
        self.once = (self.once - targets.keys()) | set(once)
        self._save()

    def remove(self, instance_id: str) -> None:
        """Forget the target of an instance."""
        self._origins.pop(instance_id, None)
        self.once.discard(instance_id)
        if self._targets.pop(instance_id, None) is not None:
            self._save()

    def completion_of(self, spec: InstanceSpec) -> Completion | None:
        """The completion of an instance; None if it is not done, or is another program now."""
        saved = self.completions.get(spec.instance_id)
        if saved is None or not spec.settings.one_shot or saved.agent_class != spec.agent_class:
            return None
        return Completion(saved.at, saved.fingerprint)

    def save_completion(self, instance_id: str, completion: SavedCompletion) -> None:
        """Save that a one-shot is done."""
        if self.completions.get(instance_id) != completion:
            self.completions[instance_id] = completion
            self._save()

    def remove_completion(self, instance_id: str) -> None:
        """Forget that a one-shot is done."""
        if self.completions.pop(instance_id, None) is not None:
            self._save()

    def silences(self) -> dict[str, Silence]:
        """The silences that have not ended, by instance-id."""
        self._silences = active(self._silences, self._clock.now().wall)
        return dict(self._silences)

    def save_silences(self, instance_ids: Collection[str], silence: Silence | None) -> None:
        """Silence these instances; None: end their silences."""
        kept = {name: old for name, old in self.silences().items() if name not in instance_ids}
        self._silences = kept if silence is None else kept | dict.fromkeys(instance_ids, silence)
        self._save()

    def save_restarts(self, runs: Mapping[str, str]) -> None:
        """Save which runs are to be restarted, by instance-id."""
        if not runs.items() <= self.restarts.items():
            self.restarts.update(runs)
            self._save()

    def remove_restart(self, instance_id: str) -> None:
        """Forget a restart that is done, or was cancelled."""
        if self.restarts.pop(instance_id, None) is not None:
            self._save()

    def reset(self) -> None:
        """Forget all requests: the manager process was started anew. What is done stays done."""
        self._targets.clear()
        self._origins.clear()
        self.once.clear()
        self.restarts.clear()
        self._save()

    async def flush(self, max_seconds: float | None = None) -> str:
        """Wait until all requests are saved; not for ever.

        Returns:
            What is wrong, as in `not_saved`.
        """
        if self._job is not None and not self._job.done():
            await asyncio.wait(
                [asyncio.wrap_future(self._job)], timeout=max_seconds or HUNG_DISK_TIMEOUT
            )
        return self.not_saved

    @property
    def not_saved(self) -> str:
        """Why the latest request would be lost with this manager; empty if it is on the disk."""
        if self._job is None or (self._job.done() and not self._error):
            return ""
        reason = self._error or f"writing {self._path} takes long; is its disk hanging?"
        return f"Targets are not kept, they hold only as long as this manager lives: {reason}"

    def mark_clean_end(self) -> None:
        """Mark a clean end, for the next `load`."""
        self._clean_end = True
        if self._targets or self.restarts or self.completions or self._silences:
            self._save()

    def close(self) -> None:
        """Release the worker thread."""
        self._writer.shutdown(wait=False)

    def _save(self) -> None:
        data: dict[str, object] = {"ended": self._clean_end, "targets": self._targets}
        if self.restarts:
            data["restarts"] = self.restarts
        if self.once:
            data["once"] = sorted(self.once)
        if self.completions:
            data["done"] = write_completions(self.completions)
        if self._silences:
            data["silences"] = write_silences(self._silences)
        text = json.dumps(data, indent=1)
        if self._origins:
            whole = json.dumps(data | {"origins": write_origins(self._origins)}, indent=1)
            if len(whole) <= MAX_TARGETS_FILE_BYTES:  # else it could not be read again
                text = whole
        self._job = self._writer.submit(self._write, text.encode())
        self._schedule_retry()

    def _schedule_retry(self) -> None:
        if not self._retry_due:
            self._retry_due = True
            self._clock.call_at(self._clock.now().monotonic + SAVE_RETRY_INTERVAL, self._retry)

    def _retry(self) -> None:
        self._retry_due = False
        if self._job is not None and not self._job.done():
            self._schedule_retry()  # a disk that hangs may fail in the end
        elif self._error:
            self._save()

    def _write(self, data: bytes) -> None:
        try:
            make_private_directory(self._path.parent)
            try:
                replace_file(str(self._path), data)
            except OSError as error:
                full = error.errno in (errno.ENOSPC, errno.EDQUOT)
                if not (full and _overwrite(self._path, data)):
                    raise
            self._error = ""
        except Exception as error:  # no memory left, say; whatever it is, nothing is saved
            text = f"{self._path}: {getattr(error, 'strerror', None) or repr(error)}"
            if not self._error:
                log.warning("targets cannot be saved: %s", text)
            self._error = text


def _overwrite(path: Path, data: bytes) -> bool:
    """Write over what is there: on a full disk there is room for nothing else.

    In one call, so that a death comes before or after: the rest of a longer one before is
    filled with spaces. The block that a small file has is large enough in most cases.

    Returns:
        Whether it worked; else the old content is there.
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


def _parse(text: str) -> dict[str, Any]:
    """What is in a file, by its keys there: of those that are missing, or malformed, nothing.

    Raises:
        ValueError: The targets are not readable.
    """
    data = json.loads(text.rstrip("\0"))  # NULs: killed after making room, see `_overwrite`
    if not isinstance(data, dict) or not isinstance(data.get("targets"), dict):
        raise ValueError("it does not hold targets")
    targets = {str(name): Target(value) for name, value in data["targets"].items()}
    if Target.PASSIVE in targets.values():
        raise ValueError("the target 'passive' cannot be requested")
    restarts, once = data.get("restarts"), data.get("once")  # no earlier version has any
    runs = restarts.items() if isinstance(restarts, dict) else ()
    return {
        "targets": targets,
        "origins": {i: o for i, o in read_origins(data.get("origins")).items() if i in targets},
        "restarts": {str(name): str(run) for name, run in runs},
        "once": {str(name) for name in once} if isinstance(once, list) else set(),
        "done": read_completions(data.get("done")),
        "silences": read_silences(data.get("silences")),
        "ended": data.get("ended") is True,
    }
