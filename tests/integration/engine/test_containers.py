"""What becomes of containers, and what the host makes of it, on a real engine."""

import asyncio

import pytest

from tests.integration.engine.hosts import entry, running
from tests.support.engine_projects import service


async def test_a_service_comes_up_and_goes_down_as_requested(project):
    project.write(["ocs-a"])
    async with running(project, "a") as host:
        row = await host.up("a")
        container = await host.container("ocs-a")
        assert row["container"]["id"] == container
        assert row["agent_class"] == "Fake[d]"
        assert row["pid"] == await host.do(host.engine.container_pid, container)
        host.set_targets(("a", "down"))
        row = await host.removed("a")
        assert row["last_exit"]["expected"]
        await host.row("a", next_action="down", container=None)
        host.set_targets(("a", "up"))
        await host.up("a")
        assert await host.container("ocs-a") != container


async def test_a_container_that_dies_or_is_killed_is_started_again(project):
    project.write({"ocs-a": service(command=["sh", "-c", "trap 'exit 7' TERM; sleep 9999 & wait"])})
    async with running(project, "a") as host:
        await host.up("a")
        container = await host.container("ocs-a")
        await host.docker("kill", container)
        row = await host.row("a", next_action="up", restarts=1)
        assert (row["last_exit"]["code"], row["last_exit"]["signal"]) == (137, None)
        assert not row["last_exit"]["expected"]
        message = "a: exited with code 137 (probably by SIGKILL)"
        await host.until("it to be said", lambda: host.has_message(message))
        await host.docker("kill", "--signal=TERM", container)
        row = await host.row("a", next_action="up", restarts=2)
        assert row["last_exit"]["code"] == 7
        assert await host.container("ocs-a") == container
        await host.counted("create", "ocs-a", 1)


async def test_a_container_that_runs_out_of_memory_says_so(project):
    script = "trap 'exit 0' TERM; echo ready; x=$(head -c 200000000 /dev/zero | tr '\\0' x)"
    keys = {"mem_limit": "8m", "memswap_limit": "8m"}
    project.write({"ocs-a": service(command=["sh", "-c", script], **keys)})
    async with running(project, entry("a", "docker/down")) as host:
        await host.down("a")
        warning = await host.do(
            host.engine.run, "docker", "run", "--rm", "-m", "8m", "--memory-swap", "8m",
            "--network=none", "lab/busybox:1", "true", check=False,
        )  # fmt: skip
        if warning.returncode or "does not support" in warning.stderr:
            pytest.skip(f"this engine cannot limit memory: {warning.stderr.strip()}")
        host.set_targets(("a", "up"))
        # Relaunched until told otherwise: of one run in ten, on a busy machine, the engine tells
        # that it died before it tells why, or never tells.
        await host.until("the reason", lambda: host.has_message("out of memory"))
        host.set_targets(("a", "down"))


async def test_exits_at_once_with_code_and_last_words_and_longer_and_longer_pauses(project):
    project.write({"ocs-a": service(command=["sh", "-c", "echo one; echo no camera >&2; exit 3"])})
    async with running(project, "a") as host:
        row = await host.row("a", next_action="start_at", says="It exited with code 3, 5 failures")
        assert row["last_exit"]["code"] == 3
        ends = host.parts.snapshot["a"].failures.exit_times
        await host.until("each to be told once", lambda: host.count("die", "ocs-a") == len(ends))
        assert row["restarts"] == 4
        row = await host.until(
            "its last words", lambda: (host.shown()["a"]["last_exit"] or {}).get("output")
        )
        assert sorted(row) == ["no camera", "one"]
        assert host.shown()["a"]["stability"] == 0.0
        host.set_targets(("a", "down"))
        await host.removed("a")
    assert host.watcher.most_at_once("ocs-a") <= 1


async def test_by_hand_stopped_or_restarted_it_is_seen_and_up_again(project):
    project.write(["ocs-a"])
    async with running(project, "a") as host:
        await host.up("a")
        container = await host.container("ocs-a")
        await host.docker("stop", container)
        row = await host.row("a", next_action="up", restarts=1)
        assert row["last_exit"]["code"] == 0
        pid = row["pid"]
        await host.docker("restart", container)
        await host.until("another pid", lambda: host.shown()["a"]["pid"] not in (None, pid))
        await host.up("a")
        assert await host.container("ocs-a") == container


async def test_removed_by_hand_it_is_made_anew(project):
    project.write(["ocs-a"])
    async with running(project, "a") as host:
        await host.up("a")
        container = await host.container("ocs-a")
        await host.docker("rm", "-f", container)
        await host.until("another one", lambda: container not in project.containers("ocs-a"))
        row = await host.row("a", next_action="up", restarts=1)
        assert row["container"]["id"] not in ("", container)
        assert row["last_exit"]["code"] == 137


async def test_recreated_by_hand_the_new_one_is_taken_over(project):
    project.write(["ocs-a"])
    async with running(project, "a") as host:
        await host.up("a")
        container = await host.container("ocs-a")
        await host.do(project.compose, "up", "-d", "--force-recreate", "ocs-a", check=False)

        def another():
            row = host.shown()["a"]
            return row["next_action"] == "up" and row["container"]["id"] != container

        await host.until("the new one to be shown", another)
        await asyncio.sleep(0.5)  # no second one is made: only time shows it
        assert len(await host.running("a")) == 1
        assert len(await host.do(project.containers, "ocs-a")) == 1


async def test_a_paused_one_is_shown_and_left_and_can_be_stopped(project):
    project.write(["ocs-a"])
    async with running(project, "a") as host:
        await host.up("a")
        container = await host.container("ocs-a")
        await host.docker("pause", container)
        row = await host.row("a", says="It is paused; `docker unpause")
        assert row["next_action"] == "up"
        assert row["container"]["status"] == "paused"
        await host.docker("unpause", container)
        await host.row("a", next_action="up", message="")
        await host.docker("pause", container)
        await host.row("a", says="It is paused")
        host.set_targets(("a", "down"))
        await host.removed("a")


async def test_an_unhealthy_one_is_shown_with_the_output_of_its_check(project):
    check = {"test": ["CMD-SHELL", "echo no signal from the receiver; test -e /ok"]}
    times = {"interval": "200ms", "timeout": "2s", "retries": 1}
    project.write({"ocs-a": service(healthcheck={**check, **times})})
    async with running(project, "a") as host:
        row = await host.row(
            "a", says="Its health check reports that it is unhealthy: no signal from"
        )
        assert row["next_action"] == "up"
        assert row["container"]["health"] == "unhealthy"
        await host.docker("exec", await host.container("ocs-a"), "touch", "/ok")
        row = await host.row("a", message="")
        assert row["container"]["health"] == "healthy"
        assert host.count("die", "ocs-a") == 0


@pytest.mark.parametrize("when", ["waiting", "running"])
async def test_restarted_by_its_own_policy_it_is_one_and_down_means_down(project, when):
    # Ends by itself after each start, the first time when the test says so.
    script = "trap 'exit 0' TERM; until test -e /go; do sleep 0.05; done; exit 4"
    project.write({"ocs-a": service(command=["sh", "-c", script], restart="always")})
    async with running(project, "a") as host:
        await host.up("a")
        container = await host.container("ocs-a")
        await host.docker("exec", container, "touch", "/go")
        row = await host.row("a", says="the Docker Engine restarts it")
        assert row["last_exit"]["code"] == 4
        await host.until("some restarts", lambda: host.count("start", "ocs-a") >= 4)
        if when == "waiting":
            await host.row("a", next_action="start_at")
        else:
            await host.docker("exec", container, "rm", "/go", check=False)
        host.set_targets(("a", "down"))
        await host.down("a")
        starts = host.count("start", "ocs-a")
        await asyncio.sleep(2)  # none is started: only time shows it
        assert host.count("start", "ocs-a") == starts
        assert host.shown()["a"]["next_action"] == "down"
        assert await host.do(project.containers, "ocs-a") == []
        await host.counted("create", "ocs-a", 1)


async def test_one_that_ignores_being_asked_to_stop_is_killed_and_only_then_shown_down(project):
    keys = {"command": ["sh", "-c", "trap '' TERM INT; while :; do sleep 1; done"]}
    project.write({"ocs-a": service(**keys, stop_grace_period="2s")})
    async with running(project, "a") as host:
        await host.up("a")
        container = await host.container("ocs-a")
        host.set_targets(("a", "down"))
        await host.row("a", next_action="wait_dead", says="asked to stop")
        await host.until("down", lambda: host.shown()["a"]["next_action"] == "down")
        assert await host.do(host.engine.state, container) in ("exited", "removing", "gone")
        row = await host.down("a")
        assert row["last_exit"]["code"] == 137
        assert row["last_exit"]["expected"]


async def test_told_down_and_up_again_while_it_stops_it_comes_back_once(project):
    slow = ["sh", "-c", "trap 'sleep 1; exit 0' TERM; sleep 9999 & wait"]
    project.write({"ocs-a": service(command=slow, stop_grace_period="5s")})
    async with running(project, "a") as host:
        await host.up("a")
        container = await host.container("ocs-a")
        host.set_targets(("a", "down"))
        await host.row("a", next_action="wait_dead")
        host.set_targets(("a", "up"))
        await host.until("another", lambda: container not in project.containers("ocs-a"))
        await host.up("a")
        assert len(await host.running("a")) == 1
        await host.counted("start", "ocs-a", 2)


async def test_hurry_kills_at_once(project):
    keys = {"command": ["sh", "-c", "trap '' TERM INT; while :; do sleep 1; done"]}
    project.write({"ocs-a": service(**keys, stop_grace_period="1000s")})
    async with running(project, "a") as host:
        await host.up("a")
        host.set_targets(("a", "down"))
        await host.row("a", next_action="wait_dead")
        await host.until("the request to stop", lambda: host.count("kill", "ocs-a"))
        host.parts.supervisor.escalate()
        await host.down("a")


async def test_scale_two_is_one_row_that_tells_of_a_missing_one(project):
    project.write({"ocs-a": service(scale=2)})
    async with running(project, "a", scale={"ocs-a": 2}) as host:
        await host.row("a", next_action="up", message="")
        both = await host.do(project.containers, "ocs-a")
        assert len(both) == 2
        await host.docker("stop", both[0])
        await host.row("a", next_action="up", says="Only 1 of its 2 containers run")
        await host.docker("start", both[0])
        await host.row("a", next_action="up", message="")
        await host.docker("kill", *both)
        await host.row("a", next_action="up", message="", restarts=1)
        assert len(await host.running("a")) == 2
        host.set_targets(("a", "down"))
        await host.removed("a")


async def test_what_it_depends_on_is_reported_and_neither_started_nor_touched(project):
    project.write({"base": service(), "ocs-a": service(depends_on=["base"])})
    async with running(project, "a") as host:
        await host.row("a", next_action="up", says="It depends on base, which does not run.")
        assert host.shown()["base"]["target_state"] == "passive"
        assert host.shown()["base"]["next_action"] == "down"
        assert host.count("create", "base") == 0
        await host.do(project.compose, "up", "-d", "--no-deps", "base")
        await host.row("a", next_action="up", message="")
        await host.row("base", next_action="up", target_state="passive")
        host.set_targets(("a", "down"))
        await host.down("a")
        assert await host.do(project.state, "base") == "running"
        await host.counted("start", "base", 1)
        assert host.count("die", "base") == 0


async def test_what_nobody_manages_is_shown_and_left_alone(project):
    project.write(["ocs-a", "watched"])
    await asyncio.to_thread(project.up, "watched")
    async with running(project, "a") as host:
        row = await host.row("watched", next_action="up", target_state="passive")
        assert row["agent_class"] == "[docker]"
        container = await host.container("watched")
        await host.docker("stop", container)
        await host.row("watched", next_action="down", target_state="passive")
        await host.stays(1, "left", lambda: host.shown()["watched"]["next_action"] == "down")
        assert await host.do(host.engine.state, container) == "exited"
        await host.docker("start", container)
        await host.row("watched", next_action="up", target_state="passive")
        host.set_targets(("watched", "down"))
        await host.row("watched", next_action="down", target_state="passive")
        host.set_targets(("watched", "up"))
        await host.row("watched", next_action="up", target_state="passive")
