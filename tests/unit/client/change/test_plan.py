"""`restart --outdated` and `up --as-configured`: what they select, and what they say of it."""

from dataclasses import replace

from tests.support.http_bridge import child, session

from hostmanager.client.change.plan import OUTDATED, Selection, make_plan
from hostmanager.client.errors import FailureKind, ManagerError
from hostmanager.client.site_model import SiteEntry, SiteHost
from hostmanager.client.status.findings import build_host_status
from hostmanager.core.model import InstanceSettings, InstanceSpec, Target


def host(answer, **targets):
    entries = {
        name: SiteEntry(
            name,
            "FakeDataAgent",
            InstanceSpec(name, "FakeDataAgent", initial_target=Target(target)),
        )
        for name, target in targets.items()
    }
    return build_host_status(SiteHost("daq1", "hm-daq1", entries), answer)


def plan_of(command, selection, status):
    return make_plan(command, [status], status.agents, [], selection)


def steps(plan):
    return {step.agent.instance_id: (step.action, step.cause) for step in plan.steps}


def test_only_what_is_outdated_is_restarted_and_the_reason_is_the_managers():
    changed = "Its entry in the site config has changed since it was started; restart it."
    answer = session(
        child("new", restarting=False),
        child("old", restarting=False, restart_required=True, message=changed),
        child("plain", restart_required=True),
    )
    plan = plan_of("restart", Selection.OUTDATED, host(answer, new="up", old="up", plain="up"))
    assert steps(plan) == {
        "old": ("restart", changed.removesuffix("; restart it.")),
        "plain": ("restart", OUTDATED),
    }
    assert [agent.instance_id for agent in plan.unchanged] == ["new"]
    assert plan.stops.action == "restart 2 agents on daq1"


def test_what_its_manager_does_not_know_yet_is_not_outdated_but_a_silent_host_is_named():
    assert not plan_of("restart", Selection.OUTDATED, host(session(), later="up")).refused
    silent = host(ManagerError(FailureKind.TIMEOUT, "no answer"), a="up")
    assert plan_of("restart", Selection.OUTDATED, silent).refused[0].unreachable


def test_as_configured_undoes_what_was_started_and_stopped_by_hand_and_says_who_it_was():
    down = {"target_state": "down", "next_action": "down"}
    answer = session(
        child("stopped", **down, target_by="ann@control", target_reason="cable work"),
        child("started"),
        child("same"),
        child("off", **down),
        child("redis", agent_class="[docker]", target_state="passive"),
    )
    status = host(answer, stopped="up", started="down", same="up", off="down")
    plan = plan_of("up", Selection.NOT_AS_CONFIGURED, status)
    assert steps(plan) == {
        "stopped": ("start", "stopped by hand by ann@control: cable work"),
        "started": ("stop", "started by hand"),
    }
    assert plan.stops.agents == {"daq1": ["started"]}
    assert {agent.instance_id for agent in plan.unchanged} == {"same", "off", "redis"}


def test_as_configured_leaves_alone_what_is_manual_and_a_one_shot_that_is_done():
    done = child("once", target_state="down", next_action="down", done={"time": 1.0})
    by_hand = child("manual", target_state="up")
    status = host(session(done, by_hand), once="up", manual="up")
    spec = replace(status.agents[1].entry.spec, settings=InstanceSettings(manual=True))
    entry = replace(status.agents[1].entry, spec=spec)
    agents = (status.agents[0], replace(status.agents[1], entry=entry))
    assert make_plan("up", [status], agents, [], Selection.NOT_AS_CONFIGURED).steps == ()


def test_as_configured_leaves_alone_one_that_is_to_run_and_dies_again_and_again():
    dies = child("a", next_action="start_at", uptime=0.1)
    plan = plan_of("up", Selection.NOT_AS_CONFIGURED, host(session(dies), a="up"))
    assert plan.steps == ()


def test_as_configured_starts_a_stopped_manager_process_with_what_the_site_config_wants():
    stopped = {**session(), "status": "done"}
    plan = plan_of("up", Selection.NOT_AS_CONFIGURED, host(stopped, a="up", b="down"))
    assert steps(plan) == {"a": ("start", "its manager process was stopped")}
    assert plan.managers_to_start == {"daq1"}
