"""The pages of agents and of their output, over HTTP: a router, a manager, agents, `hostmanager web`."""

import json
import os
import signal
from collections.abc import Iterator
from html import unescape

import pytest
import requests
from tests.support.sites import instance
from tests.support.waiting import wait_for
from tests.support.web import WebServer, WebSite

ODD = "det/<b>&'ü'"

ENTRIES = {
    "daq1": [
        instance("acu"),
        instance(ODD),
        instance("crash", "--behave", "exit-at-once", "--code", 7),
        instance("spare", "--password", "hushhush", manage="host/down"),
        instance("mine", manage="ignore"),
    ],
    "daq2": [instance("pump")],
}


@pytest.fixture(scope="module")
def web_site(router, tmp_path_factory) -> Iterator[WebSite]:
    """`daq1` has a manager that answers; that of `daq2` does not run."""
    with WebSite(tmp_path_factory.mktemp("web"), router, ENTRIES) as site:
        site.start_managers("daq1")
        yield site


@pytest.fixture(scope="module")
def server(web_site) -> Iterator[WebServer]:
    with WebServer(web_site.site) as running:
        wait_for(lambda: "sev-ok" in get(running, "/agent/daq1/acu").text, 20, "acu to be up")
        yield running


def get(server, path, **kwargs):
    return requests.get(server.url + path, timeout=30, **kwargs)


def text_of(answer):
    return unescape(answer.text)


def test_an_agent_has_its_state_its_reason_its_last_exit_and_a_countdown(server):
    def page():
        text = text_of(get(server, "/agent/daq1/crash"))
        # The page does not wait for the journal of a manager that is busy.
        parts = ("data-until", "Last exit", "Output of the run of")
        return text if all(part in text for part in parts) else ""

    text = wait_for(page, 20, "the agent to wait for its next attempt")

    assert "It exited with code 7" in text
    assert "tiny crash: no answer from the device" in text
    assert "next attempt in" in text
    assert "heartbeat.timeout" in text
    assert "exited with code 7" in text[text.index("What happened") :]


def test_no_secret_is_among_the_arguments(server):
    text = text_of(get(server, "/agent/daq1/spare"))

    assert "--password ***" in text
    assert "hushhush" not in text


@pytest.mark.parametrize("name", ["det%2F%3Cb%3E%26%27%C3%BC%27", "det/%3Cb%3E%26'%C3%BC'"])
def test_an_id_may_have_any_characters_that_an_id_may_have(server, name):
    page = get(server, f"/agent/daq1/{name}")

    assert page.status_code == 200
    assert "<b>" not in page.text
    assert f"<h1>{ODD} " in text_of(page)
    assert get(server, f"/output/daq1/{name}").status_code == 200


@pytest.mark.parametrize("page", ["agent", "output"])
def test_an_id_that_is_not_there_leads_to_the_nearest(server, page):
    answer = get(server, f"/{page}/daq1/acv")

    assert answer.status_code == 404
    assert "There is no agent 'acv' on host 'daq1'." in text_of(answer)
    assert 'href="/agent/daq1/acu"' in answer.text
    assert get(server, f"/{page}/nowhere/acu").status_code == 404


def test_an_agent_that_nobody_manages_has_neither_output_nor_history(server):
    text = text_of(get(server, "/agent/daq1/mine"))

    assert "not managed" in text
    assert "What happened" not in text


def test_a_host_without_an_answer_is_named_and_its_agents_are_greyed(server):
    def page():
        text = text_of(get(server, "/agent/daq2/pump"))
        return text if "is not at the router" in text else ""

    text = wait_for(page, 20, "the manager of daq2 to be missed")

    assert 'class="panel old"' in text
    assert "sev-unknown" in text
    assert "The manager of daq2 does not answer" in text
    assert "is not at the router" in text_of(get(server, "/output/daq2/pump"))
    stream = get(server, "/output/daq2/pump?as=stream")
    assert "is not at the router" in stream.text
    assert stream.text.startswith("id: \ndata: {")


def test_output_is_searched_and_kept_as_a_file(server):
    def found():
        text = text_of(get(server, "/output/daq1/acu", params={"search": "RENAMING this"}))
        return text if "Renaming this process" in text else ""

    text = wait_for(found, 10, "the agent to print something")
    file = get(server, "/output/daq1/acu", params={"as": "text", "search": "renaming"})
    lines = get(server, "/output/daq1/acu", params={"as": "jsonl", "lines": 3}).text.splitlines()

    assert "Args:" not in text[text.index('role="log"') :]
    assert file.headers["Content-Disposition"] == "attachment; filename*=UTF-8''acu.log"
    assert len(file.text.splitlines()) == 1
    assert "Renaming this process" in file.text
    assert len(lines) == 3
    assert json.loads(lines[0])["instance_id"] == "acu"
    nothing = get(server, "/output/daq1/acu", params={"level": "critical"})
    assert "No matching lines." in nothing.text
    wrong = get(server, "/output/daq1/acu", params={"level": "loud"})
    assert (wrong.status_code, "'loud' is not a level" in text_of(wrong)) == (400, True)


def test_the_output_of_a_run_is_not_that_of_the_next_one(server, web_site):
    def runs():
        text = text_of(get(server, "/agent/daq1/crash"))
        links = [part.split('"')[0] for part in text.split('href="/output/daq1/crash?since=')[1:]]
        return [link for link in links if "&until=" in link]

    link = wait_for(runs, 20, "a run that has ended")[0]

    text = text_of(get(server, f"/output/daq1/crash?since={link}"))

    assert text.count("tiny crash: no answer from the device") == 1


def test_the_site_config_has_its_lines_and_what_a_reload_would_change(server, web_site):
    before = text_of(get(server, "/config"))
    web_site.write(ENTRIES | {"daq1": [*ENTRIES["daq1"], instance("new/1", manag="up")]})

    def page():
        text = text_of(get(server, "/config/daq1"))
        return text if "would be started" in text and "'manag'" in text else ""

    text = wait_for(page, 20, "the change to be seen")

    assert "No host would change with a reload" in before
    assert "Read " in before
    assert "nothing reads the key 'manag'" in text
    assert "The file differs from what its manager has read." in text
    assert "<strong>add</strong> new/1" in text
    assert "daq2" in text[text.index("The file") :]
    assert "hushhush" not in text + before
    line = text.split('add</strong> new/1 <a href="#L')[1].split('"')[0]
    assert "instance-id: new/1" in text.split(f'<li id="L{line}">')[1].split("</li>")[0]
    assert "does not answer" in text_of(get(server, "/config/daq2"))
    assert get(server, "/config/daq3").status_code == 404


def test_new_lines_come_by_themselves_to_all_who_look(server, web_site):
    """That one reader serves them all is in `tests/unit/web/feeds/test_output.py`."""
    address = "/output/daq1/acu?as=stream"
    first = get(server, address, stream=True)
    position, _ = next(events(first))
    first.close()
    streams = [get(server, f"{address}&from={position}", stream=True) for _ in range(10)]
    read = [events(stream) for stream in streams]
    assert all(next(each)[1]["lines"] == [] for each in read)

    os.kill(web_site.hosts["daq1"].launches("acu")[-1].pid, signal.SIGKILL)

    for stream, each in zip(streams, read, strict=True):
        assert stream.headers["Content-Type"].startswith("text/event-stream")
        assert any("Renaming this process" in text for text in texts(each))
        stream.close()


def events(stream):
    """Position and data of the events of a stream."""
    position = ""
    for line in stream.iter_lines(chunk_size=1):
        name, _, value = line.decode().partition(": ")
        position = value if name == "id" else position
        if name == "data":
            yield position, json.loads(value)


def texts(read):
    """The texts of the lines that come."""
    return (line["text"] for _, data in read for line in data["lines"])
