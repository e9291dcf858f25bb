"""The fixtures themselves: a real engine that does what the tests need of it."""

from tests.support.engine import IMAGE
from tests.support.engine_projects import service
from tests.support.private_engine import client
from tests.support.private_engine.daemon import WITHOUT_RIGHTS
from tests.support.waiting import wait_for


def test_the_engine_answers_and_has_the_image(engine):
    assert client.why_not(engine.socket) == ""
    assert engine.docker("run", "--rm", "--network=none", IMAGE, "echo", "hello") == "hello"


def test_compose_brings_a_service_up_and_it_stops_on_request(project, v1):
    project.write(["ocs-a"])
    project.up("ocs-a", v1=v1)
    project.wait_state("ocs-a", "running")
    container = project.container("ocs-a")
    project.compose("rm", "-sf", "ocs-a", v1=v1)
    assert project.state("ocs-a") == "gone"
    assert project.engine.state(container) == "gone"


def test_a_removed_project_leaves_nothing(make_project):
    project = make_project()
    keys = {"network_mode": None, "volumes": ["data:/data"]}
    project.write({"a": service(**keys), "b": service(scale=2)}, volumes={"data": {}})
    project.up()
    assert len(project.containers("b")) == 2
    project.file.unlink()
    project.remove()
    assert project.containers() == []
    for kind in ("network", "volume"):
        assert project.name not in project.engine.docker(kind, "ls")


def test_a_newer_image_is_pulled_from_the_registry(engine, registry, project):
    name = registry.push(engine, f"{project.name}:1", version="1")
    engine.docker("pull", name)
    old = engine.docker("image", "inspect", "--format", "{{.Id}}", name)
    assert registry.push(engine, f"{project.name}:1", version="2") == name
    project.write({"a": service(image=name)})
    project.compose("pull", "a")
    labels = engine.docker(
        "image", "inspect", "--format", "{{.Id}} {{.Config.Labels.version}}", name
    )
    assert labels.endswith(" 2")
    assert old not in labels
    engine.docker("rmi", name)


def test_a_frozen_engine_is_silent_and_goes_on_when_thawed(own_engine, make_project):
    project = make_project(own_engine)
    project.write(["a"])
    project.up()
    container = project.container("a")
    own_engine.freeze()
    assert client.why_not(own_engine.socket, timeout=1) == "timed out"
    own_engine.thaw()
    wait_for(lambda: not client.why_not(own_engine.socket), 10, "the engine to answer")
    assert own_engine.state(container) == "running"


def test_with_live_restore_a_container_outlives_its_engine(make_engine, make_project):
    engine = make_engine("--live-restore")
    project = make_project(engine)
    project.write(["a"])
    project.up()
    container = project.container("a")
    pid = engine.container_pid(container)
    engine.restart()
    assert engine.container_pid(container) == pid
    engine.kill()
    assert client.why_not(engine.socket) == "Connection refused"
    engine.start()
    assert engine.container_pid(container) == pid


def test_without_live_restore_a_container_ends_with_its_engine(own_engine, make_project):
    project = make_project(own_engine)
    project.write(["a"])
    project.up()
    container = project.container("a")
    own_engine.restart()
    assert own_engine.state(container) == "exited"


def test_an_engine_is_out_of_reach_in_three_ways(own_engine):
    own_engine.hide()
    assert client.why_not(own_engine.socket) == "No such file or directory"
    own_engine.show()
    own_engine.forbid()
    result = own_engine.run(*WITHOUT_RIGHTS, "docker", "ps", check=False)
    assert "permission denied" in result.stderr.lower()
    own_engine.allow()
    own_engine.run(*WITHOUT_RIGHTS, "docker", "ps")
    own_engine.stop()
    assert "Cannot connect" in own_engine.run("docker", "ps", check=False).stderr


def test_an_engine_that_was_killed_is_removed_with_its_containers(make_engine, make_project):
    engine = make_engine("--live-restore")
    project = make_project(engine)
    project.write(["a"])
    project.up()
    engine.container_pid(project.container("a"))
    engine.kill()  # the fixture must end what goes on, and says so if it cannot
