"""The site file is edited while agents run: what follows (contract, section 4, reload rules)."""

import signal
import time
from typing import Any

import yaml

from tests.integration.conftest import PATIENT
from tests.integration.router.steps import (
    messages,
    outcome,
    parse_status,
    send,
    targets,
    wait_child,
    wait_gone,
    wait_ready,
    wait_states,
)
from tests.support.clients import children, states
from tests.support.processes import processes, processes_of
from tests.support.sites import Site, instance
from tests.support.waiting import wait_for


def reload(hm) -> tuple[bool, str]:
    """What a client is answered who has the site file read again."""
    return outcome(hm.update(reload_config=True))


def append(site: Site, text: str) -> None:
    """Add text at the end of the site file: to the entries of the host."""
    site.write_text(site.file.read_text() + text)


# --- the rules -----------------------------------------------------------------------------


def test_new_instances_get_the_target_of_their_entry_and_known_ones_are_left_alone(site, begin):
    hm = begin(instance("a"), instance("b"))
    hm.update(requests=[("b", "down")])
    before = wait_ready(site, "a")
    site.write(
        *(instance("a", manage="host/down"), instance("b")),
        *(instance("c"), instance("d", manage="host/down"), instance("e", manage="docker/up")),
    )
    assert reload(hm)[0]
    after = wait_ready(site, "a", "c")
    assert after["a"] == before["a"]
    wait_states(hm, a="up", b="down", c="up", d="down", e="?")
    assert targets(hm) == {"a": "up", "b": "down", "c": "up", "d": "down", "e": "up"}
    assert list(states(hm)) == list("abcde")


def test_what_is_gone_or_now_ignored_is_stopped_and_then_forgotten(site, begin):
    slow = ("--behave", "slow-stop", 2)
    hm = begin(instance("a", *slow), instance("b"), instance("c", *slow), options=PATIENT)
    before = wait_ready(site, "a", "b", "c")
    site.write(instance("a", *slow, manage="ignore"), instance("b"))
    assert reload(hm)[0]
    assert targets(hm) == {"a": "down", "b": "up", "c": "down"}
    wait_for(lambda: states(hm).keys() == {"b"}, 10, "a and c to be forgotten")
    assert processes_of(site) == {"b": [before["b"]]}
    for name in ("a", "c"):
        assert [s.name for s in site.signals(name)] == ["SIGINT"]
        ok, text = outcome(hm.update(requests=[(name, "up")]))
        assert ok is False
        assert f"'{name}'" in text


def test_one_that_is_leaving_cannot_be_wanted_up_and_comes_back_with_its_entry(site, begin):
    hm = begin(instance("a", "--behave", "slow-stop", 3), options=PATIENT)
    old = wait_ready(site, "a")
    site.write()
    reload(hm)
    ok, text = outcome(hm.update(requests=[("a", "up")]))
    assert (ok, "no longer in the site config" in text) == (False, True)
    site.write(instance("a"))
    assert reload(hm)[0]
    wait_for(lambda: len(site.launches("a")) == 2, 10, "the new one")
    assert wait_ready(site, "a") != old
    wait_states(hm, a="up")


def test_a_changed_class_starts_the_new_one_only_when_the_old_one_has_ended(site, begin):
    hm = begin(instance("a", "--behave", "slow-stop", 0.6))
    old = wait_ready(site, "a")["a"]
    site.write(instance("a", agent_class="OtherTinyAgent"))
    overlaps = []
    assert reload(hm)[0]

    def changed() -> bool:
        pids = [process.pid for process in processes(site) if process.instance_id == "a"]
        if len(pids) > 1:
            overlaps.append(pids)
        return children(hm)["a"]["agent_class"] == "OtherTinyAgent"

    wait_for(changed, 10, "the new class to be shown")
    new = wait_ready(site, "a")["a"]
    assert overlaps == []
    assert new != old
    [interrupted] = site.signals("a")
    assert site.launches("a")[-1].at - interrupted.at > 0.6
    wait_states(hm, a="up")


def test_an_instance_that_moves_to_docker_is_ended_on_the_host(site, begin):
    hm = begin(instance("a"))
    wait_ready(site, "a")
    site.write(instance("a", manage="docker/up"))
    assert reload(hm)[0]
    child = wait_child(hm, "a", next_action="?", agent_class="TinyAgent[d?]")
    assert child["operable"] is False
    wait_gone(site, "a")
    site.write(instance("a"))
    assert reload(hm)[0]
    wait_ready(site, "a")
    wait_child(hm, "a", next_action="up", agent_class="TinyAgent", operable=True)


def test_changed_arguments_are_shown_as_restart_required_until_it_is_restarted(site, begin):
    hm = begin(instance("a"), instance("b"))
    before = wait_ready(site, "a", "b")
    site.write(instance("a", "--code", 9), instance("b"))
    assert reload(hm)[0]
    child = wait_child(hm, "a", restart_required=True, next_action="up")
    assert "restart" in child["message"]
    assert children(hm)["b"]["restart_required"] is False
    assert wait_ready(site, "a", "b") == before
    hm.restart(instances=["a"])
    wait_for(lambda: len(site.launches("a")) == 2, 10, "the restart")
    wait_child(hm, "a", restart_required=False, next_action="up", message="")


def test_a_class_of_no_plugin_is_shown_as_not_operable_and_harms_nobody(site, begin):
    hm = begin(instance("a"))
    before = wait_ready(site, "a")
    site.write(instance("a"), instance("b", agent_class="TinyAgnet"))
    ok, text = reload(hm)
    assert "TinyAgnet" in text
    assert "TinyAgent" in text, "the nearest"
    child = wait_child(hm, "b", next_action="?", operable=False)
    assert "TinyAgnet" in child["message"]
    assert wait_ready(site, "a") == before
    assert ok is True
    site.write(instance("a"), instance("b"))
    assert reload(hm)[0]
    wait_ready(site, "b")


def test_a_new_instance_can_be_asked_for_in_the_update_that_adds_it(site, begin):
    hm = begin(instance("a"))
    site.write(instance("a"), instance("b", manage="host/down"))
    assert outcome(hm.update(requests=[("b", "up")]))[0] is False
    assert outcome(hm.update(reload_config=True, requests=[("b", "up"), ("a", "down")]))[0]
    wait_states(hm, a="down", b="up")
    wait_ready(site, "b")


def test_forty_instances_can_be_added_at_once(site, begin):
    hm = begin(instance("a"))
    before = wait_ready(site, "a")
    names = [f"n{number}" for number in range(40)]
    site.write(instance("a"), *(instance(name) for name in names))
    ok, text = reload(hm)
    assert ok
    assert "40 new" in text
    wait_for(lambda: set(states(hm).values()) == {"up"}, 30, "all to run", lambda: states(hm))
    running = processes_of(site)
    assert running.keys() == {"a", *names}
    assert {len(pids) for pids in running.values()} == {1}
    assert wait_ready(site, "a") == before
    site.write(instance("a"))
    assert reload(hm)[0]
    wait_for(lambda: states(hm).keys() == {"a"}, 30, "all to be forgotten", lambda: states(hm))
    assert processes_of(site).keys() == {"a"}


def test_sighup_reads_the_site_file_again(site, start_manager):
    site.write(instance("a"))
    manager = start_manager(site)
    before = wait_ready(site, "a")
    site.write(instance("a"), instance("b"))
    send(manager.pid, signal.SIGHUP)
    assert wait_ready(site, "a", "b")["a"] == before["a"]
    site.write_text("hosts: [")
    send(manager.pid, signal.SIGHUP)
    wait_for(lambda: "left as it is" in manager.output(), 10, "the reason", manager.output)
    assert wait_ready(site, "a", "b")["a"] == before["a"]


# --- broken files --------------------------------------------------------------------------

BROKEN_FILES = {
    "no YAML": "hosts: [\n",
    "empty": "",
    "a list": "- hub\n- hosts\n",
    "only a word": "soon\n",
    "a tab": "hosts:\n\ttesthost:\n",
    "another host": "hub: {wamp_server: 'ws://x', wamp_realm: r, address_root: o}\n"
    "hosts: {elsewhere: {agent-instances: []}}\n",
    "no hub": "hosts: {testhost: {agent-instances: []}}\n",
    "no instances": "hub: {wamp_server: 'ws://x', wamp_realm: r, address_root: o}\n"
    "hosts: {testhost: {}}\n",
    "no text": "\x00\x01",
}


def test_a_file_that_is_being_written_is_read_when_it_is_complete(site, begin):
    hm = begin(instance("a"), instance("b"))
    before = wait_ready(site, "a", "b")
    whole = site.file.read_text()
    started = whole.index("- instance-id: b")
    with site.file.open("w") as file:
        file.write(whole[:started])
        file.flush()
        hm.update.start(reload_config=True)
        time.sleep(0.3)  # somebody's editor, or git, or scp
        file.write(whole[started:])
    ok, text = outcome(hm.update.wait(timeout=60))
    assert ok, text
    assert "no change" in text
    assert {name: [pid] for name, pid in before.items()} == {
        name: pids for name, pids in processes_of(site).items() if name in before
    }


def test_a_broken_file_changes_nothing_says_why_and_down_works_meanwhile(site, begin):
    hm = begin(instance("a"), instance("b"), instance("c", manage="host/down"))
    before = wait_ready(site, "a", "b")
    good = site.file.read_text()
    for what, text in BROKEN_FILES.items():
        site.write_text(text)
        ok, message = reload(hm)
        assert ok is False, what
        assert str(site.file) in message, what
        assert "left as it is" in message
        shown = parse_status(hm)
        assert shown[0] is False
        assert str(site.file) in shown[2]
        assert wait_ready(site, "a", "b") == before
    site.file.unlink()
    ok, message = reload(hm)
    assert (ok, str(site.file) in message) == (False, True)
    site.write_text("hosts: [")
    ok, message = outcome(hm.update(reload_config=True, requests=[("a", "down")]))
    assert ok is False
    assert "a down" in message
    wait_states(hm, a="down", b="up", c="down")
    wait_gone(site, "a")
    assert outcome(hm.update(requests=[("b", "down")]))[0] is True
    wait_states(hm, b="down")
    site.write_text(good)
    assert reload(hm)[0] is True
    assert parse_status(hm)[0] is True


def broken(site: Site, entry: dict[str, Any] | str) -> str:
    """The site file with instance a's entry replaced."""
    data = yaml.safe_load(site.file.read_text())
    entries = data["hosts"]["testhost"]["agent-instances"]
    assert entries[1]["instance-id"] == "a"
    entries[1] = entry
    return yaml.safe_dump(data, sort_keys=False)


BROKEN_ENTRIES = {
    "no class": ({"instance-id": "a"}, "agent-class"),
    "an empty class": ({"instance-id": "a", "agent-class": ""}, "agent-class"),
    "a class in a list": ({"instance-id": "a", "agent-class": ["TinyAgent"]}, "agent-class"),
    "an unknown manage word": (instance("a", manage="hots/up"), "host/up"),
    "a number to manage": (instance("a", manage=1), "manage"),
    "arguments in a string": (instance("a") | {"arguments": "--code 1"}, "['--code', '1']"),
    "arguments in a mapping": (instance("a") | {"arguments": {"--code": 1}}, "arguments"),
    "null in the arguments": (instance("a") | {"arguments": [None]}, "arguments"),
    "a misspelt id": ({"instance_id": "a", "agent-class": "TinyAgent"}, "instance_id"),
    "a word": ("a", "entry"),
}


def test_a_broken_entry_is_named_and_its_agent_and_all_others_run_on(site, begin):
    hm = begin(instance("a"), instance("b"))
    before = wait_ready(site, "a", "b")
    good = site.file.read_text()
    for what, (entry, named) in BROKEN_ENTRIES.items():
        site.write_text(broken(site, entry))
        ok, message = reload(hm)
        assert ok is False, what
        assert named in message, f"{what}: {message}"
        assert f"{site.file}:" in message, what
        assert "Traceback" not in message
        assert parse_status(hm)[0] is False, what
        assert named in parse_status(hm)[2]
        assert wait_ready(site, "a", "b") == before, what
        assert targets(hm) == {"a": "up", "b": "up"}
        site.write_text(good)
    assert reload(hm)[0] is True
    assert wait_ready(site, "a", "b") == before
    assert site.signals("a") == site.signals("b") == []


def test_good_entries_beside_a_broken_one_are_followed(site, begin):
    hm = begin(instance("a"), instance("b"))
    before = wait_ready(site, "a", "b")
    site.write(instance("a", manage="sideways"), instance("c"))
    ok, message = outcome(hm.update(reload_config=True, requests=[("c", "down"), ("c", "up")]))
    assert ok is False
    assert "sideways" in message
    assert wait_ready(site, "a", "c")["a"] == before["a"]
    wait_for(lambda: states(hm) == {"a": "up", "c": "up"}, 10, "b to go", lambda: states(hm))


def test_a_duplicate_is_named_but_fails_nothing_and_the_first_one_counts(site, begin):
    hm = begin(instance("a"))
    before = wait_ready(site, "a")
    site.write(instance("a"), instance("a", agent_class="OtherTinyAgent", manage="host/down"))
    ok, message = reload(hm)
    assert ok is True
    assert "already used" in message
    assert "already used" in hm.manager.status()[2]["data"]["config_warnings"]["[SCF]"]
    assert wait_ready(site, "a") == before
    assert targets(hm) == {"a": "up"}


def test_an_unquoted_yes_and_no_mean_the_same_as_the_words(site, begin):
    hm = begin(instance("a"), instance("b"))
    before = wait_ready(site, "a", "b")
    entry = "    - {instance-id: %s, agent-class: TinyAgent, manage: %s}\n"
    site.write()
    append(site, entry % ("a", "yes") + entry % ("b", "no") + entry % ("c", "yes"))
    assert reload(hm)[0] is True
    assert wait_ready(site, "a", "c")["a"] == before["a"]
    wait_for(lambda: states(hm).keys() == {"a", "c"}, 10, "b to go", lambda: states(hm))
    wait_gone(site, "b")


def test_what_a_reload_did_is_reported_in_the_messages(site, begin):
    hm = begin(instance("a"), instance("b"))
    wait_ready(site, "a", "b")
    site.write(instance("a", agent_class="OtherTinyAgent"), instance("c"))
    ok, message = reload(hm)
    assert ok
    assert "1 new, 1 changed class, 1 gone" in message
    text = messages(hm)
    assert "a: becomes OtherTinyAgent" in text
    assert "b: no longer in the site config" in text
