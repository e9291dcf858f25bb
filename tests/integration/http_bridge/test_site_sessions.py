"""Which site config the sessions of a site go by, as the alarm service and the page follow them."""

import argparse
import threading
from pathlib import Path

import pytest
from tests.support.waiting import wait_for

from hostmanager.client.watch.poller import THREAD_NAME
from hostmanager.client.watch.site_sessions import SiteSessions

SITE = """\
hub: {wamp_server: "ws://127.0.0.1:9/ws", wamp_http: "http://127.0.0.1:9/call",
      wamp_realm: test_realm, address_root: observatory}
hosts:
  daq1: {agent-instances: [{agent-class: HostManager, instance-id: hm-daq1, arguments: []}]}
"""


@pytest.fixture
def follow(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    names = ("site", "site_host", "site_hub", "site_http", "site_realm", "address_root", "privs")
    options = dict.fromkeys((*names, "reason"), None)
    file = tmp_path / "site.yaml"
    followed = []

    def make(text):
        file.write_text(text)
        args = argparse.Namespace(**options, site_file=str(file), answer_time=1.0)
        followed.append(SiteSessions(args, "alerts", interval=3600.0))
        followed[-1].start()
        return followed[-1]

    yield make
    for each in followed:
        each.stop()
    for thread in threading.enumerate():  # the next test may be one that allows no connection
        if thread.name.startswith(THREAD_NAME):
            thread.join(30.0)


def test_a_site_config_that_is_broken_at_its_start_keeps_nobody_from_being_told(follow, caplog):
    follow(SITE)
    again = follow("hosts: [")
    assert list(again.site.hosts) == ["daq1"]
    assert "The last copy that could be used" in caplog.text


def test_a_site_that_cannot_be_asked_yet_is_asked_later(follow, monkeypatch):
    sessions = follow(SITE)
    before = sessions.poller
    Path(sessions.site.path).write_text(SITE + "  daq2: {agent-instances: []}\n")

    def start(_):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        with pytest.raises(RuntimeError):
            sessions.follow_site_config()
    assert sessions.poller is before
    asked_at = before.requested_at("daq1")
    before.ask("daq1")
    wait_for(lambda: before.requested_at("daq1") > asked_at, what="the poller of before to go on")
    assert sessions.follow_site_config()
    assert list(sessions.site.hosts) == ["daq1", "daq2"]
    wait_for(lambda: polling().count(f"{THREAD_NAME} daq1") == 1, what="the one of before to end")


def polling():
    return [thread.name for thread in threading.enumerate()]
