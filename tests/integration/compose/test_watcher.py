"""Compose files watched as they change, with the real compose command and the real kernel."""

import asyncio
import os
import shutil
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from hostmanager.composefile import watcher as module
from hostmanager.composefile.command import Compose, ComposeError
from hostmanager.composefile.symlinks import watch_targets
from hostmanager.composefile.watcher import ComposeFileWatcher

LIMIT = 60.0
A = "services: {a: {image: 'lab/a:1'}}\n"
AB = "services: {a: {image: 'lab/a:1'}, b: {image: 'lab/b:1'}}\n"
BROKEN = "services:\n  a: {image: 'x'\n"


class Watched:
    """A watcher, and how often it has reported."""

    def __init__(self, compose: Compose, *paths: str, failures: int = 0) -> None:
        self.reports = 0

        async def find() -> Compose:
            nonlocal failures
            if failures:
                failures -= 1
                raise ComposeError("No compose command.")
            return compose

        async def changed() -> None:
            self.reports += 1

        self.watcher = ComposeFileWatcher(paths, find, compose.cwd, changed)

    def services(self, path: str = "compose.yaml") -> list[str]:
        file = self.watcher.files.get(path)
        return sorted(file.services) if file else []

    def ok(self, path: str = "compose.yaml") -> bool | None:
        status = self.watcher.status.get(path)
        return None if status is None else status[0]

    def text(self, path: str = "compose.yaml") -> str:
        return self.watcher.status[path][2]

    async def until(self, predicate, what: str = "") -> None:
        end = asyncio.get_running_loop().time() + LIMIT
        while not predicate():
            status = self.watcher.status
            assert asyncio.get_running_loop().time() < end, f"{what}: {status} {self.reports}"
            await asyncio.sleep(0.01)


@asynccontextmanager
async def watched(compose, *paths):
    it = Watched(compose, *(paths or ("compose.yaml",)))
    it.watcher.start()
    try:
        await it.watcher.wait_loaded(LIMIT)
        await asyncio.sleep(0.1)  # what it looks after, once it has read
        yield it
    finally:
        await it.watcher.close()


async def test_it_is_read_at_the_start_and_whenever_it_is_written(compose, write):
    write(A)
    async with watched(compose) as it:
        assert it.services() == ["a"]
        assert it.text() == "1 service, project work."
        write(AB)
        await it.until(lambda: it.services() == ["a", "b"])


async def test_an_editor_that_replaces_the_file(v2, write, directory):
    write(A)
    async with watched(v2) as it:
        write(AB, "draft")
        (directory / "draft").rename(directory / "compose.yaml")
        await it.until(lambda: it.services() == ["a", "b"])


async def test_several_steps_are_reported_once(v2, write):
    write(A)
    async with watched(v2) as it:
        reports = it.reports
        for _ in range(20):
            write(A)
        write(AB)
        await it.until(lambda: it.services() == ["a", "b"])
        await asyncio.sleep(0.3)  # a second report would come by then
        assert it.reports == reports + 1


async def test_nothing_is_read_while_nothing_changes_or_others_write(v2, write):
    write(A)
    async with watched(v2):
        runs = v2.runs
        for number in range(20):
            write("x", f"other{number}")
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.3)  # a change would be read by then
        assert v2.runs == runs


async def test_one_that_writes_beside_it_all_the_time_holds_up_nothing(v2, write):
    write(A)
    async with watched(v2) as it:

        async def scribble() -> None:
            while True:
                write("x", "log")
                await asyncio.sleep(0.005)

        busy = asyncio.ensure_future(scribble())
        write(AB)
        await it.until(lambda: it.services() == ["a", "b"])
        busy.cancel()


async def test_broken_gone_and_back_again(compose, write, directory):
    write(AB)
    async with watched(compose) as it:
        write(BROKEN)
        await it.until(lambda: it.ok() is False)
        assert it.services() == ["a", "b"]
        assert "compose.yaml, line " in it.text()
        (directory / "compose.yaml").unlink()
        await it.until(lambda: it.text() == "compose.yaml does not exist.")
        assert it.services() == ["a", "b"]
        write(A)
        await it.until(lambda: it.ok() is True)
        assert it.services() == ["a"]


async def test_a_directory_a_loop_megabytes_and_bytes_in_its_place(v2, write, directory):
    file = directory / "compose.yaml"
    write(AB)
    async with watched(v2) as it:
        file.unlink()
        file.mkdir()
        await it.until(lambda: "it is a directory" in it.text())
        file.rmdir()
        file.symlink_to("compose.yaml")
        await it.until(lambda: "Too many levels" in it.text())
        file.unlink()
        file.write_bytes(b"x" * 50_000_000)
        await it.until(lambda: "larger than 4 MiB" in it.text())
        file.write_bytes(bytes(range(256)) * 99)
        await it.until(lambda: "not valid YAML" in it.text())
        os.mkfifo(directory / "fifo")
        (directory / "fifo").rename(file)
        await it.until(lambda: "it is a named pipe" in it.text())
        assert it.services() == ["a", "b"]
        file.unlink()
        write(A)
        await it.until(lambda: it.ok() is True)
        assert it.services() == ["a"]


async def test_a_loop_at_the_start_is_fixed_later(v2, write, directory):
    (directory / "compose.yaml").symlink_to("compose.yaml")
    async with watched(v2) as it:
        assert it.ok() is False
        (directory / "compose.yaml").unlink()
        write(A)
        await it.until(lambda: it.services() == ["a"])


async def test_one_that_is_not_there_yet_with_its_directories(v2, write):
    async with watched(v2, "deep/er/compose.yaml") as it:
        assert it.ok("deep/er/compose.yaml") is False
        write(A, "deep/er/compose.yaml")
        await it.until(lambda: it.services("deep/er/compose.yaml") == ["a"])


async def test_a_directory_that_is_moved_away_and_another_that_takes_its_place(
    v2, write, directory
):
    write(A, "site/compose.yaml")
    write(AB, "new/compose.yaml")
    async with watched(v2, "site/compose.yaml") as it:
        (directory / "site").rename(directory / "old")
        await it.until(lambda: it.ok("site/compose.yaml") is False)
        (directory / "new").rename(directory / "site")
        await it.until(lambda: it.services("site/compose.yaml") == ["a", "b"])
        shutil.rmtree(directory / "site")
        await it.until(lambda: it.ok("site/compose.yaml") is False)
        write(A, "site/compose.yaml")
        await it.until(lambda: it.services("site/compose.yaml") == ["a"])
        write(AB, "site/compose.yaml")
        await it.until(lambda: it.services("site/compose.yaml") == ["a", "b"])


async def test_a_link_to_the_file_is_followed_on_both_ends(v2, write, directory):
    write(A, "one/real.yaml")
    write(AB, "two/real.yaml")
    (directory / "compose.yaml").symlink_to("one/real.yaml")
    async with watched(v2) as it:
        assert it.services() == ["a"]
        write(AB, "one/real.yaml")
        await it.until(lambda: it.services() == ["a", "b"])
        write(A, "two/real.yaml")
        (directory / "draft").symlink_to("two/real.yaml")
        (directory / "draft").rename(directory / "compose.yaml")
        await it.until(lambda: it.services() == ["a"])
        write(AB, "two/real.yaml")
        await it.until(lambda: it.services() == ["a", "b"])


async def test_a_link_to_its_directory_that_is_switched(v2, write, directory):
    write(A, "v1/compose.yaml")
    write(AB, "v2/compose.yaml")
    (directory / "current").symlink_to("v1")
    async with watched(v2, "current/compose.yaml") as it:
        (directory / "draft").symlink_to("v2")
        (directory / "draft").rename(directory / "current")
        await it.until(lambda: it.services("current/compose.yaml") == ["a", "b"])
        write("TAG=1", "v2/.env")
        write("services: {c: {image: 'x:$TAG'}}", "v2/compose.yaml")
        await it.until(lambda: it.services("current/compose.yaml") == ["c"])
        write("TAG=2", "v2/.env")
        path = "current/compose.yaml"
        await it.until(lambda: it.watcher.files[path].services["c"].image == "x:2")


async def test_env_files_and_included_files_count(v2, write):
    write("include: [sub/inc.yaml]\nservices: {a: {image: 'x:$TAG', env_file: sub/a.env}}\n")
    write("services: {b: {image: 'y'}}", "sub/inc.yaml")
    write("X=1", "sub/a.env")
    async with watched(v2) as it:
        service = lambda: it.watcher.files["compose.yaml"].services["a"]  # noqa: E731
        write("TAG=9", ".env")
        await it.until(lambda: service().image == "x:9")
        digest = service().digest
        write("X=2", "sub/a.env")
        await it.until(lambda: service().digest != digest)
        write("services: {b: {image: 'y'}, c: {image: 'z'}}", "sub/inc.yaml")
        await it.until(lambda: it.services() == ["a", "b", "c"])


async def test_an_env_file_that_is_missing_and_comes(v2, write):
    write("services: {a: {image: x, env_file: a.env}}")
    async with watched(v2) as it:
        assert it.ok() is False
        assert "a.env" in it.text()
        write("X=1", "a.env")
        await it.until(lambda: it.ok() is True)


async def test_one_broken_file_leaves_the_others_alone(v2, write):
    write(A, "one.yaml")
    write(BROKEN, "two.yaml")
    async with watched(v2, "one.yaml", "two.yaml") as it:
        assert (it.ok("one.yaml"), it.ok("two.yaml")) == (True, False)
        assert it.services("two.yaml") == []
        write(AB, "one.yaml")
        await it.until(lambda: it.services("one.yaml") == ["a", "b"])
        write(A, "two.yaml")
        await it.until(lambda: it.ok("two.yaml") is True)
        assert list(it.watcher.files) == ["one.yaml", "two.yaml"]


async def test_no_compose_command_is_reported_of_each_file_until_there_is_one(
    v2, write, monkeypatch
):
    monkeypatch.setattr(module, "RETRY_INTERVAL", 0.05)
    write(A)
    it = Watched(v2, "compose.yaml", failures=2)
    it.watcher.start()
    await it.watcher.wait_loaded(LIMIT)
    assert it.watcher.status["compose.yaml"][2] == "No compose command."
    await it.until(lambda: it.services() == ["a"])
    await it.until(lambda: it.reports > 1, "a report after it is loaded")
    await it.watcher.close()
    assert it.reports == 2


async def test_without_inotify_a_reload_finds_what_has_changed(v2, write, monkeypatch, caplog):
    def none_left() -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(module, "Inotify", none_left)
    write(A)
    async with watched(v2) as it:
        assert it.services() == ["a"]
        assert "are not watched" in caplog.text
        await it.watcher.refresh()
        runs = v2.runs
        await it.watcher.refresh()
        assert v2.runs == runs
        write(AB)
        await it.watcher.refresh()
        assert it.services() == ["a", "b"]


async def test_what_nobody_foresaw_ends_nothing(v2, write, monkeypatch, caplog):
    write(A)
    async with watched(v2) as it:
        load = module.load_compose_file

        async def bad(*_args):
            raise ZeroDivisionError

        monkeypatch.setattr(module, "load_compose_file", bad)
        write(AB)
        await it.until(lambda: it.ok() is False)
        assert "ZeroDivisionError" in it.text()
        monkeypatch.setattr(module, "load_compose_file", load)
        write(AB)
        await it.until(lambda: it.services() == ["a", "b"])
    caplog.clear()


@pytest.mark.parametrize(
    ("links", "path", "expected"),
    [
        ({}, "x/y", {"x/y"}),
        ({"l": "d"}, "l/f", {"l", "d/f"}),
        ({"l": "m", "m": "d"}, "l/f", {"l", "m", "d/f"}),
        ({"d/f": "../e/g"}, "d/f", {"d/f", "e/g"}),
        ({"l": "../w/d"}, "l/../f", {"l", "f"}),
        ({"l": "nowhere"}, "l/f", {"l", "nowhere/f"}),
    ],
)
def test_places_are_the_links_on_the_way_and_the_end(tmp_path, links, path, expected):
    base = (tmp_path / "w").resolve()
    for name in ("d", "e"):
        (base / name).mkdir(parents=True)
    for name, target in links.items():
        (base / name).symlink_to(target)
    assert watch_targets(base / path) == {base / name for name in expected}


def test_places_of_a_loop_are_few(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    assert {p.name for p in watch_targets(tmp_path / "a")} == {"a", "b"}
    assert watch_targets(Path("relative")) == {Path.cwd().resolve() / "relative"}
