<<<<<<< HEAD:tests/integration/http_bridge/test_site_sessions.py
"""Which site config the sessions of a site go by, as the alarm service and the page follow them."""
=======
"""The alarm service's watch of the site: by which site config it goes."""
>>>>>>> 2298e5e (tests: no private attributes and no fixed sleep in command and systemd):tests/integration/command/test_site_watch.py

import argparse
import threading
import time
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


<<<<<<< HEAD:tests/integration/http_bridge/test_site_sessions.py
def test_a_site_config_that_is_broken_at_its_start_keeps_nobody_from_being_told(follow, caplog):
    follow(SITE)
    again = follow("hosts: [")
=======
def polling(host):
    """The threads that ask a manager."""
    return {t for t in threading.enumerate() if t.name == f"{THREAD_NAME} {host}"}


def test_a_site_config_that_is_broken_at_its_start_keeps_no_message_back(watch, caplog):
    watch(SITE)
    again = watch("hosts: [")
>>>>>>> 2298e5e (tests: no private attributes and no fixed sleep in command and systemd):tests/integration/command/test_site_watch.py
    assert list(again.site.hosts) == ["daq1"]
    assert "The last copy that could be used" in caplog.text


<<<<<<< HEAD:tests/integration/http_bridge/test_site_sessions.py
def test_a_site_that_cannot_be_asked_yet_is_asked_later(follow, monkeypatch):
    sessions = follow(SITE)
    before = sessions.poller
    Path(sessions.site.path).write_text(SITE + "  daq2: {agent-instances: []}\n")
=======
def test_a_site_that_cannot_be_asked_yet_is_asked_later(watch, monkeypatch):
    watching = watch(SITE)
    before = polling("daq1")
    Path(watching.site.path).write_text(SITE + "  daq2: {agent-instances: []}\n")
>>>>>>> 2298e5e (tests: no private attributes and no fixed sleep in command and systemd):tests/integration/command/test_site_watch.py

    def start(_):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        with pytest.raises(RuntimeError):
<<<<<<< HEAD:tests/integration/http_bridge/test_site_sessions.py
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
=======
            watching.look()
    failed_at = time.monotonic()
    watching.ask("daq1")
    wait_for(lambda: watching.asked_at("daq1") > failed_at, 30, "it to be asked all the same")
    assert polling("daq1") == before
    watching.look()
    assert list(watching.site.hosts) == ["daq1", "daq2"]
    wait_for(lambda: before.isdisjoint(polling("daq1")), 30, "it to be asked by one thread only")
>>>>>>> 2298e5e (tests: no private attributes and no fixed sleep in command and systemd):tests/integration/command/test_site_watch.py
