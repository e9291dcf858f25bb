"""Changes of compose files at the worst moment, and faults that must not end the watching."""

import asyncio
import errno
import shutil
import time
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from hostmanager.composefile import watcher as module
from hostmanager.composefile.command import Compose
from hostmanager.composefile.model import ComposeFile
from hostmanager.composefile.watcher import ComposeFileWatcher

LIMIT = 60.0


@pytest.fixture
def reads(monkeypatch):
    """Reading is only noted: which files, and what was in them."""
    noted = []

    async def load(compose, path):
        text = (compose.cwd / path).read_text()
        noted.append((path, text))
        return ComposeFile(path, compose.cwd / path, "p", {})

    monkeypatch.setattr(module, "load_compose_file", load)
    return noted


@asynccontextmanager
async def watched(directory: Path, *paths: str, changed=None):
    async def nothing():
        pass

    async def find():
        return Compose(("true",), (2, 0, 0), {}, directory)

    it = ComposeFileWatcher(paths, find, directory, changed or nothing)
    it.start()
    try:
        yield it
    finally:
        await it.close()


async def until(predicate, what):
    end = time.monotonic() + LIMIT
    while not predicate():
        assert time.monotonic() < end, f"waited for {what}"
        await asyncio.sleep(0.005)


async def test_it_has_been_read_once_that_is_known_to_everybody(tmp_path, reads):
    """A stop that comes in the first moments waits for that: what runs has to be known."""
    (tmp_path / "a").write_text("{}")
    reported, go = asyncio.Event(), asyncio.Event()

    async def changed():
        reported.set()
        await go.wait()

    async with watched(tmp_path, "a", changed=changed) as it:
        await reported.wait()
        assert not it.is_loaded
        go.set()
        await it.wait_loaded(LIMIT)
        assert it.is_loaded


async def test_a_change_while_the_loop_does_not_turn_is_not_lost(tmp_path, reads):
    """It comes at the same moment as the end of the rest after another change."""
    names = ["a", "b"]
    for name in names:
        (tmp_path / name).write_text("0")
    async with watched(tmp_path, *names) as it:
        await it.wait_loaded(LIMIT)
        for number in map(str, range(1, 6)):
            (tmp_path / "a").write_text(number)
            await asyncio.sleep(module.DEBOUNCE / 2)
            (tmp_path / "b").write_text(number)
            time.sleep(module.DEBOUNCE * 2)  # noqa: ASYNC251 - the loop is to be held up
            await until(lambda n=number: ("b", n) in reads, f"change {number} of the other file")


@pytest.mark.parametrize("error", [RuntimeError("can't start new thread"), MemoryError()])
async def test_a_fault_does_not_end_the_watching(tmp_path, reads, monkeypatch, error):
    monkeypatch.setattr(module, "RETRY_INTERVAL", 0.05)
    (tmp_path / "a").write_text("0")
    faults = [None, error]

    async def changed():
        if faults and (fault := faults.pop(0)) is not None:
            raise fault

    async with watched(tmp_path, "a", changed=changed) as it:
        await it.wait_loaded(LIMIT)
        (tmp_path / "a").write_text("1")
        await until(lambda: not faults, "the fault")
        await asyncio.sleep(0.1)  # the fault is dealt with
        (tmp_path / "a").write_text("2")
        await until(lambda: ("a", "2") in reads, "the next change")


async def test_without_inotify_changes_are_seen_later_and_with_it_again_at_once(
    tmp_path, reads, monkeypatch
):
    monkeypatch.setattr(module, "RETRY_INTERVAL", 0.05)
    real, refused = module.Inotify, []

    def inotify():
        if len(refused) < 3:
            refused.append(1)
            raise OSError(errno.EMFILE, "Too many open files")
        return real()

    monkeypatch.setattr(module, "Inotify", inotify)
    (tmp_path / "a").write_text("0")
    async with watched(tmp_path, "a") as it:
        await it.wait_loaded(LIMIT)
        (tmp_path / "a").write_text("1!")
        await until(lambda: ("a", "1!") in reads, "the change")
        await until(lambda: len(refused) == 3, "inotify")
        await asyncio.sleep(0.2)  # files are watched again
        (tmp_path / "a").write_text("2!!")
        await until(lambda: ("a", "2!!") in reads, "the next change")


@pytest.mark.parametrize("depth", [1, 2, 3])
async def test_a_directory_above_is_exchanged(tmp_path, reads, depth):
    """As by `mv site site.old; mv site.new site`; the directory of the file is moved with it."""
    file = Path("site", *["sub"] * (depth - 1), "compose.yaml")
    for top in ("site", "site.new"):
        path = tmp_path / top / file.relative_to("site")
        path.parent.mkdir(parents=True)
        path.write_text(top)
    async with watched(tmp_path, str(file)) as it:
        await it.wait_loaded(LIMIT)
        assert reads[-1][1] == "site"
        await asyncio.sleep(0.1)  # both looks at the directories are over
        (tmp_path / "site").rename(tmp_path / "site.old")
        (tmp_path / "site.new").rename(tmp_path / "site")
        await until(lambda: reads[-1][1] == "site.new", "the file in the new directory")
        # The new one is followed, too; and the next, made by other means.
        (tmp_path / file).write_text("again")
        await until(lambda: reads[-1][1] == "again", "a change there")
        shutil.rmtree(tmp_path / "site")
        (tmp_path / file).parent.mkdir(parents=True)
        (tmp_path / file).write_text("anew")
        await until(lambda: reads[-1][1] == "anew", "the directory made again")
