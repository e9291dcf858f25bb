"""Timeline, history and report over HTTP: a router, a manager that is killed, agents, the page."""

import re
from collections.abc import Iterator
from html import unescape

import pytest
import requests
from tests.support.clients import client
from tests.support.sites import instance
from tests.support.waiting import wait_for
from tests.support.web import WebServer, WebSite


@pytest.fixture(scope="module")
def web_site(router, tmp_path_factory) -> Iterator[WebSite]:
    """`daq1` has a past: a request, a silence, a crash, a manager that was killed; `daq2` has none."""
    crash = instance("det/crash", "--behave", "exit-at-once", "--code", 7)
    entries = {"daq1": [instance("acu"), crash], "daq2": [instance("pump")]}
    with WebSite(tmp_path_factory.mktemp("web"), router, entries) as site:
        site.start_managers("daq1")
        manager = client(site.site)
        down = {"requests": [("acu", "down")], "requested_by": "ann@desk", "reason": "<b>cable</b>"}
        assert manager.update(**down).session["success"]
        manager.silence(instances=["acu"], seconds=600, requested_by="bob@desk")
        wait_for(lambda: "exit" in kinds(manager, "det/crash"), 20, "a crash")
        wait_for(lambda: "exit" in kinds(manager, "acu"), 20, "acu to be down")
        site.managers["daq1"].kill()
        site.start_managers("daq1")
        yield site


@pytest.fixture(scope="module")
def server(web_site) -> Iterator[WebServer]:
    with WebServer(web_site.site) as running:
        wait_for(lambda: "det/crash" in text_of(running, "/timeline"), 20, "the journal")
        yield running


def kinds(manager, name):
    entries = manager.history(instance_id=name).session["data"]["entries"]
    return [entry["kind"] for entry in entries]


def get(server, path):
    return requests.get(server.url + path, timeout=30)


def text_of(server, path):
    answer = get(server, path)
    assert answer.status_code == 200, unescape(answer.text)
    return unescape(answer.text)


def test_the_timeline_of_the_site_has_the_worst_first_and_what_does_not_answer(server):
    text = text_of(server, "/timeline?from=-1h")
    assert re.search(r"det/crash: did not work [^\"]*exited unexpectedly", text)
    assert text.index(">det/crash</a>") < text.index(">acu</a>")
    assert "The manager of daq1" not in text
    assert "the manager of daq1: did not run once" in text
    assert "daq2: hm-daq2 is not at the router" in text


def test_an_agent_has_its_states_and_requests_as_tables_and_gaps_where_nobody_watched(server):
    page = get(server, "/timeline?host=daq1&id=acu&from=-1h").text
    assert "<b>cable" not in page
    text = unescape(page)
    assert "update: acu down (ann@desk, level 1): <b>cable</b>" in text
    assert "silence: acu for 10 m 00 s (bob@desk, level 1)" in text
    states = re.findall(r'class="sev-\w+">([\w ,]+)</span>', text[text.index("States") :])
    assert [state for state in states if state in {"down", "up", "unknown"}][:2] == [
        "down",
        "unknown",
    ]


def test_the_history_is_found_by_kind_and_page_by_page(server, web_site):
    text = text_of(server, "/history?host=daq1&kind=request&fold=0")
    assert "update: acu down" in text
    assert "launched (pid" not in text
    everything = client(web_site.site).history(limit=10_000).session["data"]["entries"]
    started = [entry for entry in everything if "started" in entry["text"]][-1]
    text = text_of(server, f"/history?host=daq1&from=-1h&to={started['time']:.6f}")
    assert "adopted, runs as pid" not in text
    assert "update: acu down" in text


def test_a_report_has_the_output_before_a_crash_and_can_be_had_as_markdown(server):
    text = text_of(server, "/report?host=daq1&from=-1h")
    assert "tiny det/crash: no answer from the device" in text
    answer = get(server, "/report?host=daq1&from=-1h&as=markdown")
    assert answer.headers["Content-Type"].startswith("text/markdown")
    assert re.search(r'attachment; filename="report-daq1-[\w.-]+\.md"', str(answer.headers))
    assert "    tiny det/crash: no answer from the device" in answer.text
    assert r"det/crash on daq1: did not work" in answer.text
    assert r"(ann@desk, level 1): \<b\>cable" in answer.text


@pytest.mark.parametrize(
    ("address", "status", "part"),
    [
        ("/timeline?from=yesterday", 400, "write an age such as -24h"),
        ("/report?from=-1h&to=-2h", 400, "must be before 'to'"),
        ("/history?kind=explosion", 400, "it must be one of manager, request"),
        ("/report?as=pdf", 400, "it must be page or markdown"),
        ("/timeline?host=daq3", 404, "no host 'daq3'"),
        ("/timeline?host=daq1&id=acv", 404, "no agent 'acv' on host 'daq1', nor was there one"),
    ],
)
def test_an_address_that_makes_no_sense_is_answered_with_what_would(server, address, status, part):
    answer = get(server, address)
    assert (answer.status_code, part in unescape(answer.text)) == (status, True), answer.text


def test_a_manager_that_falls_silent_leaves_what_it_told_before(server, web_site):
    web_site.managers["daq1"].kill()

    def page():
        text = text_of(server, "/timeline?from=-1h")
        return text if "what it reported before is shown" in text else ""

    text = wait_for(page, 20, "the page to see it")
    web_site.start_managers("daq1")
    assert ">det/crash</a>" in text
