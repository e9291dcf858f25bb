"""Following compose files: loaded at the start, and again whenever one of them changes.

What decides is whether the compose file, or one of those that it rests on (`.env`, env files, what it
includes), is another file or has another time of change than when it was loaded. That is looked up
every two seconds, in a thread: inotify says nothing of network file systems, needs a watch on each
directory and each symbolic link on the way, and its use is limited for each user.

A file that cannot be used changes nothing: what is known of its services stays, and the
status says what is wrong.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from hostmanager.composefile.command import Compose, ComposeError
from hostmanager.composefile.loader import load_compose_file
from hostmanager.composefile.model import ComposeFile, ComposeFileError, FileStatus
from hostmanager.composefile.yaml_source import source_files
from hostmanager.util.guard import Guard

log = logging.getLogger(__name__)

CHECK_INTERVAL = 2.0
"""Seconds between two looks at the files."""

DEBOUNCE = 0.05
"""Seconds without a further change before files are loaded: editors write in several steps."""

MAX_DEBOUNCE = 1.0
"""Seconds after which they are loaded although they go on changing."""

RETRY_INTERVAL = 10.0
"""Seconds between attempts to find a compose command, if that fails."""

FindRunningProject = Callable[[ComposeFile], Awaitable[str]]
"""The other project in which services of a file run when it is loaded first; empty: none."""

FileSignature = tuple[Path, *tuple[int, ...]]
Signature = tuple[FileSignature, ...]
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
        files: What each file said last that could be used, in their order.
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
        self._loading = asyncio.Lock()
        self._loaded = asyncio.Event()
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
        """Begin to follow the files; returns at once."""
        if self._task is None and self.paths:
            guard = Guard(asyncio.get_running_loop().call_later)
            follow = guard.run_forever(
                "following the compose files", self._follow, lambda: RETRY_INTERVAL
            )
            self._task = asyncio.ensure_future(follow)

    async def close(self) -> None:
        """Stop following the files."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def refresh(self) -> None:
        """Load what has changed, without waiting for the next look."""
        compose = self.compose
        if compose is None:
            return
        async with self._loading:
            current = await self._current_signatures()
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

    async def _current_signatures(self) -> dict[str, Signature]:
        return await asyncio.to_thread(lambda: {path: self._signature(path) for path in self.paths})

    def _signature(self, path: str) -> Signature:
        """Changes when a compose file or one of those that it rests on does."""
        known = self._signatures.get(path, ())
        now = tuple(_file_signature(source) for source, *_ in known)
        if now and now == known:  # then what it rests on is the same, too: it need not be parsed
            return now
        return tuple(_file_signature(source) for source in sorted(source_files(self._cwd / path)))

    # --- following --------------------------------------------------------------------------

    async def _follow(self) -> None:
        """Load what changes, for ever; returns if there is no compose command at present."""
        try:
            self.compose = self.compose or await self._find()
        except ComposeError as error:
            await self._fail_all(str(error))
            return
        await self.refresh()
        while True:
            await asyncio.sleep(CHECK_INTERVAL)
            if await self._have_changed():
                await self.refresh()

    async def _have_changed(self) -> bool:
        """Whether files have changed; waits until they do not change any more."""
        now = await self._current_signatures()
        if now == self._signatures:
            return False
        with suppress(TimeoutError):
            async with asyncio.timeout(MAX_DEBOUNCE):
                before: dict[str, Signature] = {}
                while now != before:
                    await asyncio.sleep(DEBOUNCE)
                    before, now = now, await self._current_signatures()
        return True

    async def _fail_all(self, reason: str) -> None:
        if any(self.status.get(path, (True, 0, ""))[2] != reason for path in self.paths):
            self.status = dict.fromkeys(self.paths, (False, time.time(), reason))
            await self._report_change()

    # --- loading ----------------------------------------------------------------------------

    async def _load(self, compose: Compose, path: str) -> None:
        try:
            file = await self._read(compose, path)
        except ComposeFileError as error:
            self.status[path] = (False, time.time(), str(error))
        except Exception as error:  # whatever it is, the other files go on being followed
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


def _file_signature(path: Path) -> FileSignature:
    try:
        stat = path.stat()
    except OSError:
        return (path,)
    return (path, stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
