"""What is measured of a simulated site, and how; each function returns plain figures."""

import contextlib
import fcntl
import json
import os
import pty
import re
import signal
import statistics
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from bench.process_watch import cpu_seconds
from bench.scale_site import SimulatedSite, environ

Figures = dict[str, Any]
SETTLE = 2.0
COMMAND = Path(sys.executable).parent / "hostmanager"
COUNTERS = {"in": "data_segs_in", "out": "data_segs_out", "bytes": "bytes_received"}


# --- what the site uses meanwhile ---------------------------------------------------------------


class Usage:
    """CPU of router and managers, and traffic of the managers' connections, over a while.

    Traffic is what the kernel counts on the router's end of the websockets: segments that carry
    data. A small message is one segment, since both ends send without delay; several that are
    written in the same turn of an event loop can be one together.
    """

    def __init__(self, site: SimulatedSite) -> None:
        self._router = [psutil.Process(pid) for pid in site.router.pids()]
        self._managers = site.managers
        self._port = site.router.port
        self._pids = {process.pid for process in self._managers}
        self._begun = time.monotonic()
        self._before = self._look()

    def _look(self) -> dict[str, float]:
        looked = {
            "router": sum(cpu_seconds(process.pid) for process in self._router),
            "managers": sum(cpu_seconds(process.pid) for process in self._managers),
        }
        return looked | websocket_segments(self._port, self._pids)

    def end(self) -> Figures:
        """What was used since it was made, each second."""
        took = time.monotonic() - self._begun
        after = self._look()
        rate = {key: (after[key] - self._before[key]) / took for key in after}
        return {
            "router_cpu": rate["router"] * 100,
            "manager_cpu": rate["managers"] * 100 / len(self._managers),
            "segments_from_managers": rate["in"],
            "segments_to_managers": rate["out"],
            "bytes_from_managers": rate["bytes"],
            "load": os.getloadavg()[0],
            "seconds": took,
        }


def websocket_segments(port: int, pids: set[int]) -> dict[str, float]:
    """Segments with data since the connections were made, as the router sees them."""
    peers = {
        connection.laddr.port
        for pid in pids
        for connection in psutil.Process(pid).net_connections("tcp")
        if connection.raddr and connection.raddr.port == port
    }
    command = ["ss", "-tinH", "state", "established", f"sport = :{port}"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    totals = dict.fromkeys(COUNTERS, 0.0)
    for head, info in zip(*(iter(text.splitlines()),) * 2, strict=False):
        if int(head.split()[3].rpartition(":")[2]) in peers:
            for key, name in COUNTERS.items():
                match = re.search(rf"\b{name}:(\d+)", info)
                totals[key] += int(match[1]) if match else 0
    return totals


def memory(site: SimulatedSite) -> Figures:
    """Memory, in MB: resident, and proportional (what is shared is divided by who shares it)."""
    managers = [process.memory_full_info() for process in site.managers]
    router = [psutil.Process(pid).memory_full_info() for pid in site.router.pids()]
    return {
        "manager_rss": statistics.median(info.rss for info in managers) / 1e6,
        "manager_pss": statistics.median(info.pss for info in managers) / 1e6,
        "router_rss": sum(info.rss for info in router) / 1e6,
    }


# --- load -----------------------------------------------------------------------------------------


def idle(site: SimulatedSite, seconds: float) -> Figures:
    """Nobody asks for anything."""
    usage = Usage(site)
    time.sleep(seconds)
    return usage.end()


def browsed(site: SimulatedSite, seconds: float) -> Figures:
    """A page that asks each manager for the status of each operation, every second."""
    figures = _with_client(site, "browse", seconds, *site.addresses)
    waits, rounds = sorted(figures.pop("waits")), figures.pop("rounds")
    return figures | {
        "wait_median": statistics.median(waits),
        "wait_p99": waits[int(len(waits) * 0.99)],
        "round_median": statistics.median(rounds),
        "round_worst": max(rounds),
        "rounds": len(rounds),
    }


def listened(site: SimulatedSite, seconds: float) -> Figures:
    """One subscriber to every heartbeat, as OCS's registry is."""
    return _with_client(site, "listen", seconds)


def crowded(site: SimulatedSite, seconds: float, agents: int) -> Figures:
    """The heartbeats of the agents of a real site, and one subscriber to all of them."""
    crowd = site.client("crowd", seconds + 3 * SETTLE, str(agents))
    _wait_ready(crowd)
    figures = _with_client(site, "listen", seconds)
    router = sum(psutil.Process(pid).memory_info().rss for pid in site.router.pids())
    return figures | {"router_rss": router / 1e6} | _answer(crowd)


def _with_client(site: SimulatedSite, what: str, seconds: float, *rest: str) -> Figures:
    """Run a client for a while; the site's usage is of that."""
    client = site.client(what, seconds, *rest)
    _wait_ready(client)
    usage = Usage(site)
    time.sleep(seconds)
    used = usage.end()
    return used | _answer(client)


def _wait_ready(client: "subprocess.Popen[str]") -> None:
    assert client.stdout is not None
    if client.stdout.readline() != "ready\n":
        raise RuntimeError("a client did not come to join; what it said is above")


def _answer(client: "subprocess.Popen[str]") -> Figures:
    out, _ = client.communicate(timeout=120)
    answer: Figures = json.loads(out)
    return answer


def router_restarted(site: SimulatedSite) -> Figures:
    """The router is killed and started again: from its first answer, until all are back."""
    site.router.kill()
    site.router.start()
    begun = time.monotonic()
    site.wait_up()
    return {"back": time.monotonic() - begun}


# --- commands -------------------------------------------------------------------------------------


def run_command(*arguments: str) -> Figures:
    """Run the real command once: how long it took, and how much of that it computed."""
    begun = time.monotonic()
    before = _children_cpu()
    done = subprocess.run(
        [str(COMMAND), *arguments],
        capture_output=True,
        text=True,
        env=environ(),
        check=False,
        timeout=300,
    )
    took = time.monotonic() - begun
    used = _children_cpu() - before
    return {"time": took, "cpu": used, "code": done.returncode, "end": done.stdout[-300:]}


def _children_cpu() -> float:
    times = os.times()
    return times.children_user + times.children_system


def commanded(site: SimulatedSite, site_file: Path, count: int) -> Figures:
    """`status`, and `down --all` and `up --all` in turns, each until all are there."""
    where = ("--site-file", str(site_file))
    figures: Figures = {"status": [run_command("status", *where) for _ in range(count)]}
    figures["down"], figures["up"] = [], []
    for _ in range(max(1, count // 2)):
        for what in ("down", "up"):
            usage = Usage(site)
            run = run_command(what, "--all", "--yes", *where)
            figures[what].append(run | {"router_cpu": usage.end()["router_cpu"]})
    return figures


def watched(
    site: SimulatedSite, site_file: Path, command: list[str], operators: int, seconds: float
) -> Figures:
    """`status --watch`, or what else shows the site live, on a terminal each."""
    arguments = [str(COMMAND), *command, "--site-file", str(site_file)]
    with contextlib.ExitStack() as stack:
        each = [stack.enter_context(on_terminal(arguments)) for _ in range(operators)]
        time.sleep(SETTLE * (1 + operators))
        before = [cpu_seconds(process.pid) for process in each]
        usage = Usage(site)
        time.sleep(seconds)
        used = usage.end()
        after = [cpu_seconds(process.pid) for process in each]
    shares = [(b - a) / used["seconds"] * 100 for a, b in zip(before, after, strict=True)]
    return used | {"command_cpu": statistics.median(shares)}


@contextlib.contextmanager
def on_terminal(arguments: list[str]) -> Iterator[psutil.Process]:
    """Run a command on a terminal of 40 lines of 120 characters that nobody looks at."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    process = subprocess.Popen(
        arguments, stdin=theirs, stdout=theirs, stderr=theirs, env=environ() | {"TERM": "xterm"}
    )
    os.close(theirs)
    threading.Thread(target=_drain, args=(ours,), daemon=True).start()
    try:
        yield psutil.Process(process.pid)
    finally:
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
        process.kill()
        process.wait()
        os.close(ours)


def _drain(terminal: int) -> None:
    with contextlib.suppress(OSError):
        while os.read(terminal, 65536):
            pass
