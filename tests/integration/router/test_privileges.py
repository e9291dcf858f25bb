"""OCS's access control from end to end: a real access director, real clients, real refusals."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import ocs
import pytest
import yaml
from ocs.access import ExclusiveAccessClient
from ocs.ocs_client import OCSClient

from tests.integration.router.steps import (
    outcome,
    send,
    targets,
    wait_gone,
    wait_ready,
    wait_states,
)
from tests.support.clients import client
from tests.support.processes import processes
from tests.support.sites import Site, instance
from tests.support.terminal import NEEDS_TMUX, Terminal
from tests.support.waiting import wait_for

DIRECTOR = "access-dir"

RULES = {
    "passwords": [{"default": True, "password_1": "", "password_2": "two", "password_3": "three"}],
    "exclusive_access_blocks": [
        {
            "name": "hands-on",
            "password": "please",
            "grants": [
                {"default": True, "cred_level": 1, "lockout_levels": [2, 3]},
                {"instance_id": "nothing-real", "cred_level": 2},
            ],
        }
    ],
}


def write(site: Site, *entries, policy: str | None = f"director:{DIRECTOR}", **rules) -> None:
    """Write a site with an access policy, and an access director in it."""
    (site.directory / "access.yaml").write_text(yaml.safe_dump({**RULES, **rules}))
    director = instance(
        DIRECTOR,
        *("--config-file", str(site.directory / "access.yaml")),
        agent_class="AccessDirector",
        manage="ignore",
    )
    manager = instance(site.manager_id, agent_class="HostManager")
    site.write_data(
        {
            "hub": {**site.hub(), "access_policy": policy},
            "hosts": {site.host: {"agent-instances": [manager, director, *entries]}},
        }
    )


def as_level(site: Site, privs: int | str | None) -> OCSClient:
    return OCSClient(site.manager_id, privs=privs, args=site.args)


@pytest.fixture
def start_director(site):
    """Start the access director; it is killed in the end, since OCS agents take 6 s to stop."""
    started = []

    def go() -> None:
        command = [sys.executable, "-m", "ocs.agent_cli", "--instance-id", DIRECTOR, *site.args]
        with (site.directory / "director.log").open("wb") as log:
            started.append(subprocess.Popen(command, cwd=site.working_dir, stdout=log, stderr=log))

    yield go
    for process in started:
        process.kill()
        process.wait()


def wait_rules(site: Site) -> None:
    """Wait until the director's rules have come to the manager."""

    def known() -> bool:
        control = client(site)._api["access_control"]
        return control["update_count"] > 0

    wait_for(known, 40, "the rules of the access director")


@pytest.fixture
def guarded(site, start_director, start_manager):
    """A manager that wants level 2, with one agent, and the rules known."""
    write(site, instance("a"))
    start_director()
    start_manager(site, "--min-privs", "2", "--stop-timeout", "1")
    wait_ready(site, "a")
    wait_rules(site)
    return site


def test_who_has_no_password_may_look_but_not_touch(guarded):
    plain = client(guarded)
    assert plain.manager.status().session["status"] == "running"
    assert plain.history(limit=5).status == ocs.OK
    assert outcome(plain.output(instance_id="a", lines=5))[0]
    for reply in (
        plain.update.start(requests=[("a", "down")]),
        plain.manager.stop(),
        plain.manager.start(),
        plain.die.start(),
        plain.die.abort(),
    ):
        assert reply.status == ocs.ERROR
        assert "needs credential level 2-ADVANCED; this client has 1-BASIC." in reply.msg
        assert f"OCSClient('{guarded.manager_id}', privs=2)" in reply.msg
    for password in ("wrong", "1", None):
        reply = as_level(guarded, password).update.start(requests=[("a", "down")])
        assert reply.status == ocs.ERROR
    assert targets(plain)["a"] == "up"


def test_a_password_lets_in_and_its_level_is_written_down(guarded):
    for password, target in (("two", "down"), ("three", "up"), ("two", "down")):
        hm = as_level(guarded, password)
        assert outcome(hm.update(requests=[("a", target)]))[0]
        wait_states(hm, a=target)
    entries = hm.history(limit=50).session["data"]["entries"]
    asked = [e for e in entries if e["kind"] == "request" and e["instance_id"] == "a"]
    assert [e["data"]["level"] for e in asked] == [2, 3, 2]
    # A refused request leaves what the latest one said.
    plain = client(guarded)
    plain.update.start(requests=[("a", "up")])
    assert outcome(plain.update.status())[0]
    assert targets(plain)["a"] == "down"


def test_the_password_comes_from_the_users_file(guarded, monkeypatch):
    file = guarded.directory / "passwords.yaml"
    file.write_text(yaml.safe_dump([{"instance_id": "hm-*", "password_2": "two"}]))
    monkeypatch.setenv("OCS_PASSWORDS_FILE", str(file))
    hm = as_level(guarded, 2)
    assert outcome(hm.update(requests=[("a", "down")]))[0]
    wait_states(hm, a="down")


def test_a_password_that_a_file_has_as_a_number_is_text(
    site, start_director, start_manager, monkeypatch
):
    passwords = [{"default": True, "password_1": "", "password_2": "1234"}]
    write(site, instance("a"), passwords=passwords)
    start_director()
    start_manager(site, "--min-privs", "2")
    wait_rules(site)
    file = site.directory / "passwords.yaml"
    file.write_text("[{default: true, password_2: 1234}]")
    monkeypatch.setenv("OCS_PASSWORDS_FILE", str(file))
    assert outcome(as_level(site, 2).update(requests=[("a", "down")]))[0]


def test_the_process_can_be_stopped_and_started_and_the_manager_ended_by_who_may(guarded):
    hm = as_level(guarded, "two")
    assert hm.manager.stop().status == ocs.OK
    wait_gone(guarded, "a")
    hm.manager.wait(timeout=60)
    assert client(guarded).manager.start().status == ocs.ERROR
    assert hm.manager.start().status == ocs.OK
    wait_ready(guarded, "a")
    assert outcome(hm.die())[0]
    kinds = {"manager", "log daemon"}
    wait_gone(guarded, "a")
    wait_for(
        lambda: not [process for process in processes(guarded) if process.kind in kinds],
        *(30, "the manager to be gone", lambda: processes(guarded)),
    )


def test_somebody_elses_lockout_is_reported(guarded):
    director = client(guarded, DIRECTOR)
    hands = ExclusiveAccessClient(director, "Ada", "hands-on", "please")
    wait_for(lambda: hands.acquire()[0], 20, "the grant", lambda: hands.last_response)
    refused = wait_for(
        lambda: [
            reply.msg
            for reply in [as_level(guarded, "three").update.start(requests=[("a", "up")])]
            if reply.status == ocs.ERROR
        ],
        20,
        "the lockout to reach the manager",
    )
    assert "hands-on[Ada]" in refused[0]
    assert hands.release()[0]


def test_by_default_plain_ocsbow_works_with_a_policy_too(site, start_director, start_manager):
    write(site, instance("a"))
    start_director()
    start_manager(site)
    wait_ready(site, "a")
    wait_rules(site)
    ocsbow = str(Path(sys.executable).parent / "ocsbow")
    result = subprocess.run(
        [ocsbow, *site.args, "down", "a"],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )
    assert result.returncode == 0, result.stderr
    wait_gone(site, "a")


def test_without_its_director_nobody_is_let_in_and_everything_is_kept_up(site, start_manager):
    write(site, instance("a"), policy="director:nobody-home")
    manager = start_manager(site, "--stop-timeout", "1", ready=True)
    wait_ready(site, "a")
    reply = client(site).update.start(requests=[("a", "down")])
    assert reply.status == ocs.ERROR
    assert "needs credential level 1-BASIC; this client has 0-BLOCKED." in reply.msg
    assert "No rules have come from the access director 'nobody-home' yet" in reply.msg
    assert targets(client(site))["a"] == "up"
    send(manager.pid, signal.SIGTERM)  # whoever is on the host may always
    assert manager.process.wait(60) == 0
    assert "Traceback" not in manager.output()


PUBLISH = """
import json, sys
from autobahn.twisted.component import Component, run
from autobahn.wamp.types import PublishOptions

url, realm, topic, *messages = sys.argv[1:]
component = Component(transports=url, realm=realm)

@component.on_join
async def joined(session, details):
    for message in messages:
        await session.publish(topic, json.loads(message), options=PublishOptions(acknowledge=True))
    session.leave()

run([component], log_level="error")
"""

NONSENSE = [
    None,
    [],
    [None],
    [{"ac_version": 99, "reset": True, "rules": []}, {}],
    [{"ac_version": 1, "reset": True, "rules": [{"cred_level": "many"}], "step": 1}, {}],
    [{"ac_version": 1, "reset": True}, {}],
]


def test_nonsense_in_the_directors_name_changes_nothing(guarded):
    topic = f"{guarded.address_root}.{DIRECTOR}.feeds.controls"
    router = guarded.router
    argv = [router.url, router.realm, topic, *map(json.dumps, NONSENSE)]
    subprocess.run([sys.executable, "-c", PUBLISH, *argv], check=True, timeout=60)
    log = guarded.directory / "manager.log"
    wait_for(lambda: log.read_text().count("makes no sense") >= 5, 20, "it", log.read_text)
    assert "Traceback" not in log.read_text()
    assert client(guarded).update.start(requests=[("a", "down")]).status == ocs.ERROR
    assert outcome(as_level(guarded, "two").update(requests=[("a", "down")]))[0]


def test_passwords_on_the_command_line(site, start_manager):
    write(site, instance("a"), policy=None)
    start_manager(site, "--access-policy", "override:two,three", "--min-privs", "3")
    wait_ready(site, "a")
    reply = as_level(site, "two").update.start(requests=[("a", "down")])
    assert "needs credential level 3-FULL; this client has 2-ADVANCED" in reply.msg
    assert outcome(as_level(site, "three").update(requests=[("a", "down")]))[0]


@pytest.mark.parametrize("policy", ["nonsense", "override:secret", "other:secret", "override"])
def test_a_policy_that_makes_no_sense_is_refused_before_anything_is_started(
    site, start_manager, policy
):
    write(site, instance("a"), policy=policy)
    manager = start_manager(site, ready=False)
    assert manager.process.wait(60) == 2
    assert "access_policy: " in manager.output()
    assert "secret" not in manager.output()
    assert processes(site) == []
    assert site.launches("a") == []


def test_a_level_without_a_policy_shuts_out_everybody_but_the_manager_itself(site, start_manager):
    write(site, instance("a"), policy=None)
    manager = start_manager(site, "--min-privs", "2")
    wait_ready(site, "a")
    assert "nobody can command this manager" in manager.output()
    reply = client(site).update.start(requests=[("a", "down")])
    assert "The site has no access policy" in reply.msg
    assert manager.stop() == 0
    assert processes(site) == []


@NEEDS_TMUX
def test_the_full_screen_view_says_which_level_it_takes_and_acts_with_the_password(guarded):
    asked = Terminal(guarded.directory, guarded.file)
    try:
        asked.until("1 host, 1 agent: all OK")
        asked.press("Down", "Down", "d", "y")
        asked.until("refuses 'update': ")
        asked.until("needs credential level 2-ADVANCED; this client has 1-BASIC")
        assert targets(client(guarded))["a"] == "up"
    finally:
        asked.close()
    let_in = Terminal(guarded.directory, guarded.file, "--privs", "two")
    try:
        let_in.until("1 host, 1 agent: all OK")
        let_in.press("Down", "Down", "d", "y")
        let_in.until(f"down a ({guarded.host}): done, down")
        assert targets(client(guarded))["a"] == "down"
    finally:
        let_in.close()
