"""Faults of files: the state directory, locks, the disk under the output, the site file."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from random import Random

import yaml

from tests.faults import disks
from tests.faults.agents import STEADY
from tests.faults.environment import World
from tests.faults.fault_registry import NotNowError, kind
from tests.faults.invariants import ViolationError
from tests.support.sites import instance

LARGE = 50 * 2**20
# No NUL and no half of a pair: those cannot be written into a file.
ODD = "\x01 ä€😀'\"\\/;$`*?<>|&\n\t\u202e\ufeff-- ../..%s{}[]:#!@\x7f"


def replace_by(path: Path, shape: str, old: bytes) -> None:
    """Put something else where a file was; as one step, where that is possible."""
    new = path.with_name(f"{path.name}.odd")
    remove(new)
    match shape:
        case "nothing":
            remove(path)
            return
        case "a directory":
            new.mkdir()
            (new / "inside").touch()
        case "a symlink loop":
            new.symlink_to(path)
        case "garbage":
            new.write_bytes(os.urandom(1000))
        case "half of it":
            new.write_bytes(old[: len(old) // 2])
        case "deep brackets":
            new.write_bytes(b"[" * 200_000)
        case "50 MB":
            with new.open("wb") as file:
                for _ in range(50):
                    file.write(b"- [0, {a: b}]\n" * (2**20 // 14))
        case "a fifo":
            os.mkfifo(new)
    for _ in range(100):
        remove(path)
        with contextlib.suppress(IsADirectoryError):  # a manager made it again at this moment
            new.rename(path)
            return


def remove(path: Path) -> None:
    """Remove whatever it is."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


SHAPES = ("nothing", "a directory", "a symlink loop", "garbage", "half of it", "50 MB", "a fifo")


# --- the state directory ----------------------------------------------------------------------------


def _no_active_fault(world: World) -> Path:
    if world.state_has_fault():
        raise NotNowError
    world.doubt_words()
    return world.state


@kind("state directory deleted", 4)
def state_deleted(world: World, _rng: Random) -> str:
    shutil.rmtree(_no_active_fault(world), ignore_errors=True)
    world.doubt_words()
    return ""


def _no_mount(world: World) -> str:
    return "" if world.mounted else "mount is not allowed here"


@kind("state directory read-only", 3, _no_mount)
def state_read_only(world: World, _rng: Random) -> str:
    directory = _no_active_fault(world)
    directory.mkdir(mode=0o700, exist_ok=True)
    off = ["umount", "-l", directory]
    for last in (*(False,) * 20, True):
        subprocess.run(["mount", "--bind", directory, directory], check=True)
        # Refused if somebody has opened a file for writing through it since.
        again = ["mount", "-o", "remount,bind,ro", directory]
        if subprocess.run(again, check=last, stderr=subprocess.DEVNULL).returncode == 0:
            break
        subprocess.run(off, check=True)
    world.active_faults["state read-only"] = lambda: subprocess.run(off, check=True)
    return ""


FILES = ("manager.lock", "wanted.json", "journal.sqlite", "scribe.lock", "scribe.control")


@kind("a file of the state directory replaced", 8)
def state_file(world: World, rng: Random) -> str:
    directory = _no_active_fault(world)
    agent = rng.choice(STEADY)
    name = rng.choice([*FILES, f"locks/{agent}.lock", f"pipes/{agent}.pipe"])
    shape = rng.choice((*SHAPES, "deep brackets"))
    path = directory / name
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    old = path.read_bytes() if path.is_file() else b""
    replace_by(path, shape, old)

    def undo() -> None:
        with contextlib.suppress(OSError):
            if not path.is_file() or path.stat().st_size >= LARGE // 2:
                remove(path)
        world.doubt_words()

    world.active_faults[f"state {name}"] = undo
    return f"{name}: {shape}"


@kind("the directory of the locks replaced", 3)
def state_locks(world: World, rng: Random) -> str:
    path = _no_active_fault(world) / "locks"
    shape = rng.choice(["nothing", "a symlink loop", "garbage"])
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    replace_by(path, shape, b"")
    world.active_faults["state locks"] = lambda: None if path.is_dir() else remove(path)
    return shape


# --- full disks ------------------------------------------------------------------------------


@kind("disk full under the output", 3, _no_mount)
def output_full(world: World, _rng: Random) -> str:
    if "disk" in world.active_faults:
        raise NotNowError
    filler = world.output / "filler"
    world.active_faults["disk"] = lambda: filler.unlink(missing_ok=True)
    disks.fill(filler)
    return ""


@kind("disk full under the state directory", 3, _no_mount)
def state_full(world: World, _rng: Random) -> str:
    _no_active_fault(world)
    filler = world.disk / "filler"
    world.active_faults["state disk"] = lambda: filler.unlink(missing_ok=True)
    disks.fill(filler)
    return ""


# --- the site file -------------------------------------------------------------------------------


def _reload(world: World, rng: Random) -> None:
    """By signal or by request; returns when it has been read."""
    run = world.need_manager()
    if rng.random() < 0.5 or "router" in world.active_faults:
        os.kill(run.pid, signal.SIGHUP)
    if "router" not in world.active_faults:
        world.update(reload_config=True)


def _as_json(path: Path) -> bytes:
    """The same content in a form of which a half makes no sense (half a YAML file may)."""
    return json.dumps(yaml.safe_load(path.read_text())).encode()


@kind("site file replaced", 8)
def site_file(world: World, rng: Random) -> str:
    if not world.answers():
        raise NotNowError
    strict = not world.active_faults
    if strict:
        world.settle()
    path, shape = world.site.file, rng.choice(SHAPES)
    started = time.monotonic()
    try:
        replace_by(path, shape, _as_json(path))
        _reload(world, rng)
    finally:
        remove(path)
        world.write_site()
    _reload(world, rng)
    if strict and (ended := world.told_to_end_since(started)):
        raise ViolationError(f"a site file replaced by {shape} ended {ended}")
    return shape


@kind("site file with odd entries", 4)
def odd_entries(world: World, rng: Random) -> str:
    if world.active_faults or not world.answers():
        raise NotNowError
    world.settle()
    started = time.monotonic()
    text = "".join(rng.sample(ODD, rng.randint(1, 12)))
    entry = rng.choice(
        [
            instance(text),
            instance(f"../{text}"),
            instance("x" * 5000),
            instance("ok-9", *text, manage=text),
            instance("ok-9", agent_class=text),
            instance("ok-9", manage=["host/up"]),
            {"instance-id": 7, "agent-class": None, "arguments": 3},
            {"agent-class": "TinyAgent"},
            instance("ok-0", *text, agent_class="OtherTinyAgent"),  # a second ok-0
        ]
    )
    try:
        world.write_site(entry)
        _reload(world, rng)
    finally:
        world.write_site()
    _reload(world, rng)
    if ended := world.told_to_end_since(started):
        raise ViolationError(f"the entry {entry!r} ended {ended}")
    return ascii(entry)[:100]


@kind("manager started with a broken site file", 2)
def started_broken(world: World, rng: Random) -> str:
    if world.active_faults or not world.answers():
        raise NotNowError
    world.settle()
    world.kill_manager()
    started = time.monotonic()
    path, shape = world.site.file, rng.choice(SHAPES)
    try:
        replace_by(path, shape, _as_json(path))
        world.start()
        world.ended(2, 20)
    finally:
        remove(path)
        world.write_site()
    if ended := world.told_to_end_since(started):
        raise ViolationError(f"started with a site file that was {shape}: ended {ended}")
    return shape
