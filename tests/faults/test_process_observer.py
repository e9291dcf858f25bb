"""The process_observer themselves: they see who is alive, and two of one instance at once."""

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from tests.faults.process_observer import ProcessObserver
from tests.support.waiting import wait_for

MARK = "test-process_observer"


@pytest.fixture
def launch():
    started = []

    def start(instance_id, **options):
        environment = {**os.environ, "HM_TEST_MARK": MARK}
        environment["OCS_HOSTMANAGER"] = f"key/{instance_id}/print/1/TinyAgent"
        command = [sys.executable, "-S", "-c", "import time; time.sleep(100)"]
        started.append(subprocess.Popen(command, env=environment, **options))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_leaders_and_what_they_started_are_seen_until_they_end(launch):
    with ProcessObserver(SimpleNamespace(mark=MARK), pytest.fail) as process_observer:
        leader, other = launch("a", start_new_session=True), launch("a")
        wait_for(lambda: len(process_observer.alive()) == 2, 10, "two processes")
        assert process_observer.leaders() == {"a": leader.pid}
        leader.kill()
        wait_for(lambda: not process_observer.leaders(), 10, "the death of the leader")
        assert [living.pid for living in process_observer.alive()] == [other.pid]


def test_two_live_leaders_of_one_instance_are_complained_of(launch):
    messages: list[str] = []
    with ProcessObserver(SimpleNamespace(mark=MARK), messages.append) as process_observer:
        pids = {launch("a", start_new_session=True).pid for _ in range(2)}
        wait_for(lambda: messages, 10, "a complaint", process_observer.alive)
    assert "two live processes of a at once" in messages[0]
    assert all(str(pid) in messages[0] for pid in pids)


def test_an_id_of_any_characters_is_read_as_the_site_config_has_it(launch):
    with ProcessObserver(SimpleNamespace(mark=MARK), pytest.fail) as process_observer:
        leader = launch("%21%2F%5B", start_new_session=True)
        wait_for(process_observer.alive, 10, "a process")
        assert process_observer.leaders() == {"!/[": leader.pid}
