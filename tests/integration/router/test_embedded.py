"""`HostManager(agent)` in other programs: OCS's unit test of it, and the usual main of an agent."""

import argparse
import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest

from hostmanager.agent.daemon.single_instance import ManagerRunningError, acquire_manager_lock
from hostmanager.agent.framework import embedded
from hostmanager.agent.framework.embedded import INSTALL_REACTOR
from hostmanager.agent.settings import site_key
from tests.integration.router.steps import PATIENCE, outcome, wait_gone, wait_ready, wait_states
from tests.support.clients import client
from tests.support.managers import Manager
from tests.support.sites import Site, instance
from tests.support.waiting import BUSY_MACHINE, wait_for

HERE = Path(__file__).parent
REACTORS = ("default", "asyncio")


@pytest.fixture(scope="module", params=REACTORS)
def answers(request) -> dict[str, Any]:
    """What each call of OCS's unit test answers, by reactor."""
    result = subprocess.run(
        [sys.executable, str(HERE / "as_ocs_tests.py"), request.param],
        capture_output=True,
        text=True,
        timeout=20 * BUSY_MACHINE,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    data: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return {"reactor": request.param, **data}


def test_ocs_unit_test_of_a_host_manager_gets_its_answers(answers):
    assert answers["failure"] is None
    assert answers["before"][0] is False
    assert answers["update None"][0] is False
    assert answers["iterated"] == []
    for call in answers.keys() - {"failure", "reactor", "iterated", "stop"}:
        ok, text = answers[call]
        assert ok is False, call
        assert text, call


def test_an_operation_that_needs_the_manager_process_says_so(answers):
    for call in ("update {}", "reload", "history None", "docker_pull {}", "die None"):
        assert "manager process is not running" in answers[call][1], call


def test_parameters_are_screened_whoever_calls(answers):
    assert "strange" in answers["update strange"][1]


def test_the_process_says_what_is_missing_when_it_is_started(answers):
    text = answers["manager"][1]
    expected = INSTALL_REACTOR if answers["reactor"] == "default" else "ocs.site_config.parse_args"
    assert expected in text


# --- the usual main ------------------------------------------------------------------------


def start(site: Site, start_program: Any, reactor: str, startup: Any = True) -> Manager:
    argv = [sys.executable, str(HERE / "usual_main.py"), "--instance-id", site.manager_id]
    argv += [*site.args, "--working-dir", str(site.working_dir)]
    argv += ["--state-dir", str(site.state_dir)]
    program: Manager = start_program(
        site, argv, {"REACTOR": reactor, "STARTUP": json.dumps(startup)}
    )
    return program


def refused(hm: Any, program: Manager) -> dict[str, Any]:
    """The session of the manager process, once its start has been refused."""

    def ended() -> Any:
        session = hm.manager.status().session
        return session if session and session["status"] == "done" else None

    session: dict[str, Any] = wait_for(ended, PATIENCE, "a refused start", program.output)
    assert session["success"] is False
    return session


def test_on_another_reactor_the_start_is_refused_with_the_line_to_write(site, start_program):
    site.write(instance("a"))
    program = start(site, start_program, "default")
    hm = client(site)
    session = refused(hm, program)
    assert INSTALL_REACTOR in session["messages"][-2][1]
    ok, text = outcome(hm.update(requests=[("a", "down")]))
    assert ok is False
    assert "manager process is not running" in text
    assert site.launches("a") == []
    program.stop()


def test_with_that_line_the_usual_main_manages_its_agents(site, start_program):
    site.write(instance("a"), instance("b", manage="host/down"))
    program = start(site, start_program, "asyncio")
    hm = client(site)
    wait_ready(site, "a")
    assert outcome(hm.update(requests=[("a", "down"), ("b", "up")]))[0] is True
    wait_gone(site, "a")
    wait_ready(site, "b")
    wait_states(hm, a="down", b="up")
    program.stop()
    wait_gone(site, "a", "b")
    assert "Traceback" not in program.output()


def test_a_refused_start_loses_nothing_of_what_there_was_before(site, start_manager, start_program):
    site.write(instance("a"))
    manager = start_manager(site)
    wait_ready(site, "a")
    manager.kill()
    site.write(instance("a", manage="host/down"))
    program = start(site, start_program, "asyncio", {"requests": [["nobody", "up"]]})
    hm = client(site)
    assert "nobody" in refused(hm, program)["messages"][-2][1]
    hm.manager.start()
    wait_gone(site, "a")
    wait_states(hm, a="down")


def test_no_other_manager_of_the_same_site_can_run_beside_it(site, start_program, tmp_path):
    site.write(instance("a"))
    program = start(site, start_program, "asyncio")
    wait_ready(site, "a")
    args = argparse.Namespace(address_root=site.address_root, instance_id=site.manager_id)
    with pytest.raises(ManagerRunningError, match=f"pid {program.pid}"):
        acquire_manager_lock(tmp_path, site_key(args, site.file))


def test_a_start_that_fails_gives_its_claim_back(tmp_path, monkeypatch):
    settings = SimpleNamespace(state_dir=tmp_path, key=f"k{os.getpid()}", site_key="s")
    monkeypatch.setattr(embedded, "_loop_of_reactor", lambda: None)
    monkeypatch.setattr(embedded, "_make_settings", lambda *_: settings)
    monkeypatch.setattr(embedded, "make_parts", Mock(side_effect=OSError(errno.EMFILE, "no files")))
    for _ in range(2):
        with pytest.raises(OSError, match="no files"):
            embedded.EmbeddedManager(None, (), "")
