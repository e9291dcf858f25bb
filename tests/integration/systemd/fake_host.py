"""A host to install the manager on, in a directory; its systemctl only takes notes."""

import getpass
import subprocess
import sys
from pathlib import Path

HOSTMANAGER = str(Path(sys.executable).parent / "hostmanager")

SITE = """\
hub: {wamp_server: "ws://127.0.0.1:1/ws", wamp_realm: r, address_root: o}
hosts:
  daq1:
    agent-instances:
      - {agent-class: HostManager, instance-id: hm-daq1}
  daq2:
    agent-instances:
      - {agent-class: HostManager, instance-id: hm-one}
      - {agent-class: HostManager, instance-id: hm-two, arguments: [--stop-timeout, 100]}
"""

SYSTEMCTL = """\
#!/bin/sh
echo "$@" >> "$NOTES"
for last; do :; done
case "$*" in
    *is-active*) [ "$last" = "$ACTIVE" ]; exit;;
    *"${FAILS:-nothing fails}"*) echo "it went wrong" >&2; exit 1;;
esac
"""


class FakeHost:
    """A host of its own: a site file, directories, and a systemctl that takes notes."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.site = directory / "site.yaml"
        self.site.write_text(SITE)
        self.notes = directory / "notes"
        self.notes.touch()
        self.units = directory / "config" / "systemd" / "user"
        programs = directory / "bin"
        programs.mkdir()
        systemctl = programs / "systemctl"
        systemctl.write_text(SYSTEMCTL)
        systemctl.chmod(0o755)
        self.environment = {
            "PATH": f"{programs}:/usr/bin:/bin",
            "HOME": str(directory),
            "XDG_CONFIG_HOME": str(directory / "config"),
            "NOTES": str(self.notes),
        }

    def run(self, *arguments: str, host: str = "daq1", **environment: str):
        return subprocess.run(
            [
                HOSTMANAGER,
                "install-systemd",
                f"--site-file={self.site}",
                f"--site-host={host}",
                *arguments,
            ],
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
            cwd=self.directory,
            env={**self.environment, **environment},
        )

    def for_user(self, *arguments: str, **environment: str):
        return self.run("--user-unit", *arguments, **environment)

    @property
    def systemctl_calls(self) -> list[str]:
        """The calls of systemctl, without is-active."""
        lines = self.notes.read_text().splitlines()
        return [line.removeprefix("--user ") for line in lines if "is-active" not in line]

    @property
    def unit(self) -> Path:
        return self.units / "hostmanager-hm-daq1.service"


def lines_of(result) -> list[str]:
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


def me(*arguments: str) -> tuple[str, ...]:
    return ("--user", getpass.getuser(), *arguments)
