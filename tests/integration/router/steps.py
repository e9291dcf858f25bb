"""What the end-to-end tests do again and again, and how they look at it from outside."""

import os
import signal
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ocs.ocs_client import OCSClient, OCSReply

from tests.support.clients import children, states
from tests.support.managers import OURS, Manager
from tests.support.processes import processes, processes_of
from tests.support.sites import Site
from tests.support.waiting import wait_for

PATIENCE = 20.0
"""Seconds; a bound for things that take a fraction of one on an idle machine."""


PAUSE = 0.02
"""Seconds between two looks: they cost the machine as much as what is looked at."""


class Program(Manager):
    """A manager that is started in another way than the usual one.

    Args:
        site: Whose manager it is.
        argv: The whole command line.
        environment: Variables that are added to ours.
    """

    def __init__(
        self, site: Site, argv: Iterable[str], environment: Mapping[str, str] | None = None
    ) -> None:
        self.site = site
        self.kind = OURS
        self.log_path = site.directory / "manager.log"
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                list(argv),
                cwd=site.working_dir,
                env={**os.environ, **(environment or {}), "HM_TEST_MARK": site.mark},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )


def output_of(site: Site, instance_id: str, directory: Path | None = None) -> str:
    """What all runs of an agent printed so far."""
    path = (directory or site.state_dir / "output") / f"{instance_id}.out"
    try:
        return path.read_text(errors="replace")
    except FileNotFoundError:
        return ""


def wait_ready(site: Site, *ids: str, timeout: float = PATIENCE) -> dict[str, int]:
    """Wait until each has one process, and that minds signals; their pids."""

    def pids() -> dict[str, int] | None:
        processes = processes_of(site)
        ready = {}
        for instance_id in ids:
            one, *more = processes[instance_id]
            launched = [launch.pid for launch in site.launches(instance_id)]
            announced = f"tiny {instance_id} up pid {one}\n" in output_of(site, instance_id)
            if more or not announced or one not in launched:
                return None
            ready[instance_id] = one
        return ready

    return wait_for(pids, timeout, f"{ids} to run", lambda: processes(site), PAUSE)


def wait_gone(site: Site, *ids: str, timeout: float = PATIENCE) -> None:
    """Wait until none of them has a process."""
    wait_for(
        lambda: not set(ids) & processes_of(site).keys(),
        timeout,
        f"{ids} to be gone",
        lambda: processes(site),
        PAUSE,
    )


def wait_states(hm: OCSClient, timeout: float = PATIENCE, /, **expected: str) -> None:
    """Wait until clients are shown these present states."""
    wait_for(
        lambda: expected.items() <= states(hm).items(),
        timeout,
        str(expected),
        lambda: children(hm),
        PAUSE,
    )


def wait_child(
    hm: OCSClient, instance_id: str, timeout: float = PATIENCE, /, **expected: Any
) -> Any:
    """Wait until clients are shown an instance with these entries; all of its entries."""

    def reached() -> Any:
        child = children(hm)[instance_id]
        return child if expected.items() <= child.items() else None

    return wait_for(reached, timeout, f"{instance_id}: {expected}", lambda: children(hm), PAUSE)


def targets(hm: OCSClient) -> dict[str, str]:
    """`target_state` by instance-id."""
    return {name: child["target_state"] for name, child in children(hm).items()}


def outcome(reply: OCSReply) -> tuple[bool, str]:
    """Whether an operation succeeded, and all that it said."""
    return reply.session["success"], "\n".join(text for _, text in reply.session["messages"])


def messages(hm: OCSClient) -> str:
    """What the manager process told people, one message a line."""
    return "\n".join(text for _, text in hm.manager.status().session["messages"])


def parse_status(hm: OCSClient) -> list[Any]:
    """How the latest reading of the site file went."""
    return hm.manager.status().session["data"]["config_parse_status"]["[SCF]"]


def send(pid: int, number: signal.Signals) -> None:
    """Send a signal."""
    os.kill(pid, number)
