"""What the engine says of a container, as plain data."""

from dataclasses import replace

import pytest
from tests.integration.fake_engine.server import inspected

from hostmanager.core.events import ExitStatus
from hostmanager.drivers.compose import container as containers
from hostmanager.drivers.compose.container import (
    config_files,
    container_exit_status,
    from_inspect,
    from_list,
    log_start,
    same_run,
    unix_time,
    with_previous_run,
)

ID = "a" * 64


def test_an_inspected_container():
    health = {"Status": "unhealthy", "Log": [{"Output": "old"}, {"Output": "one\n two \n\n"}]}
    container = from_inspect(inspected(ID, "ocs-a", Health=health, ExitCode=3, OOMKilled=True))
    assert (container.id, container.name, container.project, container.service) == (
        ID,
        "p-ocs-a-1",
        "p",
        "ocs-a",
    )
    assert (container.status, container.pid, container.alive, container.oneoff) == (
        "running",
        4242,
        True,
        False,
    )
    assert (container.health, container.health_output) == ("unhealthy", "two")
    assert container.exit_status.code == 3
    assert "out of memory" in container.exit_status.detail
    assert container.files == ("/site/compose.yaml",)


@pytest.mark.parametrize(
    "labels",
    [
        None,
        {},
        {containers.PROJECT_LABEL: "p"},
        {containers.SERVICE_LABEL: "s"},
        {containers.PROJECT_LABEL: ""},
    ],
)
def test_one_without_the_labels_of_a_service_is_none(labels):
    data = inspected(ID, "ocs-a")
    data["Config"]["Labels"] = labels
    assert from_inspect(data) is None
    assert from_list({"Id": ID, "Labels": labels, "State": "running"}, None) is None


def test_odd_labels_and_missing_parts_are_borne():
    data = inspected(ID, "ocs-a")
    data["Config"]["Labels"][containers.NUMBER_LABEL] = "first"
    data["State"] = None
    data["Name"] = None
    container = from_inspect(data)
    assert (container.number, container.status, container.name, container.alive) == (
        1,
        "",
        "",
        False,
    )


@pytest.mark.parametrize("status", ["running", "paused", "restarting"])
def test_alive(status):
    assert from_inspect(inspected(ID, "a", status=status)).alive


@pytest.mark.parametrize("status", ["created", "exited", "dead", "removing", "", "new word"])
def test_not_alive(status):
    assert not from_inspect(inspected(ID, "a", status=status)).alive


def test_exit_codes_for_people():
    assert container_exit_status(0) == ExitStatus(code=0)
    assert str(container_exit_status(137)) == "exited with code 137 (probably by SIGKILL)"
    assert str(container_exit_status(255)) == "exited with code 255"
    assert "out of memory" in str(container_exit_status(137, oom=True))


def test_files_of_both_generations():
    assert config_files({containers.CONFIG_FILES_LABEL: "/d/a.yaml,/d/b.yaml"}) == (
        "/d/a.yaml",
        "/d/b.yaml",
    )
    old = {containers.CONFIG_FILES_LABEL: "./a.yaml", containers.WORKING_DIR_LABEL: "/d"}
    assert config_files(old) == ("/d/a.yaml",)
    assert config_files({}) == ()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2026-11-25T02:03:04.123456789Z", 1795572184.123456),
        ("2026-11-25T02:03:04Z", 1795572184.0),
        ("2026-11-25T03:03:04.5+01:00", 1795572184.5),
        ("0001-01-01T00:00:00Z", 0.0),
        ("", 0.0),
        ("yesterday", 0.0),
        ("2026-99-25T02:03:04Z", 0.0),
    ],
)
def test_times(text, seconds):
    assert unix_time(text) == pytest.approx(seconds)


def listed(**keys):
    labels = {
        containers.PROJECT_LABEL: "p",
        containers.SERVICE_LABEL: "ocs-a",
        containers.NUMBER_LABEL: "2",
    }
    usual = {"Id": ID, "Names": ["/x"], "Image": "thing:1", "ImageID": "sha256:1"}
    return {**usual, "Labels": labels, "Created": 77, "State": "running", **keys}


def test_what_a_list_says_has_to_do():
    container = from_list(listed(Status="Up 3 s (unhealthy)"), None)
    assert (container.name, container.number, container.image, container.started_at) == (
        "x",
        2,
        "thing:1",
        77.0,
    )
    assert (container.alive, container.health, container.start_stamp, container.from_list_only) == (
        True,
        "unhealthy",
        "",
        True,
    )
    ended = from_list(listed(State="exited", Status="Exited (137) 2 s ago"), None)
    assert (ended.alive, ended.exit_code) == (False, 137)
    odd = from_list(listed(Names=None, Status=None, Created=None), None)
    assert (odd.name, odd.exit_code, odd.started_at) == ("", 0, 0.0)


def test_what_a_list_says_is_added_to_what_was_known():
    known = from_inspect(inspected(ID, "ocs-a"))
    still = from_list(listed(), known)
    assert (still.run_key, still.pid) == (known.run_key, known.pid)
    ended = from_list(listed(State="exited", Status="Exited (1) 1 s ago"), known)
    assert (ended.run_key, ended.pid, ended.exit_code) == (known.run_key, 0, 1)
    # It was dead, and runs: that is another run, and nobody knows since when.
    again = from_list(listed(), ended)
    assert again.start_stamp == ""
    assert same_run(again.run_key, known.run_key)
    assert not same_run(("other", ""), known.run_key)
    assert not same_run((ID, "t1"), (ID, "t2"))


def test_when_the_run_before_ended():
    first = from_inspect(inspected(ID, "a", FinishedAt="0001-01-01T00:00:00Z"))
    assert with_previous_run(first, None).previous_finished_at == 0.0
    dead = from_inspect(inspected(ID, "a", status="exited", FinishedAt="1970-01-01T00:00:50Z"))
    assert with_previous_run(dead, None).previous_finished_at == 0.0
    assert with_previous_run(dead, with_previous_run(first, None)).previous_finished_at == 0.0
    second = inspected(
        ID,
        "a",
        status="exited",
        StartedAt="2026-11-25T05:00:00Z",
        FinishedAt="1970-01-01T00:01:40Z",
    )
    assert (
        with_previous_run(from_inspect(second), with_previous_run(dead, first)).previous_finished_at
        == 50.0
    )
    running = from_inspect(inspected(ID, "a", FinishedAt="1970-01-01T00:00:50Z"))
    assert with_previous_run(running, None).previous_finished_at == 50.0


@pytest.mark.parametrize(
    ("after", "since", "expected"),
    [
        (0.0, 100.0, 99.8),  # its first run, as far as is known
        (90.0, 100.0, 95.0),  # 5 s for late lines of the run before, and for early ones of this
        (99.9, 100.0, 99.95),
        (100.0, 99.9, 100.000001),  # the clock was set back in between
        (0.0, 0.1, 0.0),
    ],
)
def test_the_log_of_a_run_begins_between_the_end_before_and_its_start(after, since, expected):
    container = replace(
        from_inspect(inspected(ID, "a")), previous_finished_at=after, started_at=since
    )
    assert log_start(container) == pytest.approx(expected)
