"""The eyes of the alarm service: which site config they go by."""

import argparse
import threading
from pathlib import Path

import pytest

from hostmanager.alerts.site_watch import SiteWatch
from hostmanager.client.watch.poller import THREAD_NAME

SITE = """\
hub: {wamp_server: "ws://127.0.0.1:9/ws", wamp_http: "http://127.0.0.1:9/call",
      wamp_realm: test_realm, address_root: observatory}
hosts:
  daq1: {agent-instances: [{agent-class: HostManager, instance-id: hm-daq1, arguments: []}]}
"""


@pytest.fixture
def watch(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    names = ("site", "site_host", "site_hub", "site_http", "site_realm", "address_root", "privs")
    options = dict.fromkeys((*names, "reason"), None)
    file = tmp_path / "site.yaml"
    watches = []

    def make(text):
        file.write_text(text)
        args = argparse.Namespace(**options, site_file=str(file), answer_time=1.0)
        watches.append(SiteWatch(args, "alerts"))
        return watches[-1]

    yield make
    for each in watches:
        each.stop()
    for thread in threading.enumerate():  # the next test may be one that allows no connection
        if thread.name.startswith(THREAD_NAME):
            thread.join(30.0)


def test_a_site_config_that_is_broken_at_its_start_keeps_nobody_from_being_told(watch, caplog):
    watch(SITE)
    again = watch("hosts: [")
    assert list(again.site.hosts) == ["daq1"]
    assert "The last copy that could be used" in caplog.text


def test_a_site_that_cannot_be_asked_yet_is_asked_later(watch, monkeypatch):
    watching = watch(SITE)
    before = watching._poller
    Path(watching.site.path).write_text(SITE + "  daq2: {agent-instances: []}\n")

    def start(_):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        with pytest.raises(RuntimeError):
            watching.look()
    assert watching._poller is before
    assert not before._stopped
    watching.look()
    assert list(watching.site.hosts) == ["daq1", "daq2"]
    assert "daq1" in before._stopped
