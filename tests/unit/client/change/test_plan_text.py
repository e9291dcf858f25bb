"""What will happen, in the words that the commands and the page share."""

from tests.support.http_bridge import child, session

from hostmanager.client.change.orphans_plan import site_orphans
from hostmanager.client.change.plan import make_plan
from hostmanager.client.change.plan_text import REFUSED, PlanLine, plan_lines, plan_title
from hostmanager.client.errors import FailureKind, ManagerError
from hostmanager.client.site_model import SiteEntry, SiteHost
from hostmanager.client.status.findings import build_host_status
from hostmanager.core.model import InstanceSettings, InstanceSpec


def plan(command, *children, error=None):
    answer = error or session(*children)
    host = build_host_status(SiteHost("daq1", "hm-daq1", {}), answer)
    return make_plan(command, [host], host.agents, [])


def test_one_agent_is_named_and_several_are_counted():
    assert plan_title(plan("down", child("a"))) == "stop a on daq1"
    assert plan_title(plan("restart", child("a"), child("b"))) == "restart 2 agents on daq1"
    assert plan_title(plan("down")) == "nothing to stop"


def test_what_is_as_requested_already_has_its_line():
    down = child("b", next_action="down", target_state="down")
    lines = plan_lines(plan("down", child("a"), down))
    assert lines == [PlanLine("stop on daq1: a"), PlanLine("already down: b")]


def test_the_orphans_of_a_host_are_listed_and_silence_is_not_taken_for_none():
    orphan = {"service": "old", "compose_file": "c.yaml", "running_image": "img:1"}
    running = session(orphans={"0123456789abcdef": orphan})
    stopped = {"status": "done", "data": {}}
    silent = ManagerError(FailureKind.TIMEOUT, "no answer")
    hosts = ["daq1", "daq2", "daq3", "daq4"]
    answers = dict(zip(hosts, (running, session(), stopped, silent), strict=True))
    found = site_orphans(hosts, answers)
    assert [line.text for line in found.lines()] == [
        "daq1: old (container 0123456789ab, image img:1), not in c.yaml any more",
        "daq2: no orphans",
        "! daq3: its manager process is stopped, so this is unknown",
        "! daq4: no answer",
    ]
    assert [line.kind for line in found.lines()] == ["", "", REFUSED, REFUSED]
    assert found.stopped == ["daq3"]
    assert found.stops.action == "stop and remove 1 orphaned container on daq1"


def host(*children, after=None):
    specs = {
        each["instance_id"]: InstanceSpec(
            each["instance_id"],
            "X",
            settings=InstanceSettings(after=(after or {}).get(each["instance_id"], ())),
        )
        for each in children
    }
    entries = {name: SiteEntry(name, "X", spec) for name, spec in specs.items()}
    return build_host_status(SiteHost("daq1", "hm-daq1", entries), session(*children))


def test_who_waits_for_whom_is_said():
    children = [child(name, restarting=False) for name in ("registry", "pump", "other")]
    status = host(*children, after={"pump": ("registry",)})
    plan = make_plan("restart", [status], status.agents, [])
    assert [line.text for line in plan_lines(plan)] == [
        "restart on daq1: registry, pump, other",
        "  pump starts once registry is ready",
        "  registry keeps running until pump has ended",
    ]
    status = host(*children, after={"pump": ("registry", "other")})
    plan = make_plan("restart", [status], status.agents, [])
    assert [line.text for line in plan_lines(plan)][1:] == [
        "  pump starts once registry, other are ready",
        "  registry, other keep running until pump has ended",
    ]
    status = host(*children, after={"pump": ("registry",), "other": ("registry",)})
    plan = make_plan("restart", [status], status.agents, [])
    assert [line.text for line in plan_lines(plan)][1:] == [
        "  pump, other start once registry is ready",
        "  registry keeps running until pump, other have ended",
    ]
    status = host(*children, after={"pump": ("registry",)})
    alone = make_plan("restart", [status], status.agents[1:], [])
    assert [line.text for line in plan_lines(alone)] == ["restart on daq1: pump, other"]
