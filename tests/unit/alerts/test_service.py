"""The service with a sender that a test controls: deaths, receivers that hang, what is kept."""

import threading
from dataclasses import replace

import pytest

from hostmanager.alerts.model import HostSilence, SiteObservation, Subject
from hostmanager.alerts.rules import Rule, Rules
from hostmanager.alerts.send import redact
from hostmanager.alerts.sender import SendResult
from hostmanager.alerts.service import AlarmService
from hostmanager.alerts.state_file import StateDirectoryError, state_directory
from hostmanager.util.secret import Secret
from tests.support.waiting import wait_for
from tests.unit.alerts.alarm_site import CHIEF, ONCALL, finding

AT_ONCE = Rule(wait=0.0, over_after=0.0, notify=("oncall",))
BOTH = (replace(ONCALL, silences=False, urls=(Secret("json://a"), Secret("json://b"))), CHIEF)


class Sender:
    """Keeps what is sent; a URL can hang, or fail."""

    def __init__(self):
        self.sent = []
        self.hanging = {}
        self.failing = set()

    def __call__(self, url, message):
        if url in self.hanging:
            self.sent.append((str(url), message))  # it went out, and nobody says so
            self.hanging[url].wait()
        if url in self.failing:
            return SendResult("connection refused")
        self.sent.append((str(url), message))
        return SendResult()

    def to(self, url):
        return [message for each, message in self.sent if each == url]


@pytest.fixture
def sender():
    sender = Sender()
    yield sender
    for event in sender.hanging.values():
        event.set()


@pytest.fixture
def make(tmp_path, sender):
    return lambda: AlarmService(Rules((AT_ONCE,), BOTH), tmp_path, sender)


def test_a_receiver_that_hangs_holds_nothing_up_and_a_death_loses_nothing(make, sender):
    sender.hanging["json://a"] = threading.Event()
    service = make()
    service.step(SiteObservation((finding(),)))
    wait_for(lambda: sender.to("json://b") and sender.to("json://a"), 5)

    def both_told():
        service.step(SiteObservation((finding(), finding("fake2"))))
        return len(sender.to("json://b")) == 2

    wait_for(both_told, 5)
    wait_for(lambda: not service.status()["receivers"][1]["sending"], 5)
    assert len(sender.to("json://a")) == 1

    # It dies there; the next one tells the first receiver again, and says so, and the other not.
    del sender.hanging["json://a"]
    again = make()
    again.step(SiteObservation((finding(), finding("fake2"))))
    wait_for(lambda: len(sender.to("json://a")) == 2, 5)
    body = sender.to("json://a")[1].body
    assert body.startswith("This may have been sent already")
    assert "fake1 on daq1" in body
    assert "fake2 on daq1" in body
    assert len(sender.to("json://b")) == 2


def test_what_failed_is_shown_and_kept(make, sender):
    sender.failing.add("json://a")
    service = make()
    service.step(SiteObservation((finding(),)))
    wait_for(lambda: service.status()["receivers"][0]["failures"] == 1, 5)
    # The other URL of the same receiver takes it.
    wait_for(lambda: service.status()["incidents"][0]["not_notified"] == [], 5)
    shown = make().status()
    assert shown["receivers"][0]["last_error"] == "connection refused"
    assert shown["receivers"][0]["waiting"] == 1
    assert [incident["number"] for incident in shown["incidents"]] == [1]
    assert "json://a" not in str(shown)


def test_who_could_not_be_notified_yet_is_named(make, sender):
    sender.failing |= {"json://a", "json://b"}
    service = make()
    service.step(SiteObservation((finding(),)))
    wait_for(lambda: all(box["failures"] for box in service.status()["receivers"][:2]), 5)
    assert make().status()["incidents"][0]["not_notified"] == ["oncall"]


def test_a_message_for_which_there_is_no_thread_is_tried_again(make, monkeypatch):
    service = make()

    def start(_):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        service.step(SiteObservation((finding(),)))
    receiver = service.status()["receivers"][0]
    assert (receiver["sending"], receiver["waiting"], receiver["failures"]) == (False, 1, 1)
    assert "limit of threads" in receiver["last_error"]


def test_silences_are_bounded(make, monkeypatch):
    monkeypatch.setattr("hostmanager.alerts.service.MAX_SILENCED", 3)
    service = make()
    assert service.silence("daq2", ["a", "b"], 60.0, "", "")[0]
    assert service.silence("daq3", [], 60.0, "", "")[0]
    ok, text = service.silence("daq4", [], 60.0, "", "")
    assert (ok, "at most 3 agents. End some first." in text) == (False, True)
    for names in (["a" * 300], ["a\nb"]):
        ok, text = service.silence("daq1", names, 60.0, "", "")
        assert (ok, text.startswith("A name has ")) == (False, True)
    assert len(service.status()["silences"]) == 2


def test_what_people_ask_for_is_kept(make):
    service = make()
    service.step(SiteObservation((finding(),)))
    assert service.acknowledge(2, "max@desk", "why") == (
        False,
        "There is no open incident 2; open: 1.",
    )
    assert service.acknowledge("1", "", "")[0] is False
    assert service.acknowledge(1, "max@desk", "why")[0]
    service.silence("daq2", [], 60.0, "max@desk", "power")
    service.silence("daq2", ["fake3"], 60.0, "", "")
    again = make()
    assert again.status()["incidents"][0]["acknowledged_by"] == "max@desk"
    assert [each["agents"] for each in again.status()["silences"]] == [(), ("fake3",)]
    assert again.end_silence("daq2", [])[0]
    assert again.end_silence("daq2", []) == (
        False,
        "There was no silence for host daq2 and its agents.",
    )
    assert HostSilence("daq2", ("fake3",), 0.0).covers(Subject("daq2", "fake3"))


def test_a_state_that_makes_no_sense_is_kept_aside(make, tmp_path, caplog):
    (tmp_path / "alerts.json").write_text('{"format": 1, "alerts": 3}')
    make().step(SiteObservation((finding(),)))
    assert (tmp_path / "alerts.unreadable").is_file()
    assert "Receivers are notified anew of what is wrong now" in caplog.text
    assert make().open_incidents == 1


def test_the_notices_of_a_receiver_that_was_removed_go_to_the_first_one(make, sender, tmp_path):
    sender.failing.add("json://a")
    service = make()
    service.step(SiteObservation((finding(),)))
    wait_for(lambda: service.status()["receivers"][0]["failures"] == 1, 5)
    rules = Rules((replace(AT_ONCE, notify=("chief",)),), (CHIEF,))
    AlarmService(rules, tmp_path, sender).step(SiteObservation((finding(),)))
    wait_for(lambda: sender.to("json://chief"), 5)
    assert "Incident 1" in sender.to("json://chief")[0].body


def test_the_state_directory_is_for_its_user_alone(tmp_path):
    made = state_directory(None, "alerts", "/site.yaml", {"XDG_STATE_HOME": str(tmp_path)})
    assert made.stat().st_mode & 0o777 == 0o700
    assert state_directory(None, "a", "b", {"STATE_DIRECTORY": str(made)}) == made
    other = state_directory(None, "alerts", "/other.yaml", {"XDG_STATE_HOME": str(tmp_path)})
    assert other != made
    made.chmod(0o755)
    with pytest.raises(StateDirectoryError, match="Users other than its owner can read"):
        state_directory(str(made), "alerts", "/site.yaml", {})


def test_every_part_of_a_url_is_replaced():
    url = "mailto://user:passw0rd@mail.example.org/path-t0ken?to=a@b.org&key=k%65yvalue"
    text = "cannot reach mail.example.org as user with passw0rd: path-t0ken, keyvalue refused"
    assert redact(text, url) == "cannot reach *** as *** with ***: ***, *** refused"
