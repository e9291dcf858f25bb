"""An agent dies: until who follows the site knows it, and until it is on the page in a browser. Ours only."""

import asyncio
import os
import shutil
import signal
from contextlib import ExitStack

from tests.support.browser import PROGRAMS, started_browser
from tests.support.web import WebServer

from bench.experiment import Experiment
from bench.harness import Harness, Run, agents, ids
from bench.model import OURS, CannotMeasureError, Goal, Row, Samples
from bench.page_watch import death_known, death_on_page, followed
from hostmanager.client.watch.live_site import LiveSite

GOAL = Goal(median=0.3, p99=0.3)


def page(harness: Harness, kind: str, samples: Samples) -> None:
    """Kill a fresh agent for each sample: real agents, one host, a real crossbar and browser."""
    count = 10 if harness.quick else 40
    entries = agents(2 * count)
    names = ids(entries)
    with harness.running(kind, entries) as run:
        pids = run.all_launched(names)
        run.wait_states(dict.fromkeys(names, "up"))

        async def deaths(live: LiveSite) -> list[float]:
            known = samples.setdefault("live_known", [])
            for number, name in enumerate(names[:count], 1):
                harness.step(f"known: {number} of {count}")
                await asyncio.to_thread(harness.pause)
                known.append(await death_known(live, name, _killing(pids[name])))
            return known

        asyncio.run(followed(run.site.file, deaths))
        if not any(map(shutil.which, PROGRAMS)):
            raise CannotMeasureError("chromium is not installed")
        shown = samples.setdefault("page_shown", [])
        _on_page(harness, run, {name: pids[name] for name in names[count:]}, shown)


def _on_page(harness: Harness, run: Run, pids: dict[str, int], samples: list[float]) -> None:
    with ExitStack() as stack:
        server = stack.enter_context(WebServer(run.site))
        browser_page = stack.enter_context(started_browser()).new_page()
        browser_page.goto(server.url + "/")
        for number, (name, pid) in enumerate(pids.items(), 1):
            harness.step(f"on the page: {number} of {len(pids)}")
            harness.pause()
            samples.append(death_on_page(browser_page, run.site.host, name, _killing(pid)))


def _killing(pid: int):  # noqa: ANN202
    return lambda: os.kill(pid, signal.SIGKILL)


EXPERIMENTS = (
    Experiment(
        "page",
        (
            Row("live_known", "killed −9 → known to who follows the site", GOAL, show_p99=True),
            Row("page_shown", "killed −9 → on the page in a browser", GOAL, show_p99=True),
        ),
        page,
        kinds=(OURS,),
    ),
)
