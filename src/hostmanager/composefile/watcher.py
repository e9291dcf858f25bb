"""Following compose files: read at the start, and again whenever one of them changes.

The kernel tells of changes (inotify), so nothing is polled. Folders are watched rather than
files, because editors replace files; of links on the way, the folders that the links are in, too.
A compose file rests on others (`.env`, env files, what it includes): those count as well.

A file that cannot be used changes nothing: what was known of its services stays, and the
status says what is wrong.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from asyncinotify import Event, Inotify, Mask, Watch

from hostmanager.composefile import yaml_source as raw
from hostmanager.composefile.command import Compose, ComposeError
from hostmanager.composefile.loader import load_compose_file
from hostmanager.composefile.model import ComposeFile, ComposeFileError
from hostmanager.composefile.symlinks import nearest_existing, watch_targets
from hostmanager.util.guard import Guard

log = logging.getLogger(__name__)

DEBOUNCE = 0.05
"""Seconds without a further change before files are read: editors write in several steps."""

MAX_DEBOUNCE = 1.0
"""Seconds that such a rest is waited for at most."""

RETRY_INTERVAL = 10.0
"""Seconds between attempts to find a compose command, and to watch files, if that fails."""

SELF_MOVED = Mask.DELETE_SELF | Mask.MOVE_SELF

CHANGES = (
    Mask.CLOSE_WRITE
    | Mask.CREATE
    | Mask.DELETE
    | Mask.MOVED_FROM
    | Mask.MOVED_TO
    | Mask.ATTRIB
    | SELF_MOVED
)

NOT_THERE = (FileNotFoundError, NotADirectoryError, PermissionError)

FileStatus = tuple[bool, float, str]
Find = Callable[[], Awaitable[Compose]]
Changed = Callable[[], Awaitable[None]]


class ComposeFileWatcher:
    """Keeps what some compose files say.

    Args:
        paths: The files, as they were given.
        find: Finds the compose command.
        cwd: What relative paths are relative to.
        changed: Told when files were read, once for all that changed together.

    Attributes:
        compose: The compose command, once it was found.
        files: What each file said last that could be used, in their order.
        status: Of each file: whether its last reading went well, when that was (Unix time),
            and a sentence.
    """

    def __init__(self, paths: Sequence[str], find: Find, cwd: Path, changed: Changed) -> None:
        self.paths = tuple(paths)
        self.compose: Compose | None = None
        self.files: dict[str, ComposeFile] = {}
        self.status: dict[str, FileStatus] = {}
        self._find = find
        self._cwd = cwd
        self._changed = changed
        self._places: dict[str, frozenset[Path]] = {}
        self._watches: dict[Path, Watch] = {}
        self._parent_watches: dict[Path, Watch] = {}
        self._pending_event: asyncio.Task[Event] | None = None
        self._last_watch_error = ""
        self._task: asyncio.Task[None] | None = None
        self._reading = asyncio.Lock()
        self._once = asyncio.Event()
        self._seen: dict[str, tuple[object, ...]] = {}

    @property
    def is_loaded(self) -> bool:
        """Whether every file has been read, or tried to, at least once."""
        return self._once.is_set()

    async def wait_loaded(self, time_limit: float) -> None:
        """Wait until every file was read once; not longer than that."""
        with suppress(TimeoutError):
            async with asyncio.timeout(time_limit):
                await self._once.wait()

    def start(self) -> None:
        """Begin to follow; returns at once."""
        if self._task is None and self.paths:
            guard = Guard(asyncio.get_running_loop().call_later)
            follow = guard.run_forever(
                "following the compose files", self._attempt, lambda: RETRY_INTERVAL
            )
            self._task = asyncio.ensure_future(follow)

    async def close(self) -> None:
        """Stop following."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def refresh(self) -> None:
        """Read again what has changed without notice, as on file systems of the network."""
        if self.compose is None:
            return
        changed = [p for p in self.paths if await self._signature(p) != self._seen.get(p)]
        await self._read(changed)

    # --- reading ----------------------------------------------------------------------------

    async def _attempt(self) -> None:
        """Follow for ever; returns if that is not possible at present."""
        try:
            self.compose = self.compose or await self._find()
            with Inotify() as inotify:
                await self._watch(inotify)
        except ComposeError as error:
            await self._fail_all(str(error))
        except OSError as error:
            # Its use is limited, for each user.
            if str(error) != self._last_watch_error:
                log.warning(
                    "compose files are not followed (inotify: %s); they are looked at every %g s",
                    *(error, RETRY_INTERVAL),
                )
            self._last_watch_error = str(error)
            await self.refresh()

    async def _fail_all(self, why: str) -> None:
        now = time.time()
        news = any(self.status.get(path, (True, 0, ""))[2] != why for path in self.paths)
        if news:
            self.status = dict.fromkeys(self.paths, (False, now, why))
            try:
                await self._changed()
            finally:
                self._once.set()

    async def _watch(self, inotify: Inotify) -> None:
        self._watches.clear()
        self._parent_watches.clear()
        due = list(self.paths)
        try:
            while True:
                await self._add_watches(inotify, due)
                await self._read(due)
                if await self._add_watches(inotify, due):
                    await self.refresh()  # what was changed before it was looked after
                due = await self._next_changes(inotify)
        finally:
            if self._pending_event is not None:
                self._pending_event.cancel()  # before the file descriptor is another's
                await asyncio.gather(self._pending_event, return_exceptions=True)
                self._pending_event = None

    async def _next_changes(self, inotify: Inotify) -> list[str]:
        """Wait for a change, and for a rest after it; returns the files that may be concerned."""
        due: set[str] = set()
        clock = asyncio.get_running_loop().time
        first = rest = 0.0
        while True:
            # Others may write in the same folders all the time: only our changes count for this.
            until = min(rest, first + MAX_DEBOUNCE) if due else None
            event = await self._next_event(inotify, until)
            if event is None:
                return sorted(due, key=self.paths.index)
            if event.mask & (Mask.IGNORED | SELF_MOVED | Mask.Q_OVERFLOW):
                # A folder is gone, or too much has happened: look at everything anew.
                self._forget_watches(inotify)
                touched = list(self.paths)
            else:
                touched = self._affected_files(event.path)
            if touched:
                rest = clock() + DEBOUNCE
                first = first if due else clock()
                due.update(touched)

    async def _next_event(self, inotify: Inotify, until: float | None) -> Event | None:
        """The next event; None if there is none by then: one that comes just then is kept."""
        if self._pending_event is None:
            self._pending_event = asyncio.ensure_future(inotify.get())
        left = None if until is None else max(0.0, until - asyncio.get_running_loop().time())
        await asyncio.wait((self._pending_event,), timeout=left)
        if not self._pending_event.done():
            return None
        got, self._pending_event = self._pending_event, None
        return got.result()

    def _affected_files(self, path: Path | None) -> list[str]:
        if path is None:
            return []
        # Also a folder that comes to be where a file is to be found.
        return [p for p, found in self._places.items() if any(_within(s, path) for s in found)]

    async def _add_watches(self, inotify: Inotify, paths: Iterable[str]) -> bool:
        """Watch the folders of all that these files rest on; tells whether there are new ones."""
        for path in paths:
            self._places[path] = await asyncio.to_thread(_places, self._cwd / path)
        found = frozenset().union(*self._places.values())
        folders = await asyncio.to_thread(_folders, found)
        new = folders - self._watches.keys()
        for folder in new:
            with suppress(*NOT_THERE):
                self._watches[folder] = inotify.add_watch(folder, CHANGES)
        # Of those above, what happens in them does not matter, but that they are moved away.
        above = {higher for folder in folders for higher in folder.parents}
        for folder in above - self._watches.keys() - self._parent_watches.keys():
            with suppress(*NOT_THERE):
                self._parent_watches[folder] = inotify.add_watch(folder, SELF_MOVED)
        return bool(new)

    def _forget_watches(self, inotify: Inotify) -> None:
        for watch in (*self._watches.values(), *self._parent_watches.values()):
            with suppress(OSError):
                inotify.rm_watch(watch)
        self._watches.clear()
        self._parent_watches.clear()

    async def _read(self, paths: Iterable[str]) -> None:
        """Read some of the files, and tell once of all."""
        paths = list(paths)
        if self.compose is None or not paths:
            return
        async with self._reading:
            await asyncio.gather(*(self._read_one(self.compose, path) for path in paths))
            try:
                await self._changed()
            finally:
                self._once.set()  # only now is it known to all

    async def _read_one(self, compose: Compose, path: str) -> None:
        self._seen[path] = await self._signature(path)
        try:
            file = await load_compose_file(compose, path)
        except ComposeFileError as error:
            self.status[path] = (False, time.time(), str(error))
        except Exception as error:  # whatever it is, the other files are followed on
            log.exception("compose file %s", path)
            self.status[path] = (False, time.time(), f"{path} cannot be read: {error!r}.")
        else:
            self.files[path] = file
            count = len(file.services)
            services = f"{count} service{'' if count == 1 else 's'}"
            self.status[path] = (True, time.time(), f"{services}, project {file.project}.")
        self.files = {p: self.files[p] for p in self.paths if p in self.files}

    async def _signature(self, path: str) -> tuple[object, ...]:
        """Changes when a file or one of those that it rests on does."""
        sources = await asyncio.to_thread(raw.source_files, self._cwd / path)
        return await asyncio.to_thread(lambda: tuple(_stamp(s) for s in sorted(sources)))


def _stamp(path: Path) -> tuple[object, ...]:
    try:
        stat = path.stat()
    except OSError:
        return (path,)
    return (path, stat.st_ino, stat.st_size, stat.st_mtime_ns)


def _places(file: Path) -> frozenset[Path]:
    """Everything that may change what a compose file says."""
    return frozenset().union(*(watch_targets(source) for source in raw.source_files(file)))


def _folders(found: Iterable[Path]) -> set[Path]:
    return {nearest_existing(place.parent) for place in found}


def _within(path: Path, changed: Path) -> bool:
    return path == changed or changed in path.parents
