"""How long the page takes for a month of a site of 150 agents, with journals of realistic size. Ours only.

Real managers, a real crossbar, `hostmanager web`; the journals are written beforehand. The agents are
down: what they do now has nothing to do with their past.
"""

import random
import time
from collections.abc import Iterator

import requests
from tests.support.sites import instance
from tests.support.web import WebServer, WebSite

from bench.experiment import Experiment
from bench.harness import Harness
from bench.model import OURS, Goal, Row, Samples
from bench.process_watch import cpu_seconds
from hostmanager.journal import Entry, EntryKind, Limits
from hostmanager.journal.entry import to_row
from hostmanager.journal.store import Store

HOSTS, AGENTS = 5, 30
MONTH = 30 * 86_400.0
RESTARTS = 20  # of each agent in the month: a reload, a hang, a crash now and then
LOOP = 3000  # cycles of the agent of each host that crashes for some days
_UP = {"to": "up", "target": "up"}


def history(harness: Harness, kind: str, samples: Samples) -> None:
    """The month for the first time, again, of one agent, and as a report; and the first time anew."""
    entries = {
        f"daq{host}": [instance(f"a{host}-{n}", manage="host/down") for n in range(AGENTS)]
        for host in range(HOSTS)
    }
    with WebSite(harness.directory / "history", harness.router, entries) as site:
        for number, (host, part) in enumerate(site.hosts.items()):
            harness.step(f"the journal of {host}")
            part.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            store = Store(part.state_dir / "journal.sqlite", Limits())
            rows = [to_row(entry) for entry in sorted(_month(number), key=lambda e: e.time)]
            samples.setdefault("month_entries", []).append(len(rows))
            for begin in range(0, len(rows), 1000):
                store.append(rows[begin : begin + 1000])
            store.close()
        samples["month_entries"] = [sum(samples["month_entries"])]
        harness.step("starting the managers")
        site.start_managers()
        for number in range(1 if harness.quick else 5):
            harness.step(f"the page, run {number + 1}")
            with WebServer(site.site) as server:
                pids = [server.process.pid, *(m.process.pid for m in site.managers.values())]
                _get(server, "/timeline?from=-1m")  # imports, connections
                for key, path in (
                    ("month_first", "/timeline?from=-30d"),
                    ("month_again", "/timeline?from=-30d"),
                    ("month_agent", "/timeline?from=-30d&host=daq0&id=a0-0"),
                    ("month_report", "/report?from=-30d"),
                ):
                    harness.pause()
                    before = [cpu_seconds(pid) for pid in pids]
                    samples.setdefault(key, []).append(_get(server, path))
                    used = sum(cpu_seconds(pid) for pid in pids) - sum(before)
                    samples.setdefault(f"{key}_cpu", []).append(used)


def _get(server: WebServer, path: str) -> float:
    started = time.monotonic()
    answer = requests.get(server.url + path, timeout=60)
    answer.raise_for_status()
    return time.monotonic() - started


def _month(number: int) -> Iterator[Entry]:
    chance = random.Random(number)
    begin = time.time() - MONTH
    yield Entry(begin, EntryKind.MANAGER, "host manager started", None, {"event": "started"})
    for agent in range(AGENTS):
        name = f"a{number}-{agent}"
        yield Entry(begin + 1, EntryKind.STATE, "tracked", name, {"to": "down", "target": "up"})
        yield Entry(
            begin + 2, EntryKind.LAUNCH, "launched (pid 7)", name, {**_UP, "launched": True}
        )
        for _ in range(RESTARTS):
            yield from _cycle(begin + 60 + chance.random() * (MONTH - 120), name, chance)
        for minute in range(chance.randrange(100)):
            health = {"from": "ok", "to": "degraded"} if minute % 2 else {"from": "x", "to": "ok"}
            when = begin + chance.random() * MONTH
            yield Entry(when, EntryKind.HEALTH, health["to"], name, health)
    looping = begin + chance.random() * MONTH / 2
    for cycle in range(LOOP):
        yield from _cycle(looping + 60 * cycle, f"a{number}-3", chance)


def _cycle(when: float, name: str, chance: random.Random) -> Iterator[Entry]:
    pid, ran_for = chance.randrange(1 << 22), round(chance.random() * 50, 3)
    code = chance.choice((1, 1, 1, 137))
    down = {"from": "up", "to": "waiting", "target": "up", "pid": pid, "code": code}
    down |= {"signal": None, "expected": False, "ran_for": ran_for}
    lines = [f"line {n}: no answer from the device {chance.random()}" for n in range(10)]
    text = f"exited with code {code} after {ran_for} s, unexpectedly"
    yield Entry(when, EntryKind.EXIT, text, name, down)
    yield Entry(when, EntryKind.OUTPUT, lines[-1], name, {"lines": lines})
    start = {"from": "waiting", "to": "starting", "target": "up"}
    yield Entry(when + 10, EntryKind.STATE, "starting (target up)", name, start)
    up = {"from": "starting", "pid": pid, "launched": True, "restarts": 1, **_UP}
    yield Entry(when + 10.2, EntryKind.LAUNCH, f"launched (pid {pid})", name, up)


EXPERIMENTS = (
    Experiment(
        "history",
        (
            Row("month_first", "a month of 150 agents as a page, first look", Goal(median=1.0)),
            Row("month_again", "… again", Goal(median=1.0)),
            Row("month_first_cpu", "… CPU of the page and the managers, first look"),
            Row("month_again_cpu", "… again"),
            Row("month_agent", "… of one agent"),
            Row("month_report", "… as a report"),
            Row("month_entries", "… entries of the journals in it", unit="entries"),
        ),
        history,
        kinds=(OURS,),
    ),
)
