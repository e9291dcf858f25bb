"""Services that share networks and volumes, on an engine that has them."""

from tests.integration.engine.hosts import running
from tests.support.engine_projects import service

NAMES = [f"s{number}" for number in range(6)]


def on_lan(**keys):
    """A service on the network `lan` of its project."""
    return service(network_mode=None, networks=["lan"], **keys)


def networks(project) -> list[str]:
    """The names of the project's networks."""
    label = f"label=com.docker.compose.project={project.name}"
    listed = project.engine.docker("network", "ls", "--filter", label, "--format", "{{.Name}}")
    return sorted(listed.split())


async def test_what_several_services_share_is_made_once(network_project):
    project = network_project
    shared = {"volumes": ["data:/data"]}
    project.write(
        {f"ocs-{name}": on_lan(**shared) for name in NAMES},
        networks={"lan": {}},
        volumes={"data": {}},
    )
    async with running(project, *NAMES) as host:
        for name in NAMES:
            await host.up(name)
        assert networks(project) == [f"{project.name}_lan"]
        assert not host.has_message("ambiguous")
        assert [line for line in host.messages if "could not be launched" in line] == []
        for name in NAMES:
            host.set_targets((name, "down"))
        for name in NAMES:
            await host.removed(name)
        host.set_targets(("all", "up"))  # all is there by now
        for name in NAMES:
            await host.up(name)
        assert networks(project) == [f"{project.name}_lan"]


async def test_two_files_of_one_project_share_its_network_also_behind_a_profile(network_project):
    project = network_project
    project.write({"ocs-a": on_lan(), "ocs-b": on_lan()}, networks={"lan": {}})
    more = {"ocs-c": on_lan(profiles=["debug"]), "ocs-d": service(network_mode=None)}
    project.write(more, "more.yaml", networks={"lan": {}})
    async with running(project, *"abcd", files=("compose.yaml", "more.yaml")) as host:
        for name in "abcd":
            await host.up(name)
        assert networks(project) == [f"{project.name}_default", f"{project.name}_lan"]
        assert [line for line in host.messages if "could not be launched" in line] == []
        assert host.parts.compose.orphans() == {}


async def test_a_dead_container_whose_network_was_removed_is_replaced(network_project):
    project = network_project
    project.write({"ocs-a": on_lan()}, networks={"lan": {}})
    project.up("ocs-a")
    container = project.container("ocs-a")
    project.engine.docker("kill", container)
    project.wait_state("ocs-a", "exited")
    project.engine.docker("network", "rm", f"{project.name}_lan")
    async with running(project, "a") as host:
        row = await host.up("a")
        assert row["container"]["id"] != container
        assert networks(project) == [f"{project.name}_lan"]


async def test_a_container_that_cannot_start_for_another_reason_is_replaced_once(network_project):
    project = network_project
    project.write({"ocs-a": on_lan(ports=["127.0.0.1:8765:8765"])}, networks={"lan": {}})
    taken = project.engine.docker(
        *("run", "--detach", "--publish", "127.0.0.1:8765:1"),
        *("lab/busybox:1", "sleep", "1000000"),
    )
    try:
        async with running(project, "a") as host:
            await host.row("a", next_action="start_at", says="port is already allocated")
            await host.container("ocs-a")
            await host.until(
                "more attempts", lambda: sum("could not be" in line for line in host.messages) > 2
            )
            assert host.count("create", "ocs-a") <= 2
            await host.docker("rm", "--force", taken)
            await host.up("a")

    finally:
        project.engine.docker("rm", "--force", taken)
