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

from asyncinotify import Inotify, Mask, Watch

from hostmanager.compose import raw
from hostmanager.compose.command import Compose, ComposeError
from hostmanager.compose.model import ComposeFile, ComposeFileError
from hostmanager.compose.places import existing, places
from hostmanager.compose.reading import read

log = logging.getLogger(__name__)

REST = 0.05
"""Seconds without a further change before files are read: editors write in several steps."""

LONGEST_WAIT = 1.0
"""Seconds that such a rest is waited for at most."""

TRY_AGAIN = 10.0
"""Seconds between attempts to find a compose command, as long as there is none."""

CHANGES = (
    Mask.CLOSE_WRITE
    | Mask.CREATE
    | Mask.DELETE
    | Mask.MOVED_FROM
    | Mask.MOVED_TO
    | Mask.ATTRIB
    | Mask.DELETE_SELF
    | Mask.MOVE_SELF
)

Status = tuple[bool, float, str]
Find = Callable[[], Awaitable[Compose]]
Changed = Callable[[], Awaitable[None]]


class Following:
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
        self.status: dict[str, Status] = {}
        self._find = find
        self._cwd = cwd
        self._changed = changed
        self._places: dict[str, frozenset[Path]] = {}
        self._watches: dict[Path, Watch] = {}
        self._task: asyncio.Task[None] | None = None
        self._reading = asyncio.Lock()
        self._once = asyncio.Event()
        self._seen: dict[str, tuple[object, ...]] = {}

    @property
    def read_once(self) -> bool:
        """Whether every file has been read, or tried to, at least once."""
        return self._once.is_set()

    async def wait_read(self, limit: float) -> None:
        """Wait until every file was read once; not longer than that."""
        with suppress(TimeoutError):
            async with asyncio.timeout(limit):
                await self._once.wait()

    def start(self) -> None:
        """Begin to follow; returns at once."""
        if self._task is None and self.paths:
            self._task = asyncio.ensure_future(self._follow())

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

    async def _follow(self) -> None:
        while self.compose is None:
            try:
                self.compose = await self._find()
            except ComposeError as error:
                await self._fail_all(str(error))
                await asyncio.sleep(TRY_AGAIN)
        try:
            with Inotify() as inotify:
                await self._watch(inotify)
        except OSError as error:
            # Its use is limited, for each user; then changes are seen when a reload is asked for.
            log.warning(
                "compose files are not followed (inotify: %s); changes count after a reload", error
            )
            await self._read(self.paths)

    async def _fail_all(self, why: str) -> None:
        now = time.time()
        news = any(self.status.get(path, (True, 0, ""))[2] != why for path in self.paths)
        if news:
            self.status = dict.fromkeys(self.paths, (False, now, why))
            self._once.set()
            await self._changed()

    async def _watch(self, inotify: Inotify) -> None:
        await self._look_after(inotify, self.paths)
        await self._read(self.paths)
        await self._look_after(inotify, self.paths)
        while True:
            due = await self._next_changes(inotify)
            await self._look_after(inotify, due)
            await self._read(due)
            await self._look_after(inotify, due)

    async def _next_changes(self, inotify: Inotify) -> list[str]:
        """Wait for a change, and for a rest after it; returns the files that may be concerned."""
        due: set[str] = set()
        clock = asyncio.get_running_loop().time
        first = rest = 0.0
        while True:
            # Others may write in the same folders all the time: only our changes count for this.
            until = min(rest, first + LONGEST_WAIT) if due else None
            try:
                async with asyncio.timeout_at(until):
                    event = await inotify.get()
            except TimeoutError:
                return sorted(due, key=self.paths.index)
            if event.mask & (Mask.IGNORED | Mask.DELETE_SELF | Mask.MOVE_SELF | Mask.Q_OVERFLOW):
                # A folder is gone, or too much has happened: look at everything anew.
                self._forget_watches(inotify)
                touched = list(self.paths)
            else:
                touched = self._touched(event.path)
            if touched:
                rest = clock() + REST
                first = first if due else clock()
                due.update(touched)

    def _touched(self, path: Path | None) -> list[str]:
        if path is None:
            return []
        # Also a folder that comes to be where a file is to be found.
        return [p for p, found in self._places.items() if any(_within(s, path) for s in found)]

    async def _look_after(self, inotify: Inotify, paths: Iterable[str]) -> None:
        """Watch the folders of all that these files rest on."""
        for path in paths:
            self._places[path] = await asyncio.to_thread(_places, self._cwd / path)
        found = frozenset().union(*self._places.values())
        for folder in await asyncio.to_thread(_folders, found) - self._watches.keys():
            with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
                self._watches[folder] = inotify.add_watch(folder, CHANGES)

    def _forget_watches(self, inotify: Inotify) -> None:
        for watch in self._watches.values():
            with suppress(OSError):
                inotify.rm_watch(watch)
        self._watches.clear()

    async def _read(self, paths: Iterable[str]) -> None:
        """Read some of the files, and tell once of all."""
        paths = list(paths)
        if self.compose is None or not paths:
            return
        async with self._reading:
            await asyncio.gather(*(self._read_one(self.compose, path) for path in paths))
            self._once.set()
            await self._changed()

    async def _read_one(self, compose: Compose, path: str) -> None:
        self._seen[path] = await self._signature(path)
        try:
            file = await read(compose, path)
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
        sources = await asyncio.to_thread(raw.sources, self._cwd / path)
        return await asyncio.to_thread(lambda: tuple(_stamp(s) for s in sorted(sources)))


def _stamp(path: Path) -> tuple[object, ...]:
    try:
        stat = path.stat()
    except OSError:
        return (path,)
    return (path, stat.st_ino, stat.st_size, stat.st_mtime_ns)


def _places(file: Path) -> frozenset[Path]:
    """Everything that may change what a compose file says."""
    return frozenset().union(*(places(source) for source in raw.sources(file)))


def _folders(found: Iterable[Path]) -> set[Path]:
    return {existing(place.parent) for place in found}


def _within(path: Path, changed: Path) -> bool:
    return path == changed or changed in path.parents
