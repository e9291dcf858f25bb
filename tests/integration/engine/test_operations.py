"""Compose services through the whole of it: manager, router, OCS's own clients, a real engine."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from ocs import ocsbow

from tests.support.clients import children, client, states
from tests.support.engine_projects import service
from tests.support.managers import Manager
from tests.support.sites import instance
from tests.support.waiting import wait_for

BIN = Path(sys.executable).parent
LIMIT = 60.0


def docker(instance_id: str, manage: str = "docker/up") -> dict[str, Any]:
    return instance(instance_id, manage=manage)


@pytest.fixture
def begin(site, project, start_manager, monkeypatch) -> Callable[..., Any]:
    """Start a manager of the project's compose files: ``hm = begin(docker("a"))``."""
    for name, value in project.engine.environment.items():
        monkeypatch.setenv(name, value)

    def go(*entries: dict[str, Any], files: tuple[str, ...] = (), options: tuple[str, ...] = ()):
        site.write(*entries)
        paths = [str(project.directory / f) for f in files] or [str(project.file)]
        go.manager = start_manager(site, "--docker-compose", ",".join(paths), *options)
        return client(site)

    return go


def wait_states(hm, **expected: str) -> None:
    names = {name.replace("_", "-"): state for name, state in expected.items()}
    wait_for(
        lambda: {n: states(hm)[n] for n in names} == names, LIMIT, str(names), lambda: children(hm)
    )


def data(hm) -> dict[str, Any]:
    return hm.manager.status().session["data"]


def messages(reply) -> list[str]:
    """What was said in a session, its result last."""
    texts = [text for _, text in reply.session["messages"]]
    return [text for text in texts if not text.startswith("Status is now")]


ENDED = ("exited", "removing", "gone")


# --- targets ---------------------------------------------------------------------------------


def test_all_is_passive_services_too_and_passive_is_what_they_are_again(begin, project):
    project.write(["ocs-a", "watched"])
    hm = begin(docker("a"), instance("h"))
    wait_states(hm, a="up", watched="down", h="up")
    assert hm.update(requests=[("all", "up")]).session["success"]
    wait_states(hm, a="up", watched="up", h="up")
    wait_for(lambda: children(hm)["watched"]["target_state"] == "passive", LIMIT, "passive again")
    assert hm.update(requests=[("all", "down"), ("h", "up")]).session["success"]
    wait_states(hm, a="down", watched="down", h="up")
    wait_for(lambda: project.containers() == [], LIMIT, "no containers")
    row = wait_for(lambda: children(hm)["watched"], LIMIT)
    assert (row["agent_class"], row["target_state"]) == ("[docker]", "passive")


def test_stopping_the_manager_process_ends_ours_and_leaves_what_is_watched(begin, project):
    project.write(["ocs-a", "watched"])
    project.up("watched")
    hm = begin(docker("a"))
    wait_states(hm, a="up", watched="up")
    hm.manager.stop()
    session = wait_for(
        lambda: (s := hm.manager.status().session)["status"] == "done" and s, LIMIT, "its end"
    )
    assert session["success"], session
    assert project.state("ocs-a") in ENDED
    assert project.state("watched") == "running"
    assert hm.manager.start().session["success"] is None
    wait_states(hm, a="up", watched="up")


def test_dying_disowns_containers_on_request_and_the_next_manager_takes_them_over(
    begin, project, site, start_manager
):
    project.write(["ocs-a", "ocs-b"])
    hm = begin(docker("a"), docker("b", "docker/down"), instance("h"))
    wait_states(hm, a="up", b="down", h="up")
    container = project.container("ocs-a")
    reply = hm.die(disown_dockers=True)
    assert reply.session["success"], reply
    assert begin.manager.process.wait(LIMIT) == 0
    assert project.engine.state(container) == "running"
    hm = begin(docker("a"), docker("b", "docker/down"), instance("h"))
    wait_states(hm, a="up", b="down", h="up")
    assert children(hm)["a"]["container"]["id"] == container
    assert hm.die().session["success"]
    assert begin.manager.process.wait(LIMIT) == 0
    assert project.state("ocs-a") in ENDED


def test_containers_do_not_notice_that_the_manager_is_killed(begin, project):
    project.write(["ocs-a", "ocs-b", "watched"])
    project.up("watched")
    hm = begin(docker("a"), docker("b"))
    wait_states(hm, a="up", b="up", watched="up")
    hm.update(requests=[("b", "down")])
    wait_states(hm, b="down")
    pid = project.engine.container_pid(project.container("ocs-a"))
    begin.manager.kill()
    hm = begin(docker("a"), docker("b"))
    wait_states(hm, a="up", b="down", watched="up")
    assert project.engine.container_pid(project.container("ocs-a")) == pid
    assert children(hm)["b"]["target_state"] == "down"  # what operators said is in force again


# --- clients ---------------------------------------------------------------------------------


def rows(shown: str) -> dict[str, list[str]]:
    _, _, table = shown.partition("[instance-id]")
    cells = [line.split() for line in table.splitlines()[1:]]
    return {row[0]: row[1:] for row in cells if len(row) == 4}


def test_ocsbow_shows_services_and_brings_them_up_and_down(begin, project, site, capsys):
    project.write(["ocs-a", "watched"])
    hm = begin(docker("a"), docker("none"), instance("h"))
    wait_states(hm, a="up", none="?", watched="down")

    def bow(*arguments: str) -> str:
        capsys.readouterr()
        ocsbow.main([*site.args, *arguments])
        return capsys.readouterr().out

    wait_states(hm, h="up")
    shown = bow("status")
    assert rows(shown) == {
        "hm-testhost": ["HostManager", "up", "n/a"],
        "a": ["TinyAgent[d]", "up", "up"],
        "h": ["TinyAgent", "up", "up"],
        # Where the manager's class is another than the site file's, ocsbow shows both.
        "none": ["TinyAgent[d]/TinyAgent[d?]", "?", "up"],
        "watched": ["?/[docker]", "down", "passive"],
    }
    bow("down", "a")
    wait_states(hm, a="down")
    bow("up", "a")
    wait_states(hm, a="up")


def test_ocs_local_support_shows_the_manager(begin, project, site):
    project.write(["ocs-a", "watched"])
    wait_states(begin(docker("a")), a="up")
    result = subprocess.run(
        [BIN / "ocs-local-support", *site.args, "status"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "Traceback" not in result.stdout + result.stderr
    assert "hm-testhost" in result.stdout, result
    assert "WARNING" not in result.stdout


# --- orphans ---------------------------------------------------------------------------------


def test_orphans_are_shown_removed_and_nothing_else_is(begin, project):
    project.write(["ocs-a", "old", "watched"])
    project.up("old", "watched")
    hm = begin(docker("a"))
    wait_states(hm, a="up", old="up", watched="up")
    project.write(["ocs-a", "watched"])
    orphan = wait_for(lambda: list(data(hm)["orphans"].values()), LIMIT, "an orphan")[0]
    assert (orphan["service"], orphan["running"]) == ("old", True)
    reply = hm.remove_orphans()
    assert reply.session["success"], reply
    assert any("old" in text for text in messages(reply))
    assert [project.state(s) for s in ("old", "ocs-a", "watched")] == ["gone", "running", "running"]
    wait_for(lambda: data(hm)["orphans"] == {}, LIMIT, "no orphans")
    reply = hm.remove_orphans()
    assert (reply.session["success"], messages(reply)[-1]) == (True, "There are no orphans.")


# --- pulling ---------------------------------------------------------------------------------


def test_a_pull_brings_what_it_can_and_says_what_it_could_not(begin, project, registry):
    new = registry.push(project.engine, f"{project.name}/new:1")
    later = registry.push(project.engine, f"{project.name}/later:1")
    gone = registry.name(f"{project.name}/gone:1")
    one = {"ocs-a": service(image=gone), "ocs-b": service(image=new), "ocs-c": service(image=new)}
    project.write({**one, "built": service(image=None, build=".")}, "one.yaml")
    project.write({"ocs-d": service(image=later)}, "two.yaml")
    project.write({"ocs-e": service()}, "broken.yaml").write_text("services: [")
    down = [docker(name, "docker/down") for name in "abcde"]
    hm = begin(*down, files=("one.yaml", "two.yaml", "broken.yaml"))
    wait_states(hm, a="down", b="down", d="down")
    assert data(hm)["new_tags"] == {"a": gone, "b": new, "c": new, "d": later}
    reply = hm.docker_pull()
    assert reply.session["success"] is False
    texts = messages(reply)
    assert len(texts) < 15
    assert f"{new}: new." in texts
    assert f"{later}: new." in texts
    assert any("built on this machine, so not pulled: built" in text for text in texts)
    last = texts[-1]
    assert f"{gone} was not pulled: " in last
    assert sum("was not pulled" in text for text in texts) == 1  # said once, as the result
    assert "broken.yaml cannot be used, so nothing of it was pulled." in last
    assert new not in last
    wait_for(lambda: data(hm)["new_tags"] == {"a": gone}, LIMIT, "only one to be missing")


def test_a_newer_image_is_pulled_and_used_after_a_restart(begin, project, registry):
    name = registry.push(project.engine, f"{project.name}/app:1", release="1")
    project.write({"ocs-a": service(image=name)})
    hm = begin(docker("a"))
    wait_states(hm, a="up")
    container = project.container("ocs-a")
    assert messages(hm.docker_pull())[-1] == "All images were pulled."
    assert not children(hm)["a"]["restart_required"]
    # The engine keeps the image that runs, and loses its name.
    registry.push(project.engine, f"{project.name}/app:1", release="2")
    reply = hm.docker_pull()
    assert reply.session["success"], reply
    assert f"{name}: new." in messages(reply)
    wait_for(lambda: children(hm)["a"]["restart_required"], LIMIT, "a restart to be required")
    assert project.container("ocs-a") == container
    hm.update(requests=[("a", "down")])
    wait_states(hm, a="down")
    hm.update(requests=[("a", "up")])
    wait_states(hm, a="up")
    row = wait_for(lambda: (r := children(hm)["a"])["container"] and r, LIMIT)
    assert not row["restart_required"]
    known = project.engine.inspect(project.container("ocs-a"))
    assert known["Config"]["Labels"]["release"] == "2"


@pytest.fixture
def silent_registry() -> Iterator[str]:
    """A registry that accepts connections and never says a word; its address."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(50)
        yield f"127.0.0.1:{listening.getsockname()[1]}"


def pulls(project) -> list[psutil.Process]:
    """The compose commands that pull something of this project."""
    results = []
    for process in psutil.process_iter():
        try:
            argv = process.cmdline()
        except psutil.Error:
            continue
        if "pull" in argv and any(str(project.directory) in word for word in argv):
            results.append(process)
    return results


@pytest.mark.parametrize("how", ["die", "SIGTERM"])
def test_a_pull_that_takes_for_ever_does_not_hold_up_the_end(begin, project, silent_registry, how):
    project.write({"ocs-a": service(), "ocs-b": service(image=f"{silent_registry}/x/y:1")})
    hm = begin(docker("a"), docker("b", "docker/down"))
    wait_states(hm, a="up", b="down")
    hm.docker_pull.start()
    wait_for(lambda: pulls(project), LIMIT, "a pull")
    assert hm.docker_pull.status().session["status"] == "running"
    wait_states(hm, a="up")  # it is no hindrance to anything else either
    hm.update(requests=[("a", "down")])
    wait_states(hm, a="down")
    if how == "die":
        hm.die()
    else:
        begin.manager.terminate()
    assert begin.manager.process.wait(LIMIT) == 0
    wait_for(lambda: not pulls(project), LIMIT, "the pull to be gone", lambda: pulls(project))


# --- the command line ------------------------------------------------------------------------


def test_a_compose_binary_relative_to_the_working_directory(begin, project, site):
    script = site.working_dir / "bin" / "my-compose"
    script.parent.mkdir()
    script.write_text('#!/bin/sh\necho used >> used\nexec docker compose "$@"\n')
    script.chmod(0o755)
    project.write(["ocs-a"])
    hm = begin(docker("a"), options=("--docker-compose-bin", "bin/my-compose"))
    wait_states(hm, a="up")
    assert "used" in (site.working_dir / "used").read_text()


def test_output_without_an_id_has_the_lines_of_services_among_those_of_agents(begin, project):
    talks = ["sh", "-c", "echo one line; trap 'exit 0' TERM; sleep 600 & wait"]
    project.write({"ocs-a": service(command=talks), "ocs-b": service()})
    hm = begin(docker("a"), docker("b", "docker/down"), instance("h"))

    def lines() -> list[Any]:
        return hm.output().session["data"]["lines"]

    wait_for(lambda: {"a", "h"} <= {whose for _, _, whose in lines()}, LIMIT, "output of both")
    assert [text for _, text, whose in lines() if whose == "a"] == ["one line"]
    assert "Not available: that of b." in messages(hm.output())[-1]


def test_a_compose_binary_that_is_not_there_ends_it_before_anything_is_started(site, project):
    project.write(["ocs-a"])
    site.write(docker("a"), instance("h"))
    options = ["--docker-compose", str(project.file), "--docker-compose-bin", "no/such"]
    manager = Manager(site, options)
    assert manager.process.wait(LIMIT) == 2
    assert "--docker-compose-bin: " in manager.output()
    assert "no/such is not an executable file." in manager.output()
    assert site.launches("h") == []


def test_a_context_names_the_engine(begin, project, site, monkeypatch, tmp_path):
    config = tmp_path / "docker-config"
    run = project.engine.run
    plugins = Path(os.environ.get("DOCKER_CONFIG") or project.engine.environment["DOCKER_CONFIG"])
    config.mkdir()
    (config / "cli-plugins").symlink_to(plugins / "cli-plugins")
    project.write(["ocs-a"])
    where = f"host=unix://{project.engine.socket}"
    run("docker", "--config", str(config), "context", "create", "lab", "--docker", where)
    hm_env = {"DOCKER_CONFIG": str(config)}
    subprocess.run(["docker", "context", "use", "lab"], env=clean(hm_env), check=True)
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    site.write(docker("a"))
    manager = Manager(site, ["--docker-compose", str(project.file)], surroundings=hm_env)
    try:
        hm = client(site)
        wait_states(hm, a="up")
        assert project.state("ocs-a") == "running"
    finally:
        manager.stop()


def clean(more: dict[str, str]) -> dict[str, str]:
    known = {k: v for k, v in os.environ.items() if not k.startswith("DOCKER_")}
    return {**known, **more}


def test_sigterm_ends_services_and_agents_and_leaves_what_is_watched(begin, project, site):
    project.write(["ocs-a", "watched"])
    project.up("watched")
    hm = begin(docker("a"), instance("h"))
    wait_states(hm, a="up", watched="up", h="up")
    begin.manager.process.send_signal(signal.SIGTERM)
    started = time.monotonic()
    assert begin.manager.process.wait(LIMIT) == 0
    assert time.monotonic() - started < LIMIT
    assert project.state("ocs-a") in ENDED
    assert project.state("watched") == "running"
