"""What is seen when an engine does what a real one does only on a bad night."""

import asyncio
import json

import pytest

from hostmanager.drivers.compose.engine import EngineError
from tests.integration.fake_engine.conftest import until
from tests.integration.fake_engine.server import inspected

A, B, C = "a" * 64, "b" * 64, "c" * 64


def status(watcher, container_id):
    known = watcher.containers.get(container_id)
    return known.status if known else None


async def test_events_are_followed_and_what_is_believed_is_what_inspect_says(fake, watcher):
    fake.put(inspected(A, "one"), inspected(B, "two", project="not ours"))
    watcher.start()
    await until("a list of containers", lambda: watcher.synced)
    assert list(watcher.containers) == [A]
    fake.put(inspected(A, "one", status="exited", ExitCode=3))
    fake.emit_event("oom", A)  # of whatever kind
    await until("its end", lambda: status(watcher, A) == "exited")
    assert watcher.containers[A].exit_code == 3
    fake.put(inspected(C, "three"))
    fake.emit_event("start", C)
    await until("a new one", lambda: status(watcher, C) == "running")
    fake.emit_event("destroy", C)
    await until("its removal", lambda: C not in watcher.containers)


async def test_a_container_that_the_engine_does_not_tell_of_holds_up_nobody(fake, watcher):
    fake.put(inspected(A, "one"), inspected(B, "two"), inspected(C, "three"))
    fake.silent = {B}
    watcher.start()
    await until("a list of containers", lambda: watcher.synced)
    assert {c: (k.status, k.from_list_only) for c, k in watcher.containers.items()} == {
        A: ("running", False),
        B: ("running", True),
        C: ("running", False),
    }
    vague = watcher.containers[B]
    assert (vague.name, vague.project, vague.service) == ("p-two-1", "p", "two")
    assert (vague.digest, vague.image_id, vague.start_stamp) == ("digest", "sha256:1", "")
    fake.put(inspected(A, "one", status="exited"))
    fake.emit_event("die", A, exitCode="0")
    await until("the end of another", lambda: status(watcher, A) == "exited")
    fake.put(inspected(B, "two", status="exited", ExitCode=9))
    fake.emit_event("die", B, exitCode="9")
    await until("its own end, by the list", lambda: status(watcher, B) == "exited")
    assert (watcher.containers[B].exit_code, watcher.exit_codes[B]) == (9, 9)
    fake.silent = set()
    await until("its answer", lambda: not watcher.containers[B].from_list_only)
    assert watcher.synced


async def test_one_that_falls_silent_later_keeps_what_was_known(fake, watcher):
    fake.put(inspected(A, "one"))
    watcher.start()
    await until("a list of containers", lambda: watcher.synced)
    known = watcher.containers[A]
    fake.silent = {A}
    fake.emit_event("pause", A)
    await until("the list to do", lambda: watcher.containers[A].from_list_only)
    assert watcher.containers[A].run_key == known.run_key
    assert watcher.containers[A].pid == known.pid
    before = fake.request_counts[f"/containers/{A}/json"]
    fake.emit_event("unpause", A)
    await until("another look", lambda: fake.request_counts["/containers/json"] > 2)
    assert (
        fake.request_counts[f"/containers/{A}/json"] == before
    )  # it is not asked in vain again at once
    assert watcher.synced


@pytest.mark.parametrize("answer", [b"[]", b'{"Id": 7, "Config": [1]}', b'"what?"', b"{nonsense"])
async def test_nonsense_about_one_container_is_not_believed(fake, watcher, answer):
    fake.put(inspected(A, "one"), inspected(B, "two"))
    fake.answers = {f"/{B}/json": answer}
    watcher.start()
    await until("a list of containers", lambda: watcher.synced)
    assert not watcher.containers[A].from_list_only
    assert watcher.containers[B].from_list_only
    assert watcher.containers[B].status == "running"


async def test_a_container_that_goes_between_list_and_look_is_no_trouble(fake, watcher):
    fake.put(inspected(A, "one"), inspected(B, "two"))
    fake.gone = {B}
    watcher.start()
    await until("a list of containers", lambda: watcher.synced)
    assert list(watcher.containers) == [A]


async def test_a_stream_that_is_cut_in_the_middle_of_a_line_is_followed_anew(fake, watcher):
    fake.put(inspected(A, "one"))
    lost = []
    watcher.on_lost = lost.append
    watcher.start()
    await until("a list of containers", lambda: watcher.synced and fake.followers == 1)
    fake.put(inspected(A, "one", status="exited"))
    fake.send(b'{"Type": "container", "Acti')
    fake.send(None)
    await until("the truth", lambda: status(watcher, A) == "exited")
    await until("another stream", lambda: fake.followers == 1)
    fake.put(inspected(A, "one"))
    fake.emit_event("start", A)
    await until("events again", lambda: status(watcher, A) == "running")
    assert watcher.synced


@pytest.mark.parametrize(
    "line",
    [b"[]", b"7", b"null", b'{"Type": "container", "Actor": 3}', b'{"Actor": {"Attributes": [1]}}'],
)
async def test_an_event_that_makes_no_sense_is_none(fake, watcher, line):
    fake.put(inspected(A, "one"))
    watcher.start()
    await until("a list of containers", lambda: watcher.synced and fake.followers == 1)
    lost = []
    watcher.on_lost = lost.append
    fake.send(line + b"\n")
    fake.put(inspected(A, "one", status="exited"))
    fake.emit_event("die", A, exitCode="0")
    await until("what comes after it", lambda: status(watcher, A) == "exited")
    assert lost == []


@pytest.mark.parametrize("answer", [b"{}", b"[3]", b'[{"Id": 1}]', b"<html>", b""])
async def test_an_engine_that_lists_nonsense_is_reported_and_asked_again(fake, watcher, answer):
    fake.put(inspected(A, "one"))
    fake.answers = {"/containers/json": answer}
    watcher.start()
    await until(
        "a few attempts", lambda: fake.request_counts["/containers/json"] >= 2 or watcher.synced
    )
    if not watcher.synced:
        assert "Docker Engine" in watcher.error
    fake.answers = {}
    fake.emit_event("start", A) if watcher.synced else None
    await until("the truth", lambda: watcher.synced and status(watcher, A) == "running")


async def test_who_gives_up_waiting_for_a_look_does_not_end_it(fake, watcher):
    fake.put(inspected(A, "one"))
    watcher.start()
    await until("a list of containers", lambda: watcher.synced)
    fake.silent = {A}
    fake.put(inspected(A, "one", status="exited"))
    looking = asyncio.ensure_future(watcher.refresh_project("p"))
    await until("the question", lambda: fake.request_counts[f"/containers/{A}/json"] == 2)
    looking.cancel()
    await until("what the list says", lambda: status(watcher, A) == "exited")


async def test_a_failed_call_is_made_up_for(fake, watcher):
    fake.put(inspected(A, "one"))
    watcher.start()
    await until("a list of containers", lambda: watcher.synced)
    messages = []
    watcher.on_synced = lambda: messages.append(status(watcher, A))
    fake.put(inspected(A, "one", status="exited"))
    watcher.check_connection(EngineError("something failed"))
    await until("the truth", lambda: messages == ["exited"])
    assert watcher.synced


async def test_silence_is_asked_about_and_told(fake, watcher, monkeypatch):
    monkeypatch.setattr("hostmanager.drivers.compose.watcher.PING_INTERVAL", 0.1)
    monkeypatch.setattr("hostmanager.drivers.compose.watcher.PING_TIMEOUT", 0.1)
    watcher.start()
    await until("a list of containers", lambda: watcher.synced)
    asked = fake.request_counts["/_ping"]
    await until("being asked", lambda: fake.request_counts["/_ping"] >= asked + 3)
    fake.answers = {"/_ping": json.dumps({"message": "no"}).encode()}
    await until("more", lambda: fake.request_counts["/_ping"] >= asked + 5)
    assert watcher.synced
