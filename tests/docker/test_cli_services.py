"""`hostmanager status`, `up`, `down`, `restart`, `orphans`, `pull` with compose services."""

import pytest

from tests.ocs.cli_site import places
from tests.support.sites import instance
from tests.support.waiting import wait_for

place = pytest.fixture(places)


def test_services_are_operated_like_agents_and_orphans_are_removed(project, place, monkeypatch):
    for name, value in project.engine.environment.items():
        monkeypatch.setenv(name, value)
    project.write(["ocs-a", "redis"])
    place.write(daq1=[instance("a", manage="docker"), instance("b", manage="docker")])
    place.start("daq1", options=("--docker-compose", str(project.file)))

    def states(**wanted):
        wait_for(lambda: wanted.items() <= place.states().items(), 60, str(wanted), place.states)

    states(a="up", b="?", redis="down")
    found = place.status()
    assert (found["a"]["agent_class"], found["a"]["severity"]) == ("TinyAgent[d]", "ok")
    assert (found["b"]["agent_class"], found["b"]["severity"]) == ("TinyAgent[d?]", "wrong")
    assert (found["redis"]["agent_class"], found["redis"]["target"]) == ("[docker]", "passive")
    before = project.container("ocs-a")
    done = place.run("restart", "a")
    assert (done.code, done.out.splitlines()[-1]) == (0, "1 of 1 agent is up")
    assert project.container("ocs-a") != before
    done = place.run("up", "redis")
    assert (done.code, done.out.splitlines()[-1]) == (0, "1 of 1 agent is up")
    assert place.status("redis")["redis"]["target"] == "passive"
    assert place.run("down", "redis").code == 0
    assert place.run("up", "redis").code == 0
    done = place.run("up", "b")
    assert done.code == 1
    assert "! daq1 b ? (wanted up): " in done.out
    assert place.run("diff").code == 0

    project.write(["ocs-a"])
    wait_for(lambda: "redis" in place.run("orphans").out, 60, "the orphan")
    assert "1 orphaned container (redis)" in place.run("status").out
    done = place.run("orphans", "--remove")
    assert done.code == 0, done.out
    wait_for(lambda: place.run("orphans").out == "daq1: no orphans\n", 60, "it to be removed")
    assert project.containers("redis") == []
    assert place.run("down", "a").code == 0
    assert project.containers("ocs-a") == []
