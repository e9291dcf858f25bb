"""What operators do through a client: the operations of the manager (contract, section 4)."""

import time
from concurrent.futures import ThreadPoolExecutor

import ocs

from tests.integration.router.steps import (
    messages,
    outcome,
    send,
    targets,
    wait_child,
    wait_gone,
    wait_ready,
    wait_states,
)
from tests.support.clients import call, children, client, states
from tests.support.processes import alive, processes, processes_of
from tests.support.sites import instance
from tests.support.waiting import wait_for


def manager_status(hm) -> str:
    return hm.manager.status().session["status"]


# --- update ------------------------------------------------------------------------------


def test_down_ends_an_agent_and_up_starts_it_again(site, begin):
    hm = begin(instance("a"), instance("b"))
    pids = wait_ready(site, "a", "b")
    ok, _ = outcome(hm.update(requests=[("a", "down")]))
    assert ok
    wait_states(hm, a="down", b="up")
    assert processes_of(site) == {"b": [pids["b"]]}
    assert [s.name for s in site.signals("a")] == ["SIGINT"]
    hm.update(requests=[["a", "up"]])
    again = wait_ready(site, "a")
    wait_states(hm, a="up")
    assert again["a"] != pids["a"]
    assert targets(hm) == {"a": "up", "b": "up"}


def test_requests_are_handled_in_their_order_so_all_but_one_can_be_requested(site, begin):
    hm = begin(*(instance(name, manage="host/down") for name in "abc"))
    assert outcome(hm.update(requests=[("all", "up"), ("b", "down")]))[0]
    assert targets(hm) == {"a": "up", "b": "down", "c": "up"}
    wait_ready(site, "a", "c")
    wait_states(hm, a="up", b="down", c="up")
    assert outcome(hm.update(requests=[("b", "up"), ("all", "down")]))[0]
    assert set(targets(hm).values()) == {"down"}
    wait_states(hm, a="down", b="down", c="down")
    wait_gone(site, "a", "b", "c")


def test_an_up_for_one_that_is_up_changes_nothing(site, begin):
    hm = begin(instance("a"))
    pids = wait_ready(site, "a")
    assert outcome(hm.update(requests=[("a", "up"), ("all", "up")]))[0]
    assert outcome(hm.update(requests=[]))[0]
    assert outcome(hm.update())[0]
    assert wait_ready(site, "a") == pids
    assert len(site.launches("a")) == 1


def test_up_for_one_that_cannot_be_operated_sets_the_target_and_says_why(site, begin):
    hm = begin(instance("d", manage="docker/down"))
    ok, text = outcome(hm.update(requests=[("d", "up")]))
    assert ok
    assert "docker compose" in text
    assert targets(hm) == {"d": "up"}
    assert states(hm) == {"d": "?"}


BAD_REQUESTS = [
    # requests, what the message names
    ([("a", "up"), ("b", "upp")], ["Request 2", "'upp'", "did you mean 'up'"]),
    ([("b", "down"), ("fake-agent-1x", "down")], ["Request 2", "did you mean 'fake-agent-1'"]),
    ([("b", "down"), ("nobody", "down")], ["'nobody'"]),
    ([("hm-testhost", "down")], ["'hm-testhost'"]),
    ([("b", "down"), ("b", None)], ["Request 2", "None"]),
    ([("b", "down"), ("b", "passive")], ["'passive'"]),
    ([("b", "down"), ("b", "DOWN")], ["'DOWN'"]),
    ([("b", "down"), ("b", ["down"])], ["Request 2"]),
    ([("b", "down"), (["b"], "down")], ["Request 2"]),
    ([("b", "down"), ({}, "down")], ["Request 2"]),
    ([("b", "down"), (1, "down")], ["Request 2"]),
    ([("b", "down"), (None, None)], ["Request 2"]),
    ([("b", "down"), ()], ["Request 2", "pair"]),
    ([("b", "down"), ("b",)], ["Request 2", "pair"]),
    ([("b", "down"), ("b", "down", "now")], ["Request 2", "pair"]),
    ([("b", "down"), "b down"], ["Request 2", "pair"]),
    ([("b", "down"), "up"], ["Request 2", "pair"]),  # two letters, no pair
    ([("b", "down"), {"b": "down"}], ["Request 2"]),
    ([("b", "down"), None], ["Request 2"]),
    ([("b", "down"), 7], ["Request 2"]),
    (["b", "down"], ["Request 1", "pair"]),
    ("b", ["'b'"]),
    ({"b": "down"}, ["list"]),
    (5, ["5"]),
    (True, ["True"]),
    ([("b", "down"), ("x" * 100_000, "down")], ["Request 2"]),
    ([("b", "down"), ("b\n", "down")], ["Request 2"]),
]


def test_a_bad_request_fails_names_it_and_changes_nothing_at_all(site, begin):
    hm = begin(instance("a", manage="host/down"), instance("b"), instance("fake-agent-1"))
    pids = wait_ready(site, "b", "fake-agent-1")
    before = children(hm)
    for requests, named in BAD_REQUESTS:
        ok, text = outcome(hm.update(requests=requests))
        assert ok is False, requests
        for names in named:
            assert names in text, text
        assert "Nothing was changed" in text
        assert "Traceback" not in text
        assert len(text) < 1000
        assert targets(hm) == {"a": "down", "b": "up", "fake-agent-1": "up"}
    assert wait_ready(site, "b", "fake-agent-1") == pids
    for name, child in children(hm).items():
        assert child["pid"] == before[name]["pid"]
    assert site.signals("b") == []


def test_a_bad_request_at_the_start_of_the_manager_fails_and_starts_nothing(site, begin):
    hm = begin(instance("a"))
    hm.manager.stop()
    hm.manager.wait(timeout=60)
    launched = len(site.launches("a"))
    hm.manager.start(requests=[("a", "up"), ("a", "sideways")])
    ok, text = outcome(hm.manager.wait(timeout=60))
    assert ok is False
    assert "'sideways'" in text
    assert processes_of(site) == {}
    assert len(site.launches("a")) == launched


def test_without_a_running_manager_process_update_fails_and_does_nothing(site, begin):
    hm = begin(instance("a"), instance("b", manage="host/down"))
    wait_ready(site, "a")
    hm.manager.stop()
    assert outcome(hm.manager.wait(timeout=60))[0] is True
    for params in ({"requests": [("b", "up")]}, {"reload_config": True}, {}):
        ok, text = outcome(hm.update(**params))
        assert ok is False
        assert "not running" in text
    assert processes_of(site) == {}
    assert site.launches("b") == []


def test_fifty_clicks_at_once_all_succeed_and_the_last_one_decides(site, begin):
    hm = begin(instance("a"))
    wait_ready(site, "a")
    clients = [client(site) for _ in range(5)]

    def click(number: int) -> tuple[int, str, bool]:
        word = "up" if number % 3 else "down"
        hm = clients[number % len(clients)]
        reply = hm.update.start(requests=[("a", word)])
        return reply.status, reply.msg, hm.update.wait(timeout=60).session["success"]

    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(click, range(50)))
    assert [answer[:2] for answer in answers if answer[0] != ocs.OK] == []
    assert {success for _, _, success in answers} == {True}
    text = [line for line in messages(hm).splitlines() if line.startswith("Request: a ")]
    assert len(text) == 50
    last = text[-1].removeprefix("Request: a ").rstrip(".")
    assert targets(hm) == {"a": last}
    wait_states(hm, a=last)
    assert len(processes_of(site).get("a", [])) == (last == "up")


def test_reloads_and_clicks_together_all_succeed(site, begin):
    begin(instance("a"), instance("b"))
    wait_ready(site, "a", "b")

    def click(number: int) -> bool:
        reply = client(site).update(reload_config=number % 2 == 0, requests=[("b", "up")])
        return reply.status == ocs.OK and reply.session["success"]

    with ThreadPoolExecutor(6) as pool:
        assert set(pool.map(click, range(6))) == {True}
    assert [len(site.launches(name)) for name in "ab"] == [1, 1]


# --- manager -----------------------------------------------------------------------------


def test_stopping_the_manager_ends_every_agent_and_then_the_process_with_success(site, begin):
    hm = begin(
        instance("quick"),
        instance("slow", "--behave", "slow-stop", 0.5),
        instance("crashing", "--behave", "exit-at-once"),
        instance("d", manage="docker/up"),
    )
    wait_ready(site, "quick", "slow")
    reply = hm.manager.stop()
    assert reply.status == ocs.OK
    ok, _ = outcome(hm.manager.wait(timeout=60))
    assert ok is True
    assert manager_status(hm) == "done"
    left = {process.kind for process in processes(site)} - {"fork server"}
    assert left == {"log daemon", "manager"}


def test_what_is_requested_while_it_begins_again_is_done_once_it_has(site, begin):
    hm = begin(instance("a"), instance("b"))
    wait_ready(site, "a", "b")
    hm.manager.stop()
    hm.manager.wait(timeout=60)
    for _ in range(3):
        hm.manager.start(requests=[("all", "down")])
        ok, text = outcome(hm.update(requests=[("b", "up")]))  # it reads the site config still
        assert ok, text
        assert targets(hm) == {"a": "down", "b": "up"}
        hm.manager.stop()
        hm.manager.wait(timeout=60)
    assert "not running" in outcome(hm.update(requests=[("b", "up")]))[1]


def test_while_it_stops_the_manager_process_shows_that_it_is_stopping(site, begin):
    hm = begin(instance("slow", "--behave", "slow-stop", 0.8))
    wait_ready(site, "slow")
    hm.manager.stop()
    assert manager_status(hm) == "stopping"
    assert hm.manager.stop().status == ocs.ERROR  # already stopping
    ok, text = outcome(hm.update(requests=[("slow", "up")]))
    assert ok is False, text
    assert hm.manager.wait(timeout=60).session["success"] is True
    assert processes_of(site) == {}


def test_a_start_of_the_manager_that_runs_is_refused_and_harmless(site, begin):
    hm = begin(instance("a"))
    pids = wait_ready(site, "a")
    assert hm.manager.start(requests=[("a", "down")]).status == ocs.ERROR
    assert wait_ready(site, "a") == pids
    assert targets(hm) == {"a": "up"}


def test_requests_at_the_start_of_the_manager_are_carried_out(site, begin):
    hm = begin(*(instance(name) for name in "abc"))
    hm.manager.stop()
    hm.manager.wait(timeout=60)
    assert hm.manager.start(requests=[("all", "down"), ("b", "up")]).status == ocs.OK
    wait_for(lambda: manager_status(hm) == "running", 10)
    wait_states(hm, a="down", b="up", c="down")
    wait_ready(site, "b")
    assert processes_of(site).keys() == {"b"}


def test_a_start_without_reload_keeps_the_list_and_one_with_reload_reads_it(site, begin):
    hm = begin(instance("a"), instance("b", manage="host/down"))
    hm.update(requests=[("b", "up")])
    site.write(instance("a"), instance("c", manage="host/down"))
    for reload_config, names in ((False, {"a", "b"}), (True, {"a", "c"})):
        hm.manager.stop()
        hm.manager.wait(timeout=60)
        hm.manager.start(reload_config=reload_config)
        wait_for(lambda: manager_status(hm) == "running", 10)
        wait_for(lambda names=names: states(hm).keys() == names, 10, str(names))
    wait_states(hm, a="up", c="down")


def test_a_restart_of_the_manager_resets_targets_and_records(site, begin):
    hm = begin(instance("a"), instance("b", manage="host/down"))
    send(wait_ready(site, "a")["a"], 9)
    assert wait_child(hm, "a", restarts=1, next_action="up")["last_exit"]["signal"] == "SIGKILL"
    hm.update(requests=[("b", "up")])
    wait_ready(site, "a", "b")
    hm.manager.stop()
    hm.manager.wait(timeout=60)
    hm.manager.start()
    child = wait_child(hm, "a", next_action="up")
    assert (child["restarts"], child["last_exit"], child["stability"]) == (0, None, 1)
    wait_states(hm, b="down")
    assert targets(hm) == {"a": "up", "b": "down"}


def test_what_comes_while_the_site_config_is_read_for_long_is_reported_as_such(site, start_manager):
    site.write(instance("a", manage="host/down"))
    start_manager(site)
    hm = client(site)
    hm.manager.stop()
    hm.manager.wait(timeout=60)
    info = site.working_dir / "slow_dist-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: slow_dist\n")
    (info / "entry_points.txt").write_text("[ocs.plugins]\nslow = slow\n")
    wait = "import time, pathlib\nwhile not pathlib.Path('go').exists(): time.sleep(0.05)\n"
    (site.working_dir / "slow.py").write_text(f"{wait}agents = {{}}\n")
    hm.manager.start()
    ok, text = outcome(hm.update(requests=[("a", "up")]))
    assert (ok, "has been reading the site config for 5 s and more" in text) == (False, True)
    (site.working_dir / "go").touch()
    ok, _ = outcome(hm.update(requests=[("a", "up")]))
    assert ok is True
    wait_ready(site, "a")


# --- die ---------------------------------------------------------------------------------


def test_die_answers_then_nothing_is_left_and_the_exit_status_is_zero(site, start_manager):
    site.write(instance("a"), instance("b", manage="host/down"))
    manager = start_manager(site)
    wait_ready(site, "a")
    hm = client(site)
    assert hm.die.start(disown_dockers=True).status == ocs.OK
    ok, _ = outcome(hm.die.wait(timeout=60))
    assert ok is True
    assert manager.process.wait(60) == 0
    assert processes(site) == []


def test_die_answers_one_who_asks_a_while_after_its_end(site, start_manager):
    site.write(instance("a"))
    manager = start_manager(site)
    wait_ready(site, "a")
    hm = client(site)
    assert hm.die.start().status == ocs.OK
    wait_gone(site, "a")
    time.sleep(0.7)  # a client far away, or on a busy machine
    assert outcome(hm.die.wait(timeout=60))[0] is True
    assert manager.process.wait(60) == 0


def test_die_answers_also_when_nobody_waits_for_it(site, start_manager):
    site.write(instance("a"))
    manager = start_manager(site)
    status, text, _ = call(site, "start", "die")
    assert (status, text) == (ocs.OK, 'Started task "die".')
    assert manager.process.wait(60) == 0
    assert processes(site) == []


def test_die_waits_for_a_stubborn_agent_and_ends_it(site, start_manager):
    site.write(instance("mule", "--behave", "stubborn"))
    manager = start_manager(site, "--stop-timeout", "0.5")
    pid = wait_ready(site, "mule")["mule"]
    ok, _ = outcome(client(site).die())
    assert ok is True
    assert not alive(pid)
    assert manager.process.wait(60) == 0
    assert [s.name for s in site.signals("mule")] == ["SIGINT", "SIGTERM"]


def test_die_after_the_manager_process_was_stopped_ends_the_agent(site, start_manager):
    site.write(instance("a"))
    manager = start_manager(site)
    hm = client(site)
    hm.manager.stop()
    hm.manager.wait(timeout=60)
    assert outcome(hm.die())[0] is True
    assert manager.process.wait(60) == 0
