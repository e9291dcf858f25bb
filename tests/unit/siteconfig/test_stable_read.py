"""A site file that is being written is read when it is complete."""

import os
import threading
import time

import pytest

from hostmanager.siteconfig import stable_read as settled
from hostmanager.siteconfig.diagnostics import SiteFileError
from hostmanager.siteconfig.stable_read import load_stable

pytestmark = pytest.mark.slow

TEXT = """\
hub: {wamp_server: ws://127.0.0.1:1/ws, wamp_realm: r, address_root: o}
hosts:
  h:
    agent-instances:
      - {agent-class: A, instance-id: a}
      - {agent-class: A, instance-id: b}
"""
HALF = TEXT[: TEXT.index("      - {agent-class: A, instance-id: b}")]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "site.yaml"


@pytest.fixture
def slept(monkeypatch):
    """What is done in the pauses, one after the other; then real ones."""
    steps = []
    real = time.sleep

    def sleep(seconds: float) -> None:
        if steps:
            steps.pop(0)()
        real(seconds)

    monkeypatch.setattr(settled.time, "sleep", sleep)
    return steps


def ids(path) -> list[str]:
    return [spec.instance_id for spec in load_stable(path, "h").specs]


def written(path, text: str, ago: float = 0.0) -> None:
    path.write_text(text)
    then = time.time() - ago
    os.utime(path, (then, then))


def test_one_that_has_not_changed_for_a_while_is_read_at_once(path, slept):
    written(path, TEXT, ago=settled.QUIET_INTERVAL)
    slept.append(lambda: pytest.fail("it waited"))
    assert ids(path) == ["a", "b"]


def test_half_of_it_is_not_taken_for_all(path, slept):
    written(path, HALF)
    slept += [lambda: written(path, ""), lambda: written(path, TEXT)]
    assert ids(path) == ["a", "b"]
    assert slept == []


def test_one_that_is_away_for_a_moment_is_waited_for(path, slept):
    slept.append(lambda: written(path, TEXT))
    assert ids(path) == ["a", "b"]


def test_one_that_is_written_while_it_is_read_is_read_again(path, slept, monkeypatch):
    written(path, HALF, ago=10)
    real, loads = settled.load_site_file, []

    def load(*args):
        content = real(*args)
        loads.append(content)
        if len(loads) == 1:
            written(path, TEXT)
        return content

    monkeypatch.setattr(settled, "load_site_file", load)
    assert ids(path) == ["a", "b"]
    assert len(loads) == 2


@pytest.mark.parametrize("ago", [-3600.0, 0.0])
def test_times_of_another_clock_do_not_matter(path, ago):
    written(path, TEXT, ago=ago)
    assert ids(path) == ["a", "b"]


def test_one_that_goes_on_changing_is_refused(path, monkeypatch):
    monkeypatch.setattr(settled, "STABLE_TIMEOUT", 0.5)
    end = threading.Event()

    def write() -> None:
        count = 0
        while not end.wait(0.02):
            count += 1
            path.write_text(f"{TEXT}# {count}\n")

    written(path, TEXT)
    writer = threading.Thread(target=write)
    writer.start()
    try:
        with pytest.raises(SiteFileError, match=r"changing for .* s, and is not read"):
            load_stable(path, "h")
    finally:
        end.set()
        writer.join()


def test_one_that_has_been_missing_for_long_is_shown_as_missing_at_once(path, slept):
    then = time.time() - 10
    os.utime(path.parent, (then, then))
    slept.append(lambda: pytest.fail("it waited"))
    with pytest.raises(SiteFileError, match="no such file"):
        load_stable(path, "h")
