"""Clients that ask the same manager at the same time: each gets its own answer.

OCS knows the latest session of an operation only, so an answer can be to another client's request.
"""

import threading
from argparse import Namespace
from collections.abc import Callable
from random import Random

import pytest

from hostmanager.client.managers.manager_client import ManagerClient
from hostmanager.client.site_model import read_site
from tests.support.clients import call
from tests.support.sites import instance
from tests.support.waiting import BUSY_MACHINE

CLIENTS = 8
CALLS = 25
LIMIT = 20.0 * BUSY_MACHINE


@pytest.fixture
def connect(site, start_manager) -> Callable[[], ManagerClient]:
    """Make clients of a manager with an agent for each."""
    site.write(*(instance(f"a{n}", "--behave", "chatty", "--total", "40") for n in range(CLIENTS)))
    start_manager(site, "--stop-timeout", "1")
    keys = ("site", "site_hub", "site_http", "site_realm", "address_root")
    args = Namespace(site_file=str(site.file), site_host=site.host, **dict.fromkeys(keys, None))
    read = read_site(args, {})
    return lambda: ManagerClient(read, site.host, site.manager_id, None)


def ask(manager: ManagerClient, number: int, turn: int, random: Random) -> str | None:
    """Ask one thing; returns what is wrong with the answer."""
    name, lines = f"a{number}", 1 + turn
    what = random.choice(("output", "history", "up", "nobody"))
    if what == "output":
        reply = manager.run("output", LIMIT, instance_id=name, lines=lines)
        fits = reply.data.get("instance_id") == name and len(reply.data["lines"]) <= lines
    elif what == "history":
        reply = manager.run("history", LIMIT, instance_id=name, limit=lines)
        whose = {entry["instance_id"] for entry in reply.data["entries"]}
        fits = whose <= {name} and len(reply.data["entries"]) <= lines
    elif what == "up":
        reply = manager.run("update", LIMIT, requests=[[name, "up"]])
        fits = reply.ok and name in reply.text
    else:
        nobody = f"nobody{number}x{turn}"
        reply = manager.run("update", LIMIT, requests=[[nobody, "up"]])
        fits = not reply.ok and nobody in reply.text
    return None if fits else f"{what} of {name}, turn {turn}: {reply}"


def test_two_hundred_calls_of_eight_clients_at_once_never_mix(connect):
    wrong: list[str] = []
    asked: list[int] = []

    def work(number: int) -> None:
        manager, random = connect(), Random(number)
        for turn in range(CALLS):
            try:
                result = ask(manager, number, turn, random)
            except Exception as error:
                result = f"a{number}, turn {turn}: {error!r}"
            asked.append(number)
            wrong.extend([result] if result else [])

    threads = [threading.Thread(target=work, args=(n,), daemon=True) for n in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT * CALLS)
    assert wrong == []
    assert len(asked) == CLIENTS * CALLS


def test_whoever_comes_to_wait_too_late_gets_his_own_answer_all_the_same(site, connect):
    mine, theirs = connect(), connect()
    session = mine.start("update", requests=[["nobody", "up"]])
    assert theirs.run("update", LIMIT, requests=[["a1", "up"]]).ok
    assert call(site, "wait", "update")[2]["success"] is True  # as OCS has it: the latest
    own = mine.refresh_session("update", session)
    assert (own["session_id"], own["success"]) == (session["session_id"], False)
    assert "nobody" in own["messages"][-2][1]
