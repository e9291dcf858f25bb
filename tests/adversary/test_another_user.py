"""Another user of the host changes nothing: each run is compared with one without him."""

import asyncio
import os
import re
import signal
import stat
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil
from hypothesis import given

from hostmanager.core import events as ev
from hostmanager.core.events import StopStage
from hostmanager.core.model import InstanceSpec
from tests.adversary.actions import (
    DEEDS,
    SLEEP,
    Churn,
    Deed,
    Mark,
    Named,
    Stamped,
    Target,
    adversary,
    socket_names,
)
from tests.integration.process.conftest import Host
from tests.support.clients import children, client, states
from tests.support.processes import alive, processes, processes_of
from tests.support.seeds import examples
from tests.support.sites import Site, instance
from tests.support.users import needs_root
from tests.support.waiting import wait_for

LEAVES = ("/bin/sh", "-c", "setsid /bin/sleep 1000 & exec /bin/sleep 1000")
"""An agent that leaves somebody behind, in a session of his own."""


# --- the driver: what is found, launched, signalled -------------------------------------------


@needs_root
@given(before=DEEDS, meanwhile=DEEDS)
@examples(10, shrink=False)
def test_what_is_found_launched_and_signalled_is_the_same(before, meanwhile):
    assert asyncio.run(a_life(before, meanwhile)) == asyncio.run(a_life((), ()))


async def a_life(before: Sequence[Deed], meanwhile: Sequence[Deed]) -> list[Any]:
    """Launch two agents, look for them as the next manager would, kill them; what was seen."""
    seen: list[Any] = []
    with tempfile.TemporaryDirectory() as directory, adversary() as other:
        host = Host(Path(directory))
        try:
            variables = host.owner.environment(InstanceSpec("a", "Any"))

            async def do(deeds: Sequence[Deed]) -> None:
                for deed in deeds:
                    await asyncio.to_thread(other.do, deed, Target(variables, host.pids))

            await do(before)
            seen.append(await asyncio.to_thread(host.owner.discover))
            a, b = await host.launch("a", *SLEEP), await host.launch("b", *LEAVES)
            await asyncio.to_thread(wait_for, lambda b=b: runs_its_own(b), 60)
            await do(meanwhile)
            runs = await asyncio.to_thread(host.owner.discover)
            left = psutil.Process(b).children()
            seen.append(
                {i: (f.pid == {"a": a, "b": b}[i], len(f.other_pids)) for i, f in runs.items()}
            )
            os.kill(a, signal.SIGKILL)
            seen.append(await host.next("a"))
            os.kill(b, signal.SIGKILL)
            report = await host.next("b")
            assert isinstance(report, ev.ExitedWithRemnants), report
            seen.append((report.status, len(report.remnants)))
            host.driver.signal("b", StopStage.KILL)
            seen.append(await host.next("b"))
            seen.append([alive(process.pid) for process in left])
            seen.append(await asyncio.to_thread(host.owner.discover))
            assert other.unharmed()
        finally:
            host.driver.close()
            for process in host.processes():
                if process not in map(psutil.Process, (p.pid for p in other.processes)):
                    process.kill()
    return seen


def runs_its_own(pid: int) -> bool:
    """Whether it and what it leaves behind have executed their programs.

    In the middle of that, a process has no environment.
    """
    us = [psutil.Process(pid), *psutil.Process(pid).children()]
    return [process.cmdline() for process in us] == [["/bin/sleep", "1000"]] * 2


# --- the manager: what is shown, read and written ----------------------------------------------

PLANTED = {
    "a.out": "link",
    "a.out.times": "fifo",
    "a.out.1": "hard link",
    "b.out": "fifo",
    "b.out.1": "file",
    "{log}": "link",
}
"""What lies in the log directory before the manager starts."""

ALL_DEEDS: list[Deed] = [
    *(Mark(i, "now", secret) for i in ("a", "b", "c") for secret in (False, True)),
    *(Mark("a", ticks, True) for ticks in ("0", "9" * 5000, "²")),
    *(Mark(odd, "now", False) for odd in ("", "..", "a b\n", "x" * 300)),
    *(Stamped("a"), Stamped("b"), Named("ocs-agent:a"), Churn()),
]


@needs_root
def test_what_a_manager_shows_does_reads_and_writes_is_the_same(make_site, router, start_manager):
    """All deeds at once, in a log directory that he may write to, with its socket names taken."""
    beside_him = a_day(make_site(router), start_manager, hostile=True)
    assert beside_him == a_day(make_site(router), start_manager, hostile=False)


def a_day(site: Site, start_manager, *, hostile: bool) -> dict[str, Any]:
    """Agents start, die, are told; the manager is killed and comes again: what was to be seen."""
    logs, secret = a_shared_log_dir(site)
    seen: dict[str, Any] = {}
    with adversary() as other:
        manager = start_manager(site)
        wait_states(site, a="up", b="up")
        target = Target(variables(site, "a"), {i: p[0] for i, p in processes_of(site).items()})
        names = socket_names(manager.pid)
        assert names, "no name to be taken"
        wait_printed(client(site), a=1, b=1)
        assert manager.stop() == 0
        if hostile:
            for name in names:
                other.squat(name)
            for name, kind in PLANTED.items():
                log = f"{site.address_root}.{site.manager_id}.log"
                other.plant(logs / name.format(log=log), kind, secret)
            for deed in ALL_DEEDS:
                other.do(deed, target)

        manager = start_manager(site)
        wait_states(site, a="up", b="up")
        target = Target(variables(site, "a"), {i: p[0] for i, p in processes_of(site).items()})
        for deed in ALL_DEEDS if hostile else ():
            other.do(deed, target)
        hm = client(site)
        wait_printed(hm, a=2, b=2)
        os.kill(target.leaders["a"], signal.SIGKILL)
        wait_for(lambda: children(hm)["a"]["restarts"] == 1, 60, "the relaunch")
        wait_states(site, a="up", b="up")
        wait_printed(hm, a=3)
        seen["last exit"] = children(hm)["a"]["last_exit"]["signal"]
        seen["told down"] = hm.update(requests=[("b", "down")]).session["success"]
        wait_states(site, a="up", b="down")
        running = processes_of(site)
        manager.kill()

        manager = start_manager(site)
        wait_states(site, a="up", b="down")
        hm = client(site)
        seen["the same processes"] = processes_of(site) == running
        seen["children"] = {name: shown(child) for name, child in children(hm).items()}
        outputs = {i: output(hm, i) for i in ("a", "b")}
        seen["output"] = {
            i: {words(t) for _, t in outputs[i]["lines"]} - {PYTHONS} for i in outputs
        }
        seen["files"] = {
            i: [re.sub(r".*/(state|work)/", r"\1/", file) for file in data["files"]]
            for i, data in outputs.items()
        }
        seen["end"] = manager.stop()
        seen["errors"] = [line for line in manager.output().splitlines() if "Traceback" in line]
        seen["left"] = [
            process.title for process in processes(site) if process.kind != "log daemon"
        ]
        assert other.unharmed()
    seen["ours"] = sorted(owners(site.state_dir))
    assert secret.read_text() == "secret\n"
    if hostile:
        theirs = {path.name: path.lstat().st_uid for path in logs.iterdir()}
        assert len(theirs) == len(PLANTED), "something was written, moved or removed there"
    return seen


def a_shared_log_dir(site: Site) -> tuple[Path, Path]:
    """A log directory that everybody may write to, and a file that is nobody's business."""
    logs, secret = site.working_dir / "logs", site.directory / "secret"
    logs.mkdir()
    logs.chmod(0o777)
    secret.write_text("secret\n")
    secret.chmod(0o600)
    site.write(instance("a"), instance("b"), **{"log-dir": "logs"})
    return logs, secret


def variables(site: Site, instance_id: str) -> dict[str, str]:
    """What one of our agents has in its environment."""
    (pid,) = processes_of(site)[instance_id]
    entries = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    environ = dict(os.fsdecode(entry).split("=", 1) for entry in entries if b"=" in entry)
    return {name: value for name, value in environ.items() if name.startswith("OCS_HOSTMANAGER")}


def wait_states(site: Site, **expected: str) -> None:
    wait_for(
        lambda: states(client(site)) == expected, 90, f"{expected}", lambda: states(client(site))
    )


def output(hm, instance_id: str) -> dict[str, Any]:
    """What the manager says that an agent printed."""
    return hm.output(instance_id=instance_id).session["data"]


def wait_printed(hm, **runs: int) -> None:
    """Wait until so many runs of each agent have begun to work.

    An agent is up as soon as it exists: one that is told down in that moment never says a word.
    """

    def begun(instance_id: str) -> int:
        return sum("up pid" in text for _, text in output(hm, instance_id)["lines"])

    for instance_id, number in runs.items():
        wait_for(
            lambda i=instance_id, n=number: begun(i) >= n,
            20,
            f"{number} runs of {instance_id} that have printed",
            lambda i=instance_id: output(hm, i),
        )


PYTHONS = "(a line of python's)"


def words(text: str) -> str:
    """A line of a tiny agent without its numbers; what Python and OCS print is not always so."""
    return re.sub(r"\d+", "N", text) if text.startswith("tiny ") else PYTHONS


def shown(child: dict[str, Any]) -> dict[str, Any]:
    """What of a child state is the same on another day."""
    keys = ("instance_id", "agent_class", "target_state", "next_action", "operable", "message")
    return {key: child[key] for key in (*keys, "restarts", "restart_required")}


def owners(directory: Path) -> Iterator[tuple[str, int, int]]:
    """Name, owner and kind of all that is in a directory, numbers in names left out."""
    for path in directory.rglob("*"):
        status = path.lstat()
        name = re.sub(r"\d+", "N", str(path.relative_to(directory)))
        yield name, status.st_uid, stat.S_IFMT(status.st_mode)
