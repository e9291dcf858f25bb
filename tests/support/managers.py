"""A host manager as a real process: ours, or the reference."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Self

from tests.support import clients, fork_server
from tests.support.fork_server import ForkedProcess
from tests.support.sites import Site
from tests.support.waiting import wait_for

OURS = "ours"
REFERENCE = "reference"
# Variables that ocs-agent-cli reads: a developer's own must not get into the tests.
_FOREIGN = [
    "INSTANCE_ID",
    "SITE_HOST",
    "SITE_HUB",
    "SITE_HTTP",
    "CROSSBAR_TIMEOUT",
    "OCS_CONFIG_DIR",
    "PYTHONDONTWRITEBYTECODE",
    "SPT_NOENV",
]


def default_kind() -> str:
    """Which manager the tests run: ours, or what ``HM_TEST_MANAGER`` says."""
    return os.environ.get("HM_TEST_MANAGER", OURS)


def command(
    kind: str, site: Site, options: Iterable[str] = (), python: str = sys.executable
) -> list[str]:
    """The command line that starts a manager of that kind for the site."""
    common = ["--instance-id", site.manager_id, *site.args, "--working-dir", str(site.working_dir)]
    if kind == REFERENCE:
        return [python, "-m", "ocs.agent_cli", *common, *options]
    state = ["--state-dir", str(site.state_dir)] if site.names_state_dir else []
    return [python, "-m", "hostmanager.agent", *common, *state, *options]


def _warm_launch() -> tuple[str, ...]:
    """``HM_TEST_WARM``: how all managers launch their agents; unset: by the manager's default."""
    value = os.environ.get("HM_TEST_WARM")
    return ("--warm-launch", value) if value else ()


class Manager:
    """One run of a manager; its output goes to `log_path`.

    Attributes:
        site: Whose manager it is.
        kind: `OURS` or `REFERENCE`.
        process: The process, in a session of its own. It is forked off a process that has imported
            all of a manager, where that makes no difference (`fork_server`) and `fresh` is false.
        log_path: Its stdout and stderr; unless told, all runs for a site append to the same file.
    """

    def __init__(
        self,
        site: Site,
        options: Iterable[str] = (),
        kind: str | None = None,
        log_path: Path | None = None,
        surroundings: Mapping[str, str] | None = None,
        *,
        python: str = sys.executable,
        output: int | None = None,
        fresh: bool = False,
    ) -> None:
        self.site = site
        self.kind = kind or default_kind()
        self.process: subprocess.Popen[bytes] | ForkedProcess
        self.log_path: Path = log_path or site.directory / "manager.log"
        environment = {key: value for key, value in os.environ.items() if key not in _FOREIGN}
        environment |= {**(surroundings or {}), "HM_TEST_MARK": site.mark}
        if self.kind == OURS and "PYTHONPATH" not in (surroundings or {}):  # else another version's
            options = (*_warm_launch(), *options)
        argv = command(self.kind, site, options, python)
        ours = (self.kind, python) == (OURS, sys.executable) and not fresh
        fork = ours and fork_server.can_fork(environment)
        with self.log_path.open("ab") as log:
            out = log.fileno() if output is None else output
            if fork:
                self.process = ForkedProcess(argv, site.working_dir, environment, out)
            else:
                self.process = subprocess.Popen(
                    argv,
                    cwd=site.working_dir,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=out,
                    start_new_session=True,
                )

    @property
    def pid(self) -> int:
        return self.process.pid

    def running(self) -> bool:
        return self.process.poll() is None

    def output(self) -> str:
        """Everything that it printed."""
        return self.log_path.read_text(errors="replace")

    def wait_ready(self, timeout: float = 20.0) -> Self:
        """Return when the `manager` process runs, as a client sees it."""

        def ready() -> bool:
            if not self.running():
                return True
            session = clients.call(self.site, "status", "manager")[2]
            return bool(session) and session["status"] == "running"

        wait_for(ready, timeout, "the manager process to run", self.output)
        if not self.running():
            msg = f"the manager ended with code {self.process.returncode}:\n{self.output()}"
            raise AssertionError(msg)
        return self

    def terminate(self) -> None:
        """SIGTERM; does not wait."""
        self.process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL to the manager alone, as a crash would be; returns when it is gone."""
        self.process.kill()
        self.process.wait(60)

    def stop(self, timeout: float = 120.0) -> int:
        """SIGTERM, and wait: the exit code."""
        if self.running():
            self.terminate()
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            msg = f"the manager did not end within {timeout:g} s of SIGTERM:\n{self.output()}"
            raise AssertionError(msg) from None
