"""Measure the page of a simulated site: how soon a death is shown, what browsers cost, the first paint.

python -m bench.scale_page
python -m bench.scale_page --hosts 5 --seconds 4 --deaths 5

The site is that of `bench.scale` (docs/scale.md): managers are real, agents simulated. The browser is
a real chromium; docs/performance.md says how to read it.
"""

import argparse
import asyncio
import json
import os
import signal
import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.browser import started_browser
from tests.support.web import WebServer

from bench.page_watch import death_known, death_on_page, followed
from bench.process_watch import cpu_seconds, resident_bytes
from bench.scale import say
from bench.scale_measure import Usage
from bench.scale_site import SimulatedSite, host_name
from hostmanager.client.watch.live_site import LiveSite

if TYPE_CHECKING:
    from playwright.sync_api import Browser

Figures = dict[str, Any]
PAUSE = 0.5  # seconds between two deaths, so that each is the first after a quiet time
SETTLE = 5.0

_PAINT = """async () => {
    const paint = await new Promise((resolve) => {
        const observer = new PerformanceObserver((list) => {
            const [entry] = list.getEntriesByName("first-contentful-paint");
            if (entry) resolve(entry.startTime);
        });
        observer.observe({type: "paint", buffered: true});
    });
    const [page] = performance.getEntriesByType("navigation");
    return {paint, loaded: page.loadEventEnd, bytes: page.transferSize,
        rows: document.querySelectorAll("tbody tr").length};
}"""


def parse() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.scale_page",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--hosts", type=int, default=50)
    parser.add_argument("--agents", type=int, default=20, help="on each host (default: 20)")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each load (default: 10)")
    parser.add_argument("--deaths", type=int, default=20, help="of each kind (default: 20)")
    parser.add_argument("--browsers", type=int, nargs="+", default=[0, 1, 10])
    parser.add_argument("--json", type=Path, metavar="FILE", help="where all samples are kept")
    return parser.parse_args()


class Killer:
    """Has agents die, one host after the other."""

    def __init__(self, site: SimulatedSite) -> None:
        self._site, self._kills = site, 0

    def next(self) -> tuple[str, str]:
        """Who is next: host and agent."""
        round_, number = divmod(self._kills, self._site.hosts)
        host = host_name(number + 1)
        return host, f"{host}-agent{round_ % self._site.agents + 1:02d}"

    def kill(self) -> None:
        """Kill it."""
        manager = self._site.managers[self._kills % self._site.hosts]
        self._kills += 1
        manager.send_signal(signal.SIGUSR1)


def known(site_file: Path, killer: Killer, count: int) -> list[float]:
    """Seconds from a death until who follows the site knows it."""

    async def deaths(live: LiveSite) -> list[float]:
        samples = []
        for _ in range(count):
            await asyncio.sleep(PAUSE)
            samples.append(await death_known(live, killer.next()[1], killer.kill))
        return samples

    return asyncio.run(followed(site_file, deaths))


@contextmanager
def open_pages(browser: "Browser", url: str, count: int) -> Iterator[list[Any]]:
    """So many pages, each of a browser's session of its own."""
    contexts = [browser.new_context() for _ in range(count)]
    try:
        pages = [context.new_page() for context in contexts]
        for page in pages:
            page.goto(url, timeout=60_000)
        yield pages
    finally:
        for context in contexts:
            context.close()


def loaded(
    site: SimulatedSite, server: WebServer, killer: Killer, seconds: float, *, deaths: bool
) -> Figures:
    """What server, router and managers use for a while; with deaths, one each second."""
    usage, before = Usage(site), cpu_seconds(server.process.pid)
    begun = time.monotonic()
    while (left := begun + seconds - time.monotonic()) > 0:
        if deaths:
            killer.kill()
        time.sleep(min(1.0, left))
    used = usage.end()
    share = (cpu_seconds(server.process.pid) - before) / used["seconds"] * 100
    return used | {"server_cpu": share, "server_rss": resident_bytes(server.process.pid) / 1e6}


def painted(browser: "Browser", url: str, count: int = 5) -> list[Figures]:
    """When a new browser has painted the page first, and has loaded all of it."""
    samples = []
    for _ in range(count):
        with open_pages(browser, url, 1) as [page]:
            samples.append(page.evaluate(_PAINT))
    return samples


def measure_page(
    site: SimulatedSite,
    server: WebServer,
    killer: Killer,
    options: argparse.Namespace,
    figures: Figures,
) -> None:
    """Measure all that needs the page, into `figures`."""
    figures["load"] = {}
    url = server.url + "/"
    for count in options.browsers:
        with ExitStack() as stack:
            if count:
                browser = stack.enter_context(started_browser())
                stack.enter_context(open_pages(browser, url, count))
            say(f"{count} browsers")
            time.sleep(SETTLE)
            for name, deaths in (("quiet", False), ("a death each second", True)):
                used = loaded(site, server, killer, options.seconds, deaths=deaths)
                figures["load"][f"{count} browsers, {name}"] = used
    with started_browser() as browser:
        say("first paint")
        figures["paint"] = painted(browser, url)
        say("deaths, on the page")
        with open_pages(browser, url, 1) as [page]:
            figures["page_shown"] = []
            for _ in range(options.deaths):
                time.sleep(PAUSE)
                host, name = killer.next()
                figures["page_shown"].append(death_on_page(page, host, name, killer.kill))


def main() -> None:
    """Measure, and print."""
    options = parse()
    with SimulatedSite(options.hosts, options.agents) as site:
        say(f"{options.hosts} hosts: starting")
        site_file = site.grow(options.hosts)
        killer = Killer(site)
        figures: Figures = {"hosts": options.hosts, "agents": options.hosts * options.agents}
        figures["load_before"] = os.getloadavg()
        say("idle: nobody looks")
        figures["idle"] = idle(site, options.seconds)
        say("deaths, known to who follows")
        figures["live_known"] = known(site_file, killer, options.deaths)
        try:
            with WebServer(site_file) as server:
                measure_page(site, server, killer, options, figures)
        finally:  # what is known is kept, come what may
            if options.json:
                options.json.write_text(json.dumps(figures, indent=1))
    show(figures)


def idle(site: SimulatedSite, seconds: float) -> Figures:
    """Nobody looks."""
    usage = Usage(site)
    time.sleep(seconds)
    return usage.end()


def show(figures: Figures) -> None:
    """Print the figures as the table of docs/performance.md."""
    print(f"{figures['hosts']} hosts, {figures['agents']} agents, load {figures['load_before']}")
    for key in ("live_known", "page_shown"):
        samples = sorted(figures[key])
        middle, worst = statistics.median(samples), samples[-1]
        print(f"{key}: {middle * 1000:.0f} ms, worst {worst * 1000:.0f} ms, n {len(samples)}")
    for key in ("paint", "loaded"):
        samples = [each[key] for each in figures["paint"]]
        print(f"first {key}: {statistics.median(samples):.0f} ms, worst {max(samples):.0f} ms")
    print(f"page: {figures['paint'][0]['bytes'] / 1000:.0f} kB, {figures['paint'][0]['rows']} rows")
    print("| | server | router | each manager | questions/s | load |\n" + "| --- " * 6 + "|")
    quiet = figures["idle"]["segments_to_managers"]
    for name, used in {"nobody looks": figures["idle"], **figures["load"]}.items():
        server = f"{used['server_cpu']:.1f} %" if "server_cpu" in used else "–"
        print(
            f"| {name} | {server} | {used['router_cpu']:.1f} % | {used['manager_cpu']:.2f} % "
            f"| {used['segments_to_managers'] - quiet:.1f} | {used['load']:.1f} |"
        )


if __name__ == "__main__":
    main()
