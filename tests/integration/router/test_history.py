"""What happened can be asked for: in order, with who asked, and over the manager's own death."""

import json
import os
import signal
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from hostmanager.client.history.journal_event import decode_compact
from tests.integration.router.steps import messages, outcome, send, wait_ready, wait_states
from tests.support.clients import client
from tests.support.sites import instance
from tests.support.waiting import wait_for


def history(hm, **query: Any) -> list[dict[str, Any]]:
    reply = hm.history(**query)
    assert reply.session["success"], reply.session["messages"]
    entries = reply.session["data"]["entries"]
    json.dumps(entries, allow_nan=False)
    assert [e["id"] for e in entries] == sorted(e["id"] for e in entries)
    return entries


def story(entries: list[dict[str, Any]], *kinds: str) -> list[str]:
    return [e["text"] for e in entries if not kinds or e["kind"] in kinds]


def has_order(lines: list[str], *parts: str) -> bool:
    """Whether lines with these parts are there, in this order, others between them or not."""
    left = iter(lines)
    return all(any(part in line for line in left) for part in parts)


def test_requests_and_what_followed_are_shown_in_order(site, begin):
    hm = begin(instance("a"), instance("b"))
    first = wait_ready(site, "a", "b")
    hm.update(requests=[("a", "down")])
    wait_states(hm, a="down")
    hm.update(requests=[("a", "up")])
    second = wait_ready(site, "a")
    wait_states(hm, a="up")
    send(second["a"], signal.SIGKILL)
    wait_for(lambda: len(site.launches("a")) == 3, 20, "a to be launched again")
    third = wait_ready(site, "a")
    wait_states(hm, a="up")
    site.write(instance("a"), instance("b"), instance("c"))
    assert outcome(hm.update(reload_config=True))[0]
    wait_ready(site, "c")
    wait_states(hm, c="up")
    hm.update(requests=[("nobody", "up")])

    entries = history(hm)
    short = decode_compact(hm.history(compact=True, limit=100_000).session["data"]["compact"])
    assert [e.id for e in short] == [e["id"] for e in entries if e["kind"] != "output"]
    some = history(hm, kinds=["exit", "launch"], after=entries[0]["id"], until=time.time())
    assert [e["id"] for e in some] == [
        e["id"] for e in entries[1:] if e["kind"] in {"exit", "launch"}
    ]
    assert has_order(
        story(entries),
        "host manager",
        "tracked, class TinyAgent",
        f"launched (pid {first['a']})",
        "update: a down (client, level 1)",
        "stopping (target down)",
        "exited with code 0",
        "update: a up (client, level 1)",
        f"launched (pid {second['a']})",
        "was ended by SIGKILL (not from the manager; perhaps out of memory) after",
        f"launched (pid {third['a']})",
        "update: reload_config=True (client, level 1)",
        "site config: ",
        "tracked, class TinyAgent",
        "update: Site config read: 1 new",
        "update: nobody up (client, level 1)",
        "update: failed: Request 1",
    ), story(entries)
    assert story(history(hm, instance_id="a"), "request", "result") == [
        "update: a down (client, level 1)",
        "update: a down.",
        "update: a up (client, level 1)",
        "update: a up.",
    ]
    of_b = history(hm, instance_id="b")
    assert {e["instance_id"] for e in of_b} == {"b"}
    assert story(of_b, "launch") == [f"launched (pid {first['b']})"]
    (killed,) = [e for e in entries if e["data"].get("signal") == "SIGKILL"]
    assert (killed["instance_id"], killed["kind"], killed["data"]["expected"]) == (
        "a",
        "exit",
        False,
    )
    since = history(hm, since=killed["time"], limit=10_000)
    assert killed["id"] in [e["id"] for e in since]
    assert all(e["time"] >= killed["time"] for e in since)
    wait_for(
        lambda: any(
            "up pid" in line
            for e in history(hm, instance_id="a")
            for line in e["data"].get("lines", ())
        ),
        10,
        "the last lines of a",
    )
    assert len(history(hm, limit=3)) == 3
    assert history(hm, instance_id="never-heard-of") == []


BAD_QUERIES = [
    ({"limit": 0}, "'limit' must be a whole number from 1 to 10000"),
    ({"limit": 10_001}, "'limit'"),
    ({"limit": "10"}, "'limit'"),
    ({"limit": True}, "'limit'"),
    ({"since": "yesterday"}, "'since' must be a Unix time"),
    ({"since": [1]}, "'since'"),
    ({"since": True}, "'since'"),
    ({"until": "now"}, "'until' must be a Unix time"),
    ({"after": -1}, "'after' must be the id of an entry"),
    ({"kinds": ["explosion"]}, "'kinds' must be a list of these"),
    ({"kinds": "exit"}, "'kinds' must be a list of these"),
    ({"compact": 1}, "'compact' must be True or False"),
    ({"compact": True, "limit": 100_001}, "'limit' must be a whole number from 1 to 100000"),
    ({"instance_id": 5}, "'instance_id'"),
    ({"instance_id": ["a"]}, "'instance_id'"),
]


def test_queries_that_make_no_sense_are_refused_and_odd_ones_answered(site, begin):
    hm = begin()
    for query, part in BAD_QUERIES:
        ok, text = outcome(hm.history(**query))
        assert (ok, part in text) == (False, True), (query, text)
    for name in ("", "é\0'; DROP TABLE entries --", "x" * 100_000):
        assert history(hm, instance_id=name) == []
    assert history(hm, since=-1e300)
    assert history(hm, since=0)
    # While the manager process is not running, too; and not refused when asked at a time.
    hm.manager.stop()
    hm.manager.wait(timeout=60)
    with ThreadPoolExecutor(8) as pool:
        clients = [client(site) for _ in range(8)]
        result = list(pool.map(lambda c: outcome(c.history()), clients))
    assert [ok for ok, _ in result] == [True] * 8
    assert has_order(story(history(hm)), "manager stop", "manager: All agents are down")
    hm.manager.start()
    wait_for(
        lambda: has_order(
            story(history(hm)), "manager stop", "manager: reload_config=True (client"
        ),
        10,
        "the start to be written down",
    )


def spoil(path) -> None:
    path.write_bytes(os.urandom(30_000))


def replace(path) -> None:
    path.unlink()
    path.mkdir()


def delete(path) -> None:
    path.unlink()


def test_a_journal_that_is_spoiled_while_it_is_used_disturbs_nothing(site, begin):
    hm = begin(instance("a"))
    pids = wait_ready(site, "a")
    path = site.state_dir / "journal.sqlite"
    assert path.stat().st_mode & 0o777 == 0o600
    for number, do in enumerate((spoil, replace, delete), start=1):
        do(path)
        hm.update(requests=[("a", "up")])
        entries = history(hm)
        assert "A new one is begun." in entries[0]["text"]
        assert has_order(story(entries), "update: a up (client, level 1)", "update: a up.")
        assert hm.history().session["data"]["trouble"] is None
        wait_for(lambda n=number: messages(hm).count("A new one is begun.") == n, 10, "the news")
    assert wait_ready(site, "a") == pids
    assert len(site.launches("a")) == 1


def test_a_manager_whose_journal_cannot_be_written_says_so_and_works_all_the_same(
    site, start_manager
):
    """Something is in its place that cannot be put aside: a mount would be; a lock is easier."""
    site.write(instance("a"))
    site.state_dir.mkdir(mode=0o700)
    other = sqlite3.connect(site.state_dir / "journal.sqlite", isolation_level=None)
    other.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    start_manager(site, "--stop-timeout", "1")
    hm = client(site)
    wait_ready(site, "a")
    assert outcome(hm.update(requests=[("a", "down")]))[0]
    wait_states(hm, a="down")
    reply = hm.history()
    assert outcome(reply)[0] is False
    assert "locked" in reply.session["data"]["trouble"]
    assert messages(hm).count("retried every minute") == 1
    other.close()
    assert has_order(story(history(hm)), "host manager", "update: a down (client, level 1)")
    wait_for(lambda: "is written again" in messages(hm), 10, "the good news")


def test_history_goes_on_over_the_end_and_the_death_of_the_manager(site, start_manager):
    site.write(instance("a"))
    started = time.time()
    first = start_manager(site)
    wait_ready(site, "a")
    assert first.stop() == 0
    second = start_manager(site)
    wait_ready(site, "a")
    wait_states(client(site), a="up")
    second.kill()
    third = start_manager(site)
    hm = client(site)
    wait_states(hm, a="up")
    entries = history(hm)
    assert has_order(
        story(entries),
        f"started (pid {first.pid})",
        "launched (pid ",
        "SIGTERM",
        "stopping (target down)",
        "exited with code 0",
        f"ended (pid {first.pid})",
        f"started (pid {second.pid})",
        "launched (pid ",
        f"the previous manager (pid {second.pid}) was killed, or the machine went down",
        f"started (pid {third.pid})",
        "adopted, runs as pid ",
    ), story(entries)
    assert all(started - 1 < e["time"] < time.time() + 1 for e in entries)
    events = [e["data"].get("event") for e in entries if e["kind"] == "manager"]
    assert events == ["started", "ended", "started", "vanished", "started"]
    assert [e["data"]["clean"] for e in entries if e["data"].get("event") == "ended"] == [True]
