"""Who an agent is depends neither on the router nor on how the site config calls it."""

import io
import os
import shutil
import signal
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.test_adoption import all_up, leaders, wait_noted
from tests.support.clients import children, client
from tests.support.managers import Manager
from tests.support.processes import processes
from tests.support.sites import instance
from tests.support.users import hostile_host
from tests.support.waiting import wait_for

BEFORE = "ee0ee53"
"""The commit of the version before: the last one whose agents carry a key only."""

HERE = Path(__file__).resolve().parents[2]


@pytest.fixture
def version_before(sources_before) -> Iterator[Path]:
    """The sources of the version before, on a host without an adversary: it would end of one."""
    with hostile_host(exclusive=True):
        yield sources_before


@pytest.fixture(scope="session")
def sources_before(tmp_path_factory) -> Path:
    """The sources of the version before; skipped where the history is not at hand."""
    archive = subprocess.run(
        ["git", "-C", HERE, "archive", BEFORE, "src"], capture_output=True, check=False
    )
    if archive.returncode:
        pytest.skip(f"git has no commit {BEFORE} here, so the version before cannot be run")
    directory = tmp_path_factory.mktemp("before")
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
        tar.extractall(directory, filter="data")
    return directory / "src"


Start = Callable[..., Manager]


@pytest.fixture
def runtime(site) -> Path:
    """What `XDG_RUNTIME_DIR` is for these managers: where default state directories are made."""
    directory: Path = site.directory / "run"
    directory.mkdir(mode=0o700)
    return directory


@pytest.fixture
def start(start_manager, site, runtime) -> Start:
    """Start a manager with the default state directory, of now or of another source tree."""
    site.names_state_dir = False

    def go(source: Path | None = None) -> Manager:
        surroundings = {"XDG_RUNTIME_DIR": str(runtime)}
        if source is not None:
            surroundings["PYTHONPATH"] = str(source)
        return start_manager(site, surroundings=surroundings)

    return go


def kill(manager: Manager) -> None:
    manager.process.kill()
    manager.process.wait()


def disown(manager: Manager) -> None:
    assert client(manager.site).die(disown=True).session["success"]
    assert manager.process.wait(60) == 0


@pytest.mark.parametrize("end", [kill, disown])
def test_agents_go_on_when_the_router_is_called_otherwise(site, start_manager, end):
    site.write(instance("a"), instance("b"))
    first = start_manager(site)
    wait_for(all_up(site, 2), 20, "two agents")
    wait_noted(site, "a", "b")
    before = leaders(site)
    end(first)
    site.router_host = "localhost"
    site.write(instance("a"), instance("b"))
    start_manager(site)
    assert leaders(site) == before
    shown = children(client(site))
    assert {i: [s["pid"]] for i, s in shown.items()} == before
    client(site).update(requests=[["a", "down"]])
    wait_for(lambda: leaders(site).keys() == {"b"}, 20, "a gone")
    assert all(len(site.launches(name)) == 1 for name in ("a", "b"))


@pytest.mark.parametrize(
    ("old_first", "moved"),
    [(True, False), (True, True), (False, False)],
    ids=["upgrade", "upgrade and another router", "back"],
)
def test_each_version_takes_over_what_the_other_launched(  # noqa: PLR0917 - all of them are fixtures
    site, start, runtime, version_before, old_first, moved
):
    site.write(instance("a"), instance("b"), instance("c"))
    first = start(version_before if old_first else None)
    wait_for(all_up(site, 3), 20, "three agents")
    wait_noted(site, "a", "b", "c")
    client(site).update(requests=[["c", "down"]])
    wait_for(all_up(site, 2), 20, "two agents")
    before = leaders(site)
    [kept] = {path.resolve() for path in runtime.glob("hostmanager/*/wanted.json")}
    wait_for(lambda: '"c": "down"' in kept.read_text(), 20, "the target on disk")
    kill(first)
    if moved:
        site.router_host = "localhost"
        site.write(instance("a"), instance("b"), instance("c"))
    start(None if old_first else version_before)
    assert leaders(site) == before
    shown = children(client(site))
    assert shown["c"]["target_state"] == "down"
    assert {i: [s["pid"]] for i, s in shown.items() if s["pid"]} == before
    client(site).update(requests=[["c", "up"], ["a", "down"]])
    wait_for(lambda: leaders(site).keys() == {"b", "c"}, 20, "a gone, c up")
    assert leaders(site)["b"] == before["b"]
    assert len(site.launches("b")) == 1


def test_what_another_router_s_manager_left_in_the_same_directory_is_left_alone(
    site, start_manager, version_before
):
    """Its key is not ours, only the lock is; and the site config does not know it."""
    old = {"PYTHONPATH": str(version_before)}
    site.write(instance("a"), instance("theirs"))
    first = start_manager(site, surroundings=old)
    wait_for(all_up(site, 2), 20, "two agents")
    wait_noted(site, "a", "theirs")
    before = leaders(site)
    kill(first)
    site.router_host = "localhost"
    site.write(instance("a"))
    second = start_manager(site)
    assert leaders(site) == before
    assert "theirs: something that another manager launched" in second.output()
    os.kill(before["theirs"][0], signal.SIGKILL)


def test_agents_are_known_after_their_directory_was_lost(site, start, runtime):
    """A log-out, a cleaned /tmp: those who carry the identity give it back; twice."""
    site.write(instance("a"))
    manager = start()
    wait_for(all_up(site, 1), 20, "the agent")
    wait_noted(site, "a")
    before = leaders(site)
    for _ in range(2):
        kill(manager)
        shutil.rmtree(runtime / "hostmanager")
        site.router_host = "localhost" if site.router_host != "localhost" else "127.0.0.1"
        site.write(instance("a"))
        manager = start()
        assert leaders(site) == before
        kill(manager)
        manager = start()
        assert leaders(site) == before

    def nobody_in_vain() -> bool:
        return [process.kind for process in processes(site)].count("log daemon") <= 2

    # One that has the agent's pipe goes on with it, although no path leads there any more, and one
    # is the present manager's. A third one looks for its directory every 10 s, and ends.
    wait_for(
        nobody_in_vain, 30, "the log daemon of a lost directory to end", lambda: processes(site)
    )
    assert manager.stop() == 0
    wait_for(lambda: not processes(site), 30, "all to end", lambda: processes(site))
