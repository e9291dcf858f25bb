"""A site of several hosts, with a manager on each, and the command as people type it."""

import dataclasses
import json
import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from hostmanager.cli.main import main
from tests.support.managers import Manager
from tests.support.processes import kill_all, processes_of
from tests.support.sites import Site, manager_entry
from tests.support.waiting import wait_for

HOSTMANAGER = str(Path(sys.executable).parent / "hostmanager")


@dataclasses.dataclass
class Done:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class CliSite:
    """Several hosts that share a router and a site file."""

    def __init__(self, site: Site, capsys: Any = None) -> None:
        self.site = site
        self.managers: dict[str, Manager] = {}
        self.capture = capsys
        self._hosts: dict[str, list[dict[str, Any]]] = {}

    def write(self, **hosts: list[dict[str, Any]]) -> None:
        """Write the site file: the agents of each host; each host gets a manager."""
        self._hosts = hosts
        blocks = {
            name: {
                "agent-instances": [
                    manager_entry(f"hm-{name}", follows_health=self.site.follows_health),
                    *entries,
                ]
            }
            for name, entries in hosts.items()
        }
        self.site.write_data({"hub": self.site.hub(), "hosts": blocks})

    def start(self, *hosts: str, options: tuple[str, ...] = ()) -> None:
        """Start the managers of these hosts."""
        for host in hosts:
            here = dataclasses.replace(self.site, host=host)
            directory = self.site.directory
            argv = [
                "--stop-timeout",
                "1",
                "--state-dir",
                str(directory / f"state-{host}"),
                *options,
            ]
            self.managers[host] = Manager(here, argv, log_path=directory / f"{host}.log")
        for host in hosts:
            self.managers[host].wait_ready()

    def run(self, *arguments: str) -> Done:
        """Run the command in this process."""
        self.capture.readouterr()
        code = 0
        try:
            main([arguments[0], "--site-file", str(self.site.file), *arguments[1:]])
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        printed = self.capture.readouterr()
        assert "Traceback" not in printed.err
        return Done(code, printed.out, printed.err)

    def popen(self, *arguments: str, **more: Any) -> "subprocess.Popen[str]":
        """Start the command as a process of its own."""
        return subprocess.Popen(
            [HOSTMANAGER, arguments[0], "--site-file", str(self.site.file), *arguments[1:]],
            **{
                "stdin": subprocess.DEVNULL,
                "stdout": subprocess.PIPE,
                "stderr": subprocess.PIPE,
                "text": True,
                "env": {**os.environ, "HM_TEST_MARK": self.site.mark},
                **more,
            },
        )

    def status(self, *arguments: str) -> dict[str, dict[str, Any]]:
        """What `status --json` says of each agent."""
        data = self.run("status", "--json", *arguments).json
        return {agent["instance_id"]: agent for host in data["hosts"] for agent in host["agents"]}

    def states(self) -> dict[str, str]:
        """The state of each agent."""
        return {name: agent["state"] for name, agent in self.status().items()}

    def wait_minding(self, *ids: str) -> None:
        """Wait until these mind signals: until then, SIGINT ends an interpreter that starts."""

        def mind() -> bool:
            processes = processes_of(self.site)
            return all(any(self._says(i, pid) for pid in processes.get(i, [])) for i in ids)

        wait_for(mind, 20, f"{ids} to mind signals", self.states)

    def _says(self, instance_id: str, pid: int) -> bool:
        files = self.site.directory.glob(f"state-*/output/{instance_id}.out")
        return any(f"tiny {instance_id} up pid {pid}\n" in file.read_text() for file in files)

    def stop(self) -> None:
        """Stop all managers."""
        for manager in self.managers.values():
            if manager.running():
                manager.terminate()
        for manager in self.managers.values():
            manager.stop()


def on_a_terminal(
    cli_site: CliSite,
    *arguments: str,
    columns: int = 80,
    rows: int = 24,
    typed: dict[str, str | signal.Signals] | None = None,
) -> str:
    """What the command shows on a terminal, and how it ended.

    Args:
        cli_site: The site.
        words: The command line.
        columns: Of the terminal.
        rows: Of the terminal.
        typed: What is typed when something is shown, once, or which signal is sent; ``^C`` is a SIGINT.
    """
    ours, theirs = pty.openpty()
    environment = {"COLUMNS": str(columns), "LINES": str(rows), "TERM": "xterm-256color"}
    process = cli_site.popen(
        *arguments, stdin=theirs, stdout=theirs, stderr=theirs, env={**os.environ, **environment}
    )
    os.close(theirs)
    waiting = dict(typed or {})
    shown = b""
    while True:
        try:
            chunk = os.read(ours, 65536)
        except OSError:  # nobody has it open any more
            break
        shown += chunk
        for seen in [text for text in waiting if text.encode() in shown]:
            answer = waiting.pop(seen)
            if answer == "^C":
                process.send_signal(signal.SIGINT)
            elif isinstance(answer, signal.Signals):
                process.send_signal(answer)
            else:
                os.write(ours, answer.encode())
    os.close(ours)
    return f"{shown.decode()}exit {process.wait(60)}"


def plain(text: str) -> list[str]:
    """Lines without colours, without blanks at the ends, without empty ones."""
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text)
    return [line.rstrip() for line in text.splitlines() if line.strip()]


def make_shared_cli_site(router, tmp_path_factory):
    """Make a fixture of a module, for tests that only look; `capture` has to be set in each test."""
    made = CliSite(Site(tmp_path_factory.mktemp("shared") / "site", router))
    yield made
    made.stop()
    kill_all(made.site)


def make_cli_site(site, capsys):
    """Make the fixture: ``cli_site = pytest.fixture(make_cli_site)``."""
    made = CliSite(site, capsys)
    yield made
    made.stop()
