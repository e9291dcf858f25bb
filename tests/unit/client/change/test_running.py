"""Tasks at some places, carried out at the same time; and what a plan says of orders."""

import threading
from dataclasses import replace
from types import SimpleNamespace

from tests.support.http_bridge import child, session

from hostmanager.client.change.plan import make_plan
from hostmanager.client.change.running import ProgressRow, TasksChange
from hostmanager.client.change.site_change import PreparedChange, _select, order_lines
from hostmanager.client.change.stops import Stops
from hostmanager.client.errors import ClientError, FailureKind, ManagerError
from hostmanager.client.managers.manager_client import OperationResult
from hostmanager.client.site_model import SiteEntry, SiteHost
from hostmanager.client.status.findings import build_host_status
from hostmanager.core.model import InstanceSettings, InstanceSpec


def fail(error):
    def task(_show):
        raise error

    return task


def test_each_place_has_its_result_and_a_failure_is_one_of_its_own():
    refused = ManagerError(FailureKind.REFUSED, "it needs credential level 2")
    change = TasksChange(
        {
            ("a", ""): lambda _show: OperationResult(True, "2 images"),
            ("b", ""): lambda _show: OperationResult(False, "no space"),
            ("c", ""): fail(refused),
            ("d", ""): fail(ClientError("no alarm service")),
            ("e", ""): fail(ZeroDivisionError("oh")),
        },
        60,
        refused=[ProgressRow("f", "", "failed", "no answer")],
        going_on="It goes on.",
    )
    seen = []
    change.execute(lambda: seen.append(change.rows()))
    assert {row.host: (row.state, row.text) for row in change.rows()} == {
        "a": ("done", "2 images"),
        "b": ("failed", "no space"),
        "c": ("failed", "it needs credential level 2."),
        "d": ("failed", "no alarm service"),
        "e": ("failed", "ZeroDivisionError: oh"),
        "f": ("failed", "no answer"),
    }
    assert len(seen) == 5
    assert change.needs_password == "it needs credential level 2"
    assert change.notices() == []


def test_who_cancels_is_told_what_goes_on_and_the_last_message():
    shown, go_on = threading.Event(), threading.Event()

    def pull(show):
        show("layer 1 of 3")
        shown.set()
        assert go_on.wait(30)
        return OperationResult(True, "")

    change = TasksChange({("a", ""): pull}, 60, going_on="The manager of a goes on pulling.")
    change.execute(change.cancel)  # as soon as the message has come
    go_on.set()
    assert shown.is_set()
    (row,) = change.rows()
    assert (row.state, row.output) == ("left", ("layer 1 of 3",))
    assert "layer 1 of 3" in row.text
    assert change.notices() == ["The manager of a goes on pulling."]


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
    status = host(child("registry"), child("pump"), child("other"), after={"pump": ("registry",)})
    plan = make_plan("restart", [status], status.agents, [])
    assert [line.text for line in order_lines(plan)] == [
        "  pump starts once registry is ready",
        "  registry runs on until pump has ended",
    ]
    alone = make_plan("restart", [status], status.agents[1:], [])
    assert order_lines(alone) == []


def test_an_agent_that_is_named_with_its_host_means_none_of_that_name_elsewhere():
    here, there = host(child("a"), child("b")), host(child("a"), child("b"))
    there = SimpleNamespace(
        host=there.host, error=None, agents=[_on("daq2", agent) for agent in there.agents]
    )

    def select(exact, words):
        names = [name for _, name in exact]
        args = SimpleNamespace(exact=exact, pattern=[*names, *words], host=None, agent_class=None)
        return [(a.host, a.instance_id) for a in _select([here, there], args)]

    assert select({("daq1", "a")}, []) == [("daq1", "a")]
    assert select({("daq1", "a")}, ["b*"]) == [("daq1", "a"), ("daq1", "b"), ("daq2", "b")]
    assert len(select(set(), ["a"])) == 2


def _on(name, agent):
    return replace(agent, host=name)


def test_two_plans_are_the_same_if_they_stop_the_same():
    def shown(*agents, action="down", watched=()):
        stops = Stops("stop", {"daq1": agents, "daq2": []})
        return PreparedChange(action, "", (), stops, watched=watched).shown

    assert shown("a", "b") == shown("b", "a")
    assert (
        len({shown("a"), shown("a", "b"), shown("a", action="reload"), shown("a", watched=["x"])})
        == 4
    )
