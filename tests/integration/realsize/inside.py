"""One manager with the whole site, in namespaces of its own; prints what was seen, as JSON.

Started by `hosts.run`, by ``unshare``: network (loopback only), mounts, processes. So no agent ever
reaches a device, a directory or a `/dev` of this machine, and nothing is left when this ends.
"""

import argparse
import fcntl
import http.client
import json
import os
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from hostmanager.testing.crossbar_router import CrossbarRouter
from tests.integration.realsize.environment import PROJECT, SITE

PORT = 18771  # that of the site file
PATIENCE = 120.0
TICKS = os.sysconf("SC_CLK_TCK")
HIDDEN = ("/root", "/home", "/tmp", "/var/tmp", "/mnt", "/media", "/srv", "/run")
DEVICES = ("null", "zero", "full", "random", "urandom", "tty")


def main() -> None:
    """Run one manager, as the command line says."""
    parser = argparse.ArgumentParser()
    parser.add_argument("python", type=Path, help="interpreter of the environment with socs")
    parser.add_argument("kind", choices=["ours", "reference"])
    parser.add_argument("--cold", action="store_true", help="with cold caches")
    parser.add_argument("--settle", type=float, default=0.0, help="seconds before the window")
    parser.add_argument("--window", type=float, default=0.0, help="seconds to watch")
    options = parser.parse_args()
    bring_loopback_up()
    directory = private_directories(options.python)
    with CrossbarRouter(directory / "router", port=PORT) as router:
        if options.cold:
            cool(options.python.parents[1], PROJECT / "src", Path(os.__file__).parent)
        print(json.dumps(watch(options, directory)), flush=True)
        router.kill()


def bring_loopback_up() -> None:
    """As ``ip link set lo up``; there is nothing else in this network."""
    request = struct.pack("16sh22x", b"lo", 1)
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, 0x8914, request)  # SIOCSIFFLAGS, IFF_UP


def private_directories(python: Path) -> Path:
    """Put empty directories over those of this machine; returns one for everything that is made."""
    keep = [PROJECT, python.parents[1], Path(sys.prefix), Path(sys.base_prefix)]
    for hidden in HIDDEN:
        if Path(hidden).is_dir() and not any(k.is_relative_to(hidden) for k in keep):
            _mount("-t", "tmpfs", "none", hidden)
    nodes = {name: Path("/dev", name).stat().st_rdev for name in DEVICES}
    _mount("-t", "tmpfs", "-o", "mode=755", "none", "/dev")
    for name, number in nodes.items():
        os.mknod(f"/dev/{name}", 0o20666, number)
    Path("/dev/shm").mkdir(mode=0o1777)
    directory = Path("/dev/shm/realsize")
    for name in ("work", "home", "logs"):
        (directory / name).mkdir(parents=True)
    return directory


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)


def cool(*roots: Path) -> None:
    """Have the kernel forget what it has read of these directories."""
    os.sync()
    for root in roots:
        for path in root.rglob("*"):
            if path.is_file() and not path.is_symlink():
                fd = os.open(path, os.O_RDONLY)
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
                os.close(fd)


def watch(options: argparse.Namespace, directory: Path) -> dict[str, Any]:
    """Launch the manager; tell when it answered, and how it was in the window."""
    site = directory / "site.yaml"
    shutil.copy2(SITE, site)
    argv = [str(options.python), "-m"]
    argv += ["hostmanager.agent"] if options.kind == "ours" else ["ocs.agent_cli"]
    argv += ["--instance-id", "hm-site1", "--site-file", str(site), "--site-host", "site1"]
    argv += ["--working-dir", str(directory / "work")]
    argv += ["--state-dir", str(directory / "state")] if options.kind == "ours" else []
    env = {"PATH": os.environ["PATH"], "HOME": str(directory / "home"), "LANG": "C.UTF-8"}
    client = Client()
    with (directory / "manager.log").open("wb") as log:
        started = time.monotonic()
        manager = subprocess.Popen(
            argv,
            cwd=directory / "work",
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    seen: dict[str, Any] = {"answers": _time_to_answer(client, started)}
    if seen["answers"] is not None:
        # The length is the point.
        time.sleep(max(0.0, options.settle - (time.monotonic() - started)))
        seen |= _window(client, manager.pid, options.window)
    seen["log"] = (directory / "manager.log").read_text(errors="replace")
    manager.kill()
    return seen


class Client:
    """Asks the manager over the HTTP bridge of the router."""

    def __init__(self) -> None:
        self._http = http.client.HTTPConnection("127.0.0.1", PORT, timeout=PATIENCE)

    def status(self, operation: str) -> dict[str, Any] | None:
        """The session of an operation, empty if it never ran; None: nobody answered."""
        call = {"procedure": "observatory.hm-site1.ops", "args": ["status", operation, {}]}
        headers = {"Content-Type": "application/json"}
        try:
            self._http.request("POST", "/call", json.dumps(call), headers)
            reply = json.loads(self._http.getresponse().read())
        except (OSError, ValueError, http.client.HTTPException):
            self._http.close()
            return None
        return None if "error" in reply else (reply["args"][0][2] or {})


def _time_to_answer(client: Client, started: float) -> float | None:
    while time.monotonic() - started < PATIENCE:
        if (client.status("manager") or {}).get("status") == "running":
            return time.monotonic() - started
        time.sleep(0.01)
    return None


def _window(client: Client, pid: int, length: float) -> dict[str, Any]:
    """What was used while nobody did anything, and how soon the manager answered meanwhile."""
    before, started, latencies = _cpu(pid), time.monotonic(), []
    while not latencies or time.monotonic() - started < length:
        asked = time.monotonic()
        client.status("update")
        latencies.append(time.monotonic() - asked)
        time.sleep(0.2)
    passed = time.monotonic() - started
    after = _cpu(pid)
    session = client.status("manager") or {}
    return {
        # Of the whole host; what a child used is added to its parent's when it has ended.
        "failed_share": (after[1] - before[1]) / passed / (os.cpu_count() or 1),
        "manager_share": (after[0] - before[0]) / passed,
        "latency": statistics.median(latencies),
        "children": session.get("data", {}).get("child_states", []),
        "messages": [text for _, text in session.get("messages", [])],
    }


def _cpu(pid: int) -> tuple[float, float]:
    """CPU seconds of a process, and of its children that have ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    own, children = fields[11:13], fields[13:15]
    return sum(map(int, own)) / TICKS, sum(map(int, children)) / TICKS


if __name__ == "__main__":
    main()
