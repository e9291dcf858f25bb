"""Watching compose files: loaded at the start, and again whenever one of them changes.

The kernel reports changes (inotify), so nothing is polled. Directories are watched rather than
files, because editors replace files. An event only says that something may have changed: what
decides is whether the compose file, or one of those that it rests on (`.env`, env files, what it
includes), is another file or has another time of change than when it was loaded.

A file that cannot be used changes nothing: what is known of its services stays, and the
status says what is wrong.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from asyncinotify import Inotify, Mask

from hostmanager.composefile.command import Compose, ComposeError
from hostmanager.composefile.loader import load_compose_file
from hostmanager.composefile.model import ComposeFile, ComposeFileError, FileStatus
from hostmanager.composefile.symlinks import nearest_existing, watch_targets
from hostmanager.composefile.yaml_source import source_files
from hostmanager.util.guard import Guard

log = logging.getLogger(__name__)

DEBOUNCE = 0.05
"""Seconds without a further change before files are loaded: editors write in several steps."""

MAX_DEBOUNCE = 1.0
"""Seconds after which they are loaded although they go on changing."""

RETRY_INTERVAL = 10.0
"""Seconds between attempts to find a compose command, and to watch files, if that fails."""

SELF_MOVED = Mask.DELETE_SELF | Mask.MOVE_SELF

WATCHES_STALE = SELF_MOVED | Mask.IGNORED | Mask.Q_OVERFLOW
"""What means that directories have to be watched anew: one is gone, or events were lost."""

CHANGES = (
    Mask.CLOSE_WRITE
    | Mask.CREATE
    | Mask.DELETE
    | Mask.MOVED_FROM
    | Mask.MOVED_TO
    | Mask.ATTRIB
    | SELF_MOVED
)

FindRunningProject = Callable[[ComposeFile], Awaitable[str]]
"""The other project in which services of a file run when it is loaded first; empty: none."""

Signature = tuple[tuple[object, ...], ...]
IsProjectInUse = Callable[[ComposeFile], bool]
"""Whether containers of a file's project run, as it was loaded before."""

FindCompose = Callable[[], Awaitable[Compose]]
OnChange = Callable[[], Awaitable[None]]


class ComposeFileWatcher:
    """Keeps what some compose files say.

    Args:
        paths: The files, as they were given.
        find: Finds the compose command.
        cwd: What relative paths are relative to.
        on_change: Called when files were loaded, once for all that changed together.

    Attributes:
        compose: The compose command, once it was found.
        files: The latest usable content of each file, in their order.
        status: Of each file: whether its last loading succeeded, when that was (Unix time),
            and a sentence.
    """

    def __init__(
        self, paths: Sequence[str], find: FindCompose, cwd: Path, on_change: OnChange
    ) -> None:
        self.paths = tuple(paths)
        self.compose: Compose | None = None
        self.files: dict[str, ComposeFile] = {}
        self.status: dict[str, FileStatus] = {}
        self._find = find
        self._cwd = cwd
        self._on_change = on_change
        self.is_project_in_use: IsProjectInUse = lambda _: False
        self.find_running_project: FindRunningProject = _no_other_project
        self._signatures: dict[str, Signature] = {}
        self._relevant: set[Path] = set()  # what is watched for, with all directories above
        self._watched: dict[Path, Mask] = {}
        self._event = asyncio.Event()
        self._loading = asyncio.Lock()
        self._loaded = asyncio.Event()
        self._last_watch_error: str | None = None
        self._task: asyncio.Task[None] | None = None
        if not paths:
            self._loaded.set()

    @property
    def is_loaded(self) -> bool:
        """Whether every file has been loaded, or tried to, at least once."""
        return self._loaded.is_set()

    async def wait_loaded(self, time_limit: float) -> None:
        """Wait until every file was loaded once; not longer than that."""
        with suppress(TimeoutError):
            async with asyncio.timeout(time_limit):
                await self._loaded.wait()

    def start(self) -> None:
        """Begin to watch; returns at once."""
        if self._task is None and self.paths:
            guard = Guard(asyncio.get_running_loop().call_later)
            watch = guard.run_forever(
                "watching the compose files", self._attempt, lambda: RETRY_INTERVAL
            )
            self._task = asyncio.ensure_future(watch)

    async def close(self) -> None:
        """Stop watching."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def refresh(self) -> None:
        """Load what has changed, also without an event, as on network file systems."""
        compose = self.compose
        if compose is None:
            return
        async with self._loading:
            current = {p: await asyncio.to_thread(_signature, self._cwd / p) for p in self.paths}
            changed = [p for p in self.paths if self._is_due(p, current[p])]
            if not changed:
                return
            await asyncio.gather(*(self._load(compose, path) for path in changed))
            self.files = {p: self.files[p] for p in self.paths if p in self.files}
            await self._report_change()
            self._signatures = current  # only now: what failed on the way is loaded again

    def _is_due(self, path: str, signature: Signature) -> bool:
        known = self.files.get(path)
        is_renamed = known is not None and known.new_project  # it may be no longer in use
        return signature != self._signatures.get(path) or bool(is_renamed)

    # --- watching ---------------------------------------------------------------------------

    async def _attempt(self) -> None:
        """Watch for ever; returns if that is not possible at present."""
        try:
            self.compose = self.compose or await self._find()
            while True:
                with Inotify() as inotify:
                    await self._watch(inotify)
        except ComposeError as error:
            await self._fail_all(str(error))
        except OSError as error:
            # Its use is limited, for each user.
            if str(error) != self._last_watch_error:
                log.warning(
                    "compose files are not watched (inotify: %s); they are checked every %g s",
                    *(error, RETRY_INTERVAL),
                )
            self._last_watch_error = str(error)
            await self.refresh()

    async def _fail_all(self, reason: str) -> None:
        if any(self.status.get(path, (True, 0, ""))[2] != reason for path in self.paths):
            self.status = dict.fromkeys(self.paths, (False, time.time(), reason))
            await self._report_change()

    async def _watch(self, inotify: Inotify) -> None:
        """Load what changes, until directories have to be watched anew."""
        self._watched.clear()
        reader = asyncio.ensure_future(self._read_events(inotify))
        reader.add_done_callback(lambda _: self._event.set())
        try:
            while not reader.done():
                await self.refresh()
                # If there were new ones: something may have changed before they were watched.
                if not await self._add_watches(inotify):
                    await self._wait_for_events()
            reader.result()
        finally:
            reader.cancel()  # before the file descriptor is another's
            await asyncio.gather(reader, return_exceptions=True)

    async def _read_events(self, inotify: Inotify) -> None:
        """Note that something may have changed; returns when the watches are stale."""
        while not (event := await inotify.get()).mask & WATCHES_STALE:
            # Others may write in the same directories all the time.
            if event.path in self._relevant:
                self._event.set()

    async def _wait_for_events(self) -> None:
        """Wait for an event, then until there are no more of them."""
        await self._event.wait()
        with suppress(TimeoutError):
            async with asyncio.timeout(MAX_DEBOUNCE):
                while self._event.is_set():
                    self._event.clear()
                    await asyncio.sleep(DEBOUNCE)

    async def _add_watches(self, inotify: Inotify) -> bool:
        """Watch the directories of all that the files rest on; returns whether any is new."""
        paths = [self._cwd / path for path in self.paths]
        self._relevant, required = await asyncio.to_thread(_directories_to_watch, paths)
        is_new = False
        for directory, mask in required.items():
            if self._watched.get(directory) == mask:
                continue
            try:
                inotify.add_watch(directory, mask)
            except PermissionError:
                continue
            except (FileNotFoundError, NotADirectoryError):
                return True  # removed at this moment: the one above it counts now
            self._watched[directory] = mask
            is_new = True
        return is_new

    # --- loading ----------------------------------------------------------------------------

    async def _load(self, compose: Compose, path: str) -> None:
        try:
            file = await self._read(compose, path)
        except ComposeFileError as error:
            self.status[path] = (False, time.time(), str(error))
        except Exception as error:  # whatever it is, the other files go on being watched
            log.exception("compose file %s", path)
            self.status[path] = (False, time.time(), f"{path} cannot be read: {error!r}.")
        else:
            self.files[path] = file
            count = len(file.services)
            services = f"{count} service{'' if count == 1 else 's'}"
            text = f"{services}, project {file.project}."
            self.status[path] = (True, time.time(), text)

    async def _read(self, compose: Compose, path: str) -> ComposeFile:
        """Load it; with the name of its project that it had, as long as containers run in that."""
        file = await load_compose_file(compose, path)
        before = self.files.get(path)
        if before is None:
            project = await self.find_running_project(file)
        else:
            project = before.project if self.is_project_in_use(before) else ""
        if project in ("", file.project):
            return file
        kept = await load_compose_file(compose, path, project)
        return replace(kept, new_project=file.project)

    async def _report_change(self) -> None:
        try:
            await self._on_change()
        finally:
            self._loaded.set()  # only now does everybody know of it


async def _no_other_project(_: ComposeFile) -> str:
    return ""


def describe_new_project(file: ComposeFile) -> str:
    """Say that its project has another name now, and what to do; empty if it has not."""
    if not file.new_project:
        return ""
    return (
        f"By its `name:`, or COMPOSE_PROJECT_NAME in .env, its project would be "
        f"'{file.new_project}' now, but containers run in '{file.project}'; nothing is changed. To "
        "use the new name, stop the services of the file (`hostmanager down`), then `hostmanager "
        "reload`."
    )


def _signature(file: Path) -> Signature:
    """Changes when a compose file or one of those that it rests on does."""
    return tuple(_file_signature(source) for source in sorted(source_files(file)))


def _file_signature(path: Path) -> tuple[object, ...]:
    try:
        stat = path.stat()
    except OSError:
        return (path,)
    return (path, stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)


def _directories_to_watch(files: Iterable[Path]) -> tuple[set[Path], dict[Path, Mask]]:
    """The paths whose changes matter, and the directories to watch for them."""
    targets = {
        target for f in files for source in source_files(f) for target in watch_targets(source)
    }
    directories = {nearest_existing(target.parent) for target in targets}
    # Of those above, only that they are moved away matters.
    above = {parent for directory in directories for parent in directory.parents}
    relevant = targets | {parent for target in targets for parent in target.parents}
    return relevant, dict.fromkeys(above, SELF_MOVED) | dict.fromkeys(directories, CHANGES)
