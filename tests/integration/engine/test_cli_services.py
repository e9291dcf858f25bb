"""`hostmanager status`, `up`, `down`, `restart`, `orphans`, `pull` with compose services."""

import re
import shlex

import pytest

from tests.integration.router.cli_site import make_cli_site
from tests.support.engine import IMAGE
from tests.support.engine_projects import service
from tests.support.sites import instance
from tests.support.terminal import NEEDS_TMUX, Terminal
from tests.support.waiting import wait_for

cli_site = pytest.fixture(make_cli_site)


def test_services_are_operated_like_agents_and_orphans_are_removed(project, cli_site, monkeypatch):
    for name, value in project.engine.environment.items():
        monkeypatch.setenv(name, value)
    project.write(["ocs-a", "redis"])
    cli_site.write(daq1=[instance("a", manage="docker"), instance("b", manage="docker")])
    cli_site.start("daq1", options=("--docker-compose", str(project.file)))

    def states(**expected):
        wait_for(
            lambda: expected.items() <= cli_site.states().items(),
            60,
            str(expected),
            cli_site.states,
        )

    states(a="up", b="?", redis="down")
    status = cli_site.status()
    assert (status["a"]["agent_class"], status["a"]["severity"]) == ("TinyAgent[d]", "ok")
    assert (status["b"]["agent_class"], status["b"]["severity"]) == ("TinyAgent[d?]", "wrong")
    assert (status["redis"]["agent_class"], status["redis"]["target"]) == ("[docker]", "passive")
    before = project.container("ocs-a")
    result = cli_site.run("restart", "a")
    assert (result.code, result.out.splitlines()[-1]) == (0, "1 of 1 agent is up")
    assert project.container("ocs-a") != before
    result = cli_site.run("up", "redis")
    assert (result.code, result.out.splitlines()[-1]) == (0, "1 of 1 agent is up")
    assert cli_site.status("redis")["redis"]["target"] == "passive"
    assert cli_site.run("down", "redis").code == 0
    assert cli_site.run("up", "redis").code == 0
    result = cli_site.run("up", "b")
    assert result.code == 1
    assert "! daq1 b ? (target up): " in result.out
    assert cli_site.run("diff").code == 0

    project.write(["ocs-a"])
    wait_for(lambda: "redis" in cli_site.run("orphans").out, 60, "the orphan")
    assert "1 orphaned container (redis)" in cli_site.run("status").out
    (host,) = cli_site.run("status", "--json").json["hosts"]
    command, words = hint_of(host["reasons"])
    assert words == "shows them"
    (orphan,) = cli_site.run(*command, "--json").json["orphans"]["daq1"]
    assert orphan["container_id"] == project.container("redis")
    result = cli_site.run("orphans", "--remove")
    assert result.code == 0, result.out
    wait_for(lambda: cli_site.run("orphans").out == "daq1: no orphans\n", 60, "it to be removed")
    wait_for(lambda: project.containers("redis") == [], 60, "redis to be gone")
    assert cli_site.run("down", "a").code == 0
    wait_for(lambda: project.containers("ocs-a") == [], 60, "ocs-a to be gone")


def hint_of(reasons):
    """The command in the one reason that has one, and what it is said to do."""
    hints = [m for r in reasons if (m := re.search(r"`hostmanager ([^`]*)` ?(.*)", r))]
    (hint,) = hints
    return shlex.split(hint[1]), hint[2]


def test_a_missing_image_is_got_as_the_hint_says(project, registry, cli_site, monkeypatch):
    """Each hint of `status` is tested by doing what it says (field case 41)."""
    engine = project.engine
    for name, value in engine.environment.items():
        monkeypatch.setenv(name, value)
    pulled = registry.push(engine, f"{project.name}:1", version="1")
    built = f"{project.name}-built:1"
    (project.directory / "Dockerfile").write_text(f"FROM {IMAGE}\nLABEL made={project.name}\n")
    build = {"image": built, "build": {"context": ".", "network": "none"}}
    project.write({"ocs-a": service(image=pulled), "ocs-b": service(**build)})
    down = {"manage": "docker/down"}
    cli_site.write(daq1=[instance("a", **down), instance("b", **down)])
    cli_site.start("daq1", options=("--docker-compose", str(project.file)))

    def reasons(name):
        return cli_site.status()[name]["reasons"]

    def has_hint(name, text="`hostmanager"):
        return any(text in reason for reason in reasons(name))

    wait_for(lambda: has_hint("a") and has_hint("b"), 60, "the hints", cli_site.status)
    command, words = hint_of(reasons("a"))
    assert words == "pulls it"
    assert cli_site.run(*command).code == 0
    assert (
        engine.docker("image", "inspect", "--format", "{{.Config.Labels.version}}", pulled) == "1"
    )
    wait_for(lambda: not has_hint("a"), 60, "no hint any more", cli_site.status)

    command, words = hint_of(reasons("b"))
    assert words == "builds it, and starts it"
    assert cli_site.run(*command).code == 0
    assert cli_site.states()["b"] == "up"
    newer = f"{project.name}-built:2"
    project.write({"ocs-a": service(image=pulled), "ocs-b": service(**{**build, "image": newer})})
    wait_for(lambda: has_hint("b", newer), 60, "it to be read", cli_site.status)
    command, words = hint_of(reasons("b"))
    assert words == "builds it, and restarts it"
    before = project.container("ocs-b")
    assert cli_site.run(*command).code == 0
    assert project.container("ocs-b") != before
    assert engine.inspect(project.container("ocs-b"))["Config"]["Image"] == newer
    assert cli_site.run("down", "b").code == 0
    engine.docker("rmi", pulled, built, newer)


@NEEDS_TMUX
def test_the_full_screen_view_shows_and_operates_services(project, cli_site, monkeypatch):
    for name, value in project.engine.environment.items():
        monkeypatch.setenv(name, value)
    lines = service(command=["sh", "-c", "echo one line; trap 'exit 0' TERM; sleep 600 & wait"])
    project.write({"ocs-a": lines, "redis": service()})
    cli_site.write(daq1=[instance("a", manage="docker"), instance("b", manage="docker")])
    cli_site.start("daq1", options=("--docker-compose", str(project.file)))
    wait_for(lambda: cli_site.states().get("a") == "up", 60, "a", cli_site.states)

    terminal = Terminal(cli_site.site.directory, cli_site.site.file)
    try:
        # An entry without a service is what is wrong, so it comes first and is selected.
        terminal.until("1 host, 3 agents: 1 wrong, 2 OK")
        terminal.until("b (daq1): No compose file has a service 'ocs-b'")
        terminal.narrow("redis")
        terminal.until("daq1 redis")
        terminal.press("u")
        terminal.until("up redis (daq1): done, up")
        assert len(project.containers("redis")) == 1
        terminal.press("d", "y")
        terminal.until("down redis (daq1): done, down")
        wait_for(lambda: project.containers("redis") == [], 60, "redis to be gone")
        terminal.press("Escape")

        project.write({"ocs-a": lines})
        terminal.until("1 host, 2 agents")  # the file is followed
        terminal.narrow("[d]")
        terminal.press("Enter")
        terminal.until("one line")
    finally:
        terminal.close()
