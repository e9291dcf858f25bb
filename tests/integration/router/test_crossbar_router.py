import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hostmanager.testing import crossbar_router as module
from hostmanager.testing.crossbar_router import (
    CrossbarRouter,
    RouterError,
    find_crossbar,
    write_config,
)
from hostmanager.testing.ports import free_port
from tests.support.processes import alive
from tests.support.waiting import wait_for


def test_a_missing_crossbar_is_named_with_its_remedy(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RouterError, match=r"pip install 'ocs-hostmanager\[demo\]'"):
        find_crossbar()


def test_the_configuration_listens_on_this_machine_only(tmp_path):
    text = write_config(tmp_path / "new", 12345, "r", "root").read_text()
    assert '"interface": "127.0.0.1"' in text
    assert '"port": 12345' in text


def test_a_crossbar_that_ends_at_once_is_reported_with_its_last_words(monkeypatch, tmp_path):
    broken = tmp_path / "crossbar"
    broken.write_text("#!/bin/sh\necho the dog ate it\nexit 3\n")
    broken.chmod(0o755)
    monkeypatch.setattr(module, "find_crossbar", lambda: str(broken))
    router = CrossbarRouter(tmp_path / "router")
    with pytest.raises(RouterError, match=r"ended with code 3[\s\S]*the dog ate it"):
        router.start()
    assert router.pids() == []


def test_a_crossbar_that_never_answers_is_reported_and_ended(monkeypatch, tmp_path):
    idle = tmp_path / "crossbar"
    idle.write_text("#!/bin/sh\nexec sleep 1000\n")
    idle.chmod(0o755)
    monkeypatch.setattr(module, "find_crossbar", lambda: str(idle))
    router = CrossbarRouter(tmp_path / "router")
    with pytest.raises(RouterError, match=r"did not answer .* within 0.2 s"):
        router.start(timeout=0.2)
    assert router.pids() == []


def test_a_router_answers_freezes_dies_and_comes_back_on_its_port(own_router, tmp_path):
    port, first = own_router.port, own_router.pids()
    assert len(first) == 2
    assert own_router.answers()

    own_router.suspend()
    assert not own_router.answers(timeout=0.3)
    own_router.resume()
    wait_for(own_router.answers, 5, "the thawed router to answer")

    own_router.kill()
    assert not any(alive(pid) for pid in first)
    assert not own_router.answers(timeout=0.3)

    own_router.start()
    second = own_router.pids()
    assert own_router.port == port
    assert not set(first) & set(second)

    own_router.suspend()  # even a frozen one can be stopped
    own_router.stop()
    assert not any(alive(pid) for pid in second)
    own_router.stop()  # once more does no harm


def test_all_files_of_a_router_are_in_its_directory(router):
    for pid in router.pids():
        assert Path(f"/proc/{pid}/cwd").readlink() == router.directory
    assert router.log_path.is_relative_to(router.directory)
    assert (router.directory / "key.priv").exists()


@pytest.mark.router
def test_a_router_ends_when_its_starter_is_killed(tmp_path):
    port = free_port()
    code = (
        "import sys, signal; from pathlib import Path\n"
        "from hostmanager.testing.crossbar_router import CrossbarRouter\n"
        f"router = CrossbarRouter(Path({str(tmp_path / 'router')!r}), port={port}); router.start()\n"
        "print(*router.pids(), flush=True); signal.pause()"
    )
    starter = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert starter.stdout is not None
    pids = [int(word) for word in starter.stdout.readline().split()]
    assert len(pids) == 2
    os.kill(starter.pid, signal.SIGKILL)
    starter.communicate()
    wait_for(lambda: not any(alive(pid) for pid in pids), 5, "the router to end")
