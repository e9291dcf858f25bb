"""What is told of a service: told last, seen now, and the difference."""

from dataclasses import replace

from hostmanager.core.events import (
    Absent,
    Exited,
    ExitStatus,
    Launched,
    ObservedRun,
    StatusChanged,
)
from hostmanager.core.model import InstanceSpec, Kind, ServiceRef
from hostmanager.drivers.compose.container import Container
from hostmanager.drivers.compose.diff import (
    ObservedState,
    ReportedState,
    containers_of,
    diff_observations,
    is_half_started,
    with_hint,
)
from hostmanager.drivers.compose.images import Images

SERVICE = ServiceRef("compose.yaml", "p", "ocs-a", image="thing:1")
SPEC = InstanceSpec("a", "Fake", kind=Kind.DOCKER, fingerprint="digest", service=SERVICE)
C = Container(
    *("c1", "p-ocs-a-1", "p", "ocs-a"),
    digest="digest", image="thing:1", image_id="sha256:1", pid=7, start_stamp="t1", started_at=5.0,
)  # fmt: skip
ENDED = ExitStatus(code=3)
RUNS = ReportedState(C.run_key, report_due=False)
NOTHING = ReportedState(report_due=False)


def told(before, *containers, service=SERVICE, images=None, made_as=None, spec=SPEC):
    """What is told, and what is known to have been told then."""
    images = images or Images([{"Id": "sha256:1", "RepoTags": ["thing:1"]}])
    spec = replace(spec, service=service)
    seen = ObservedState(spec, service, containers, images, ENDED, made_as or {})
    steps = list(diff_observations(before, seen))
    return [observation for _, observation in steps], (steps[-1][0] if steps else before)


def test_without_a_change_nothing_is_reported():
    assert told(RUNS, C) == ([], RUNS)
    assert told(NOTHING) == ([], NOTHING)
    assert told(NOTHING, replace(C, status="exited")) == ([], NOTHING)


def test_an_answer_that_is_owed_is_given():
    assert told(ReportedState())[0] == [Absent()]
    launched = Launched(7, ObservedRun(7, 5.0, "digest", "Fake", run_id="c1/t1"))
    assert told(ReportedState(), C) == ([launched], RUNS)
    assert told(replace(RUNS, report_due=True), C)[0] == [launched]
    for status in ("created", "exited", "dead", "removing"):
        assert told(ReportedState(), replace(C, status=status))[0] == [Absent()]


def test_what_ended_and_began_is_reported_in_this_order():
    again = replace(C, start_stamp="t2", pid=8)
    for now in (again, replace(again, id="c2")):
        observations, then = told(RUNS, now)
        assert observations == [
            Exited(ENDED),
            Launched(8, ObservedRun(8, 5.0, "digest", "Fake", run_id=now.run_id)),
        ]
        assert then.run == now.run_key
    assert told(RUNS, replace(C, status="exited")) == ([Exited(ENDED)], NOTHING)
    assert told(RUNS) == ([Exited(ENDED)], NOTHING)


def test_a_restart_by_the_engine_is_one_end_and_then_a_condition():
    waiting = replace(C, status="restarting", pid=0, exit_code=3)
    observations, then = told(RUNS, waiting)
    assert observations[:2] == [
        Exited(ENDED),
        Launched(0, ObservedRun(0, 5.0, "digest", "Fake", run_id="c1/t1")),
    ]
    assert observations[2].engine_restarting
    assert "the Docker Engine restarts it" in observations[2].notice
    assert told(then, waiting) == ([], then)
    observations, up = told(then, replace(C, start_stamp="t2", pid=9))
    assert observations == [
        StatusChanged(new_run=ObservedRun(9, 5.0, "digest", "Fake", run_id="c1/t2"))
    ]
    # It came up and ended between two looks.
    observations, _ = told(then, replace(waiting, start_stamp="t2"))
    assert [type(o) for o in observations] == [StatusChanged]
    assert observations[0].new_run is not None
    assert observations[0].engine_restarting
    assert told(up, replace(C, start_stamp="t2", status="exited"))[0] == [Exited(ENDED)]


def test_an_end_while_it_restarts_is_reported_even_if_it_never_came_up():
    waiting = replace(C, status="restarting", pid=0)
    _, then = told(RUNS, waiting)
    assert told(then, replace(C, status="exited"))[0] == [Exited(ENDED)]
    assert told(then)[0] == [Exited(ENDED)]


def test_of_a_run_whose_start_is_not_known_nothing_is_made_up():
    vague = replace(C, start_stamp="", pid=0, from_list_only=True)
    observations, then = told(RUNS, vague)
    assert [type(o) for o in observations] == [StatusChanged]
    assert "does not answer when asked about its container" in observations[0].notice
    observations, then = told(then, C)
    assert observations == [
        StatusChanged(new_run=ObservedRun(7, 5.0, "digest", "Fake", run_id="c1/t1"))
    ]
    assert told(then, C) == ([], then)


def test_remarks():
    def remark(*containers, service=SERVICE):
        observations, _ = told(RUNS, *containers, service=service)
        return observations[0].notice if observations else None

    assert "docker unpause p-ocs-a-1" in remark(replace(C, status="paused"))
    assert "health check reports that it is unhealthy: no." in remark(
        replace(C, health="unhealthy", health_output="no")
    )
    assert remark(replace(C, health="healthy")) is None
    assert remark(replace(C, health="starting")) is None
    two = replace(SERVICE, scale=2)
    assert remark(C, service=two) == "Only 1 of its 2 containers run."
    assert remark(C, replace(C, id="c2", number=2), service=two) is None
    needy = replace(SERVICE, depends_on=("db", "bus"))
    assert remark(C, service=needy) == "It depends on db, bus, which do not run."
    database = replace(C, id="c3", service="db")
    assert remark(C, database, service=needy) == "It depends on bus, which does not run."


def test_a_container_that_the_engine_has_lost_track_of_gets_a_remedy():
    reason = f"Error response from daemon: task {'a' * 64}: already exists"
    assert is_half_started(reason)
    assert is_half_started("Error response from daemon: id already in use")
    assert not is_half_started("no such image")
    assert with_hint(reason, C).endswith("`docker rm -f p-ocs-a-1` helps")


def test_another_image_under_the_name_is_reported():
    newer = Images([{"Id": "sha256:2", "RepoTags": ["thing:1"]}])
    assert told(RUNS, C, images=newer)[0] == [StatusChanged(image_outdated=True)]
    # A name that means nothing here says nothing of what runs.
    assert told(RUNS, C, images=Images())[0] == []
    # The file names another image than the one that it was made with.
    other = Images([{"Id": "sha256:2", "RepoTags": ["thing:2"]}])
    named = replace(SERVICE, image="thing:2")
    assert told(RUNS, C, images=other, service=named)[0] == [StatusChanged(image_outdated=True)]


def test_from_what_it_was_made_is_only_said_if_that_is_known():
    def made_as(container, **keys):
        return told(ReportedState(), container, **keys)[0][0].adopted.fingerprint

    vague = replace(SERVICE, digest_comparable=False)
    assert made_as(replace(C, digest="old")) == "old"
    assert made_as(replace(C, digest="old"), service=vague) == ""
    assert made_as(replace(C, digest="x"), service=vague, made_as={"x": "then"}) == "then"


def test_with_two_containers_one_that_goes_on_is_the_service():
    two = replace(SERVICE, scale=2)
    second = replace(C, id="c2", number=2, pid=8)
    told_both = ReportedState(C.run_key, report_due=False)
    observations, then = told(told_both, replace(C, status="exited"), second, service=two)
    assert [type(o) for o in observations] == [StatusChanged]
    assert observations[0].new_run.pid == 8
    assert told(then, service=two)[0] == [Exited(ENDED)]


def test_only_its_own_containers_count():
    others = [
        replace(C, id="x", project="q"),
        replace(C, id="y", service="ocs-b"),
        replace(C, id="z", oneoff=True),
    ]
    assert containers_of(SERVICE, [*others, C]) == [C]
    dead = replace(C, id="c0", number=0, status="exited")
    assert containers_of(SERVICE, [dead, C]) == [C, dead]
    assert told(ReportedState(), *others)[0] == [Absent()]
