"""The manager's own process, with a router and agents, beside an engine in trouble."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.integration.engine.hosts import entry
from tests.integration.router.steps import Program, wait_child, wait_ready
from tests.support.clients import call, client
from tests.support.engine_projects import service
from tests.support.managers import OURS, command
from tests.support.private_engine.daemon import WITHOUT_RIGHTS
from tests.support.processes import processes_of
from tests.support.sites import instance
from tests.support.waiting import wait_for


@pytest.fixture
def on_own(own_engine, make_project):
    """A project on an engine of the test's own."""
    return make_project(own_engine)


@contextmanager
def manager(site, project, *before: str) -> Iterator[Program]:
    """Run a manager with the compose file of a project, `before` before its command line."""
    options = ("--docker-compose", str(project.file))
    argv = [*before, *command(OURS, site, options)]
    program = Program(site, argv, project.engine.environment)
    try:
        program.wait_ready()
        yield program
    finally:
        program.stop()


def relaunched(site, name: str) -> float:
    """Kill an agent; how long it takes until another one has begun."""
    pid = wait_ready(site, name)[name]
    started = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: site.launches(name)[-1].pid != pid, 20, "a relaunch")
    return site.launches(name)[-1].at - started


def test_a_frozen_engine_is_nothing_to_host_agents_updates_and_the_end(site, on_own):
    on_own.write(["ocs-a"])
    site.write(*(instance(name) for name in ("r", "s", "t")), entry("a"))
    with manager(site, on_own) as program:
        hm = client(site)
        wait_child(hm, "a", next_action="up")
        before = relaunched(site, "r")
        on_own.engine.freeze()
        try:
            frozen = time.monotonic()
            during = relaunched(site, "s")  # before that is known
            wait_child(hm, "a", next_action="?", operable=False)
            shown = time.monotonic() - frozen
            again = relaunched(site, "t")
            for target in ("down", "up"):
                started = time.monotonic()
                ok, message, _ = call(
                    site, "start", "update", requests=[["a", target], ["t", target]]
                )
                answered = time.monotonic() - started
                assert ok == 0, message
                wait_child(hm, "t", next_action=target)
            wait_child(hm, "a", next_action="?", target_state="up")
            started = time.monotonic()
            assert program.stop(60) == 1  # what becomes of the service is not known
            ended = time.monotonic() - started
            assert not processes_of(site).keys() & {"r", "s", "t"}
            print(
                f"relaunched in {before:.3f} s before, {during:.3f} and {again:.3f} s while frozen;"
                f" shown after {shown:.2f} s; update answered in {answered:.3f} s; "
                f"ended in {ended:.2f} s"
            )
            assert "Could not be ended: a: The Docker Engine does not answer" in program.output()
        finally:
            on_own.engine.thaw()


def test_refused_it_says_how_to_get_into_the_group_and_works_once_it_may(site, on_own):
    on_own.write(["ocs-a"])
    site.write(instance("t"), entry("a"))
    on_own.engine.forbid()
    with manager(site, on_own, *WITHOUT_RIGHTS):
        hm = client(site)
        child = wait_child(hm, "a", next_action="?", operable=False)
        wait_for(lambda: "permission denied" in wait_child(hm, "a")["message"], 20, "the reason")
        child = wait_child(hm, "a")
        assert "sudo usermod -aG docker" in child["message"]
        assert str(on_own.engine.socket) in child["message"]
        wait_ready(site, "t")
        on_own.engine.allow()
        wait_child(hm, "a", next_action="up")


def test_a_manager_that_is_killed_leaves_containers_and_the_next_takes_them_over(site, on_own):
    on_own.write({"ocs-a": service(), "ocs-b": service(), "watched": service()})
    site.write(entry("a"), entry("b"))
    on_own.up("watched")
    with manager(site, on_own) as program:
        hm = client(site)
        pids = {i: wait_child(hm, i, next_action="up")["pid"] for i in ("a", "b", "watched")}
        call(site, "start", "update", requests=[["b", "down"]])
        wait_child(hm, "b", next_action="down")
        program.kill()
    assert on_own.state("ocs-a") == "running"
    with manager(site, on_own):
        hm = client(site)
        assert wait_child(hm, "a", next_action="up")["pid"] == pids["a"]
        assert wait_child(hm, "watched", next_action="up")["pid"] == pids["watched"]
        wait_child(hm, "b", next_action="down", target_state="down")
    assert on_own.state("ocs-a") == "gone"
    assert on_own.state("watched") == "running"


def test_a_manager_that_is_killed_while_compose_works_leaves_one_container(site, on_own):
    on_own.write({"ocs-a": service()})
    site.write(entry("a"))
    for delay in (0.0, 0.1, 0.2, 0.3):
        program = Program(
            site,
            command(OURS, site, ("--docker-compose", str(on_own.file))),
            on_own.engine.environment,
        )
        wait_for(program.output, 20, "its beginning")
        time.sleep(delay)
        program.kill()
    with manager(site, on_own):
        hm = client(site)
        wait_child(hm, "a", next_action="up")
        assert len(on_own.containers("ocs-a")) == 1
    assert on_own.state("ocs-a") == "gone"
