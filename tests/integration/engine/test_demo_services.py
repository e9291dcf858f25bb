"""The demo's compose services, and that nothing is left of them."""

import re
import signal
from collections.abc import Callable, Iterator

import pytest

from tests.support.demos import Demo
from tests.support.engine import IMAGE
from tests.support.waiting import wait_for

pytestmark = pytest.mark.router


@pytest.fixture
def start_demo(engine, tmp_path) -> Iterator[Callable[[], Demo]]:
    """Start a demo that can reach the engine."""
    made = []
    engine.docker("tag", IMAGE, "busybox:latest")

    def start() -> Demo:
        made.append(Demo(tmp_path, "--agents", "1", **engine.environment))
        return made[-1]

    yield start
    for demo in made:
        demo.kill_all()


def left(engine, demo: Demo) -> list[str]:
    """Containers and images of the demo, processes and files."""
    containers = engine.docker("ps", "-a", "--format", "{{.Names}} {{.Image}}").splitlines()
    images = engine.docker("images", "--format", "{{.Repository}}").splitlines()
    name = name_of(demo)
    return [*(line for line in containers + images if name in line), *demo.left()]


def name_of(demo: Demo) -> str:
    """The name of its directory."""
    names = [path.name for path in demo.directory.glob("hm-demo-*")]
    demo.name = names[0] if names else demo.name
    return demo.name


def test_one_is_managed_one_is_watched_and_nothing_is_left(engine, start_demo):
    demo = start_demo()
    demo.wait_for_text("Two compose services: camera is managed, weather only watched.")
    demo.wait_for_text(" camera ", "state up (target up)")
    demo.wait_for_text(" weather ", "state up (target passive)")
    name = name_of(demo)
    camera = engine.docker("ps", "-q", "--filter", f"name={name}.ocs-camera")
    wait_for(lambda: "Nothing to report." in engine.docker("logs", camera), 30, "its output")
    engine.docker("kill", camera)
    demo.wait_for_text(" camera ", "died (code 137)")
    died = demo.text().index("died (code 137)")
    wait_for(
        lambda: re.search(r"camera +state up", demo.text()[died:]), 30, "it to be back", demo.text
    )
    demo.signal(signal.SIGINT)
    assert demo.wait() == 0, demo.text()
    assert left(engine, demo) == []


@pytest.mark.parametrize("moment", ["Two compose", "Starting the manager", "kill -9"])
def test_killed_outright_its_guard_removes_them(engine, start_demo, moment):
    demo = start_demo()
    demo.wait_for_text(moment)
    name_of(demo)
    demo.signal(signal.SIGKILL)
    demo.wait()
    wait_for(lambda: left(engine, demo) == [], 60, "nothing to be left", lambda: left(engine, demo))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ended_while_they_are_made_nothing_is_left(engine, start_demo, number):
    demo = start_demo()
    wait_for(lambda: list(demo.directory.glob("*/compose.yaml")), 60, "the compose file")
    name_of(demo)
    demo.signal(number)
    assert demo.wait() == 0, demo.text()
    assert left(engine, demo) == []
