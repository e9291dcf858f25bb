"""Changes by the page, without a browser's scripts: shown, confirmed, carried out once.

`daq1` lets everybody change it, `daq2` wants a password of level 2.
"""

import os
import signal
import threading
from collections.abc import Iterator

import pytest
from tests.support import clients
from tests.support.sites import instance
from tests.support.waiting import wait_for
from tests.support.web import WebServer, WebSite
from tests.support.web_forms import Visitor

STUBBORN = instance("stubborn", "--behave", "stubborn", **{"host-manager": {"stop-timeout": 30}})
"""An agent that ignores SIGINT: who asked for its end may wait for long."""

ENTRIES = {
    "daq1": [instance("a"), instance("b"), instance("det/1"), STUBBORN],
    "daq2": [instance("guarded")],
}
GUARDED = ("--stop-timeout", "2", "--min-privs", "2", "--access-policy", "override:two,three")


@pytest.fixture(scope="module")
def site(router, tmp_path_factory) -> Iterator[WebSite]:
    with WebSite(tmp_path_factory.mktemp("doing"), router, ENTRIES) as made:
        made.start_managers("daq1")
        made.start_managers("daq2", options=GUARDED)
        wait_for(lambda: set(states(made, "daq1").values()) == {"up"}, 30, "the agents")
        yield made


@pytest.fixture(scope="module")
def server(site) -> Iterator[WebServer]:
    with WebServer(site.site) as running:
        yield running


@pytest.fixture
def ann(server) -> Visitor:
    """Somebody without a password."""
    return Visitor(server.url)


def children(site: WebSite, host: str) -> dict[str, dict]:
    return clients.children(clients.client(site.hosts[host]))


def states(site: WebSite, host: str) -> dict[str, str]:
    return clients.states(clients.client(site.hosts[host]))


def wait_state(site: WebSite, host: str, name: str, state: str) -> None:
    wait_for(lambda: states(site, host)[name] == state, 30, f"{name} to be {state}")


def wait_end(visitor: Visitor, word: str = "done") -> str:
    """Look again, as a page without scripts does, until the change is over."""
    address = visitor.answer.url.removeprefix(visitor.url)
    wait_for(
        lambda: "http-equiv" not in (visitor.look(address) and visitor.answer.text),
        60,
        "the end of the change",
        lambda: visitor.text,
    )
    assert f": {word}" in visitor.text
    return visitor.text


def send_until_refused(visitor: Visitor, query: dict[str, str], **values: str) -> str:
    """Send the form of a change; a manager that is late refuses when its progress is shown already."""

    def refused() -> str:
        text = visitor.send(visitor.form(), **values)
        if visitor.has_form("/login"):
            return text
        wait_end(visitor, "not all of it was done")
        visitor.look("/change", **query)
        return ""

    return wait_for(refused, 60, "the login", lambda: visitor.text)


def test_what_will_happen_is_shown_and_the_reason_is_kept(site, ann):
    text = ann.look("/change", action="down", host="daq1", id="det/1")
    assert "Stop det/1 on daq1?" in text
    assert "stop on daq1: det/1" in text
    assert states(site, "daq1")["det/1"] == "up"
    ann.send(ann.form(), reason="new cables")
    text = wait_end(ann)
    assert "new cables" in text
    child = children(site, "daq1")["det/1"]
    assert (child["next_action"], child["target_reason"]) == ("down", "new cables")
    assert child["target_by"].startswith("somebody at 127.0.0.1 (web)")
    assert "already down: det/1" in ann.look("/change", action="down", agent="daq1/det/1")


def test_a_form_that_is_sent_twice_is_carried_out_once(site, ann):
    launches = len(site.hosts["daq1"].launches("a"))
    ann.look("/change", action="restart", agent="daq1/a")
    form, answers = ann.form(), []
    threads = [threading.Thread(target=lambda: answers.append(ann.post(form))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers[0].url == answers[1].url
    ann.answer = answers[0]
    wait_end(ann)
    assert ann.post(form).url == answers[0].url
    assert len(site.hosts["daq1"].launches("a")) == launches + 1


def test_what_would_stop_something_else_than_was_shown_is_shown_again(site, ann):
    assert "restart 2 agents on daq1" in ann.look("/change", action="restart", pattern="a b")
    form = ann.form()
    clients.client(site.hosts["daq1"]).update(requests=[("b", "down")])
    wait_state(site, "daq1", "b", "down")
    text = ann.send(form, confirmed="yes", reason="typed")
    assert ann.answer.status_code == 409
    assert "has changed since it was shown. Nothing was sent." in text
    assert "left down: b" in text
    assert ("reason", "typed") in ann.form().fields
    ann.look("/change", action="up", agent="daq1/b")
    ann.send(ann.form())
    wait_end(ann)


def test_more_than_one_agent_is_not_stopped_without_a_yes(site, ann):
    ann.look("/change", action="down", host="daq1")
    text = ann.send(ann.form())
    assert ann.answer.status_code == 409
    assert "Confirm that this will stop 3 agents on daq1. Nothing was sent." in text
    assert states(site, "daq1")["a"] == "up"


def test_a_form_of_another_page_or_of_a_lost_session_sends_nothing(site, ann):
    ann.look("/change", action="down", agent="daq1/a")
    form = ann.form()
    foreign = ann.post(form, headers={"Origin": "http://evil.example"})
    assert foreign.status_code == 403
    ann.session.cookies.clear()
    text = ann.send(form, reason="typed before")
    assert ann.answer.status_code == 403
    assert "Nothing was sent" in text
    assert "typed before" in text
    assert states(site, "daq1")["a"] == "up"
    ann.send(ann.form())
    assert "typed before" in wait_end(ann)
    wait_state(site, "daq1", "a", "down")
    ann.look("/change", action="up", agent="daq1/a")
    ann.send(ann.form())
    wait_end(ann)


def test_a_manager_that_wants_a_password_gets_it_and_then_what_was_typed(site, ann):
    query = {"action": "down", "agent": "daq2/guarded"}
    ann.look("/change", **query)
    text = send_until_refused(ann, query, reason="leak")
    assert "needs credential level 2" in text
    assert states(site, "daq2")["guarded"] == "up"
    ann.send(ann.form("/login"), name="ann", password="wrong")
    text = send_until_refused(ann, query, reason="leak")
    assert "needs credential level 2" in text
    text = ann.send(ann.form("/login"), name="ann", password="two")
    assert "leak" in text
    ann.send(ann.form())
    wait_end(ann)
    child = children(site, "daq2")["guarded"]
    assert (child["next_action"], child["target_reason"]) == ("down", "leak")
    assert child["target_by"] == "ann at 127.0.0.1 (web)"


def test_nobody_gets_the_passwords_of_the_user_who_started_the_server(site, ann):
    """`--privs 2` means a level whose password is in that user's file."""
    ann.look("/login")
    ann.send(ann.form("/login"), name="ann", password="2")
    query = {"action": "silence", "agent": "daq2/guarded"}
    ann.look("/change", **query)
    text = send_until_refused(ann, query)
    assert "this client has 1-BASIC" in text, text


def test_who_is_not_there_is_not_guessed(ann):
    text = ann.look("/change", action="down", pattern="dte/1")
    assert ann.answer.status_code == 400
    assert "there is no agent 'dte/1'. Did you mean 'det/1'?" in text
    assert "There is no such change here" in ann.look("/change/nothing")
    assert ann.answer.status_code == 404


def test_a_thousand_agents_can_be_selected_at_once(ann):
    some = [f"daq1/of-a-large-site/{number:04}" for number in range(1000)]
    assert "there is no agent 'of-a-large-site/0000'" in ann.look(
        "/change", action="down", agent=[*some, "daq1/a"]
    )
    assert ann.answer.status_code == 400


def test_agents_are_silenced_for_a_time_with_a_reason(site, ann):
    ann.look("/change", action="silence", agent="daq1/b")
    assert "not a valid duration" in ann.send(ann.form(), duration="long")
    ann.send(ann.form(), duration="2h", reason="pump exchange")
    wait_end(ann)
    assert children(site, "daq1")["b"]["silenced"]["reason"] == "pump exchange"
    ann.look("/change", action="unsilence", agent="daq1/b")
    ann.send(ann.form())
    wait_end(ann)
    assert not children(site, "daq1")["b"]["silenced"]


def test_a_reload_is_shown_first_and_a_change_of_the_file_meanwhile_again(site, ann):
    site.write(ENTRIES | {"daq1": [*ENTRIES["daq1"], instance("new")]})
    assert "+ new new: TinyAgent (host/up): would be started" in ann.look(
        "/change", action="reload", host="daq1"
    )
    form = ann.form()
    site.write(ENTRIES | {"daq1": [*ENTRIES["daq1"][1:], instance("new")]})
    text = ann.send(form)
    assert "has changed since it was shown" in text
    assert "- a gone: TinyAgent (host): would be stopped and removed" in text
    site.write(ENTRIES | {"daq1": [*ENTRIES["daq1"], instance("new")]})
    ann.send(form)
    wait_end(ann)
    wait_state(site, "daq1", "new", "up")


def test_a_cancelled_change_says_what_goes_on(site, ann):
    ann.look("/change", action="down", agent="daq1/stubborn")
    ann.send(ann.form())
    cancel = ann.form("/cancel")
    assert "stop: under way" in Visitor(ann.url).look("/agent/daq1/stubborn")
    ann.send(cancel)
    text = wait_end(ann, "cancelled; what was requested goes on")
    assert "Still stopping: stubborn." in text
    child = children(site, "daq1")["stubborn"]
    assert child["next_action"] == "wait_dead"
    os.kill(child["pid"], signal.SIGKILL)
    wait_state(site, "daq1", "stubborn", "down")


def test_where_there_is_nothing_to_do_nothing_can_be_confirmed(ann):
    assert "Nothing to pull: no compose files" in ann.look("/change", action="pull", host="daq1")
    assert "daq1: no orphans" in ann.look("/change", action="orphans", host="daq1")
    assert '<form method="post" action="/change"' not in ann.answer.text
    assert "no alarm service" in ann.look("/change", action="ack", incident="1")


def test_a_server_that_only_shows_has_no_buttons_and_takes_no_form(site, ann):
    ann.look("/change", action="down", agent="daq1/a")
    form = ann.form()
    with WebServer(site.site, "--read-only") as server:
        reader = Visitor(server.url)
        assert "Nothing was changed" not in reader.look("/change", action="down", agent="daq1/a")
        assert "<button" not in reader.answer.text
        reader.look("/login")
        form.fields = [*form.fields, *reader.form("/login").fields]
        answer = reader.post(form)
    assert answer.status_code == 403
    assert states(site, "daq1")["a"] == "up"
