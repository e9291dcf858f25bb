"""Get a private Docker Engine with Compose, or end it. For Debian, as root.

    eval "$(python3 -m tests.support.private_engine up)"
    docker compose version
    python3 -m tests.support.private_engine down

A second `up` for the same directory takes no time. Standard output has only the exports.
"""

import argparse
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.support.private_engine import image, install
from tests.support.private_engine.daemon import Daemon, DaemonError, why_no_networks

BEGUN = time.monotonic()


def main() -> int:
    """Do what the command line says; 0: done, 1: it could not be done, and why is on stderr."""
    options = _parse()
    directory: Path = options.dir.resolve()
    arguments = [*options.dockerd_args]
    if options.live_restore:
        arguments.append("--live-restore")
    daemon = Daemon(directory, arguments, detached=True, networks=options.networks)
    try:
        if options.action == "down":
            daemon.remove()
            _tell(f"{directory} is gone")
        else:
            _up(daemon, options)
    except (install.InstallError, DaemonError, OSError, subprocess.SubprocessError) as error:
        print(f"No Docker Engine: {error}", file=sys.stderr)
        return 1
    return 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.support.private_engine", description=__doc__
    )
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("action", choices=["up", "down"])
    where = Path(tempfile.gettempdir()) / "hostmanager-engine"
    parser.add_argument(
        "--dir", type=Path, default=where, help="all of it is in there (%(default)s)"
    )
    parser.add_argument("--compose-v1", action="store_true", help="docker-compose 1.29, too")
    parser.add_argument("--registry", action="store_true", help="docker-registry, too")
    parser.add_argument("--live-restore", action="store_true", help="containers outlive dockerd")
    parser.add_argument(
        "--networks", action="store_true", help="a bridge, in a network namespace of its own"
    )
    parser.add_argument("dockerd_args", nargs="*", help="after --: more arguments for dockerd")
    return parser.parse_args()


def _up(daemon: Daemon, options: argparse.Namespace) -> None:
    directory = daemon.directory
    if options.networks and (why := why_no_networks()):
        msg = f"this machine allows no networks for it: {why}"
        raise DaemonError(msg)
    for _again in range(2):
        if packages := install.missing_packages(options.compose_v1, options.registry):
            _tell(f"installing {', '.join(packages)}")
            install.install(packages)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    install.compose_v2(directory / "config")
    _tell("Compose v2 is there")
    daemon.start()
    _tell(f"dockerd {daemon.pid} answers")
    exports = {
        "DOCKER_HOST": f"unix://{daemon.socket}",
        "DOCKER_CONFIG": str(directory / "config"),
        "HOSTMANAGER_ENGINE_DIR": str(directory),
    }
    root = directory / image.ROOT
    if not root.exists():
        image.pack(install.busybox(directory / "busybox"), root)
    image.load(root, exports)
    _tell(f"the image {image.IMAGE} is there")
    print("export", *(f"{name}={shlex.quote(value)}" for name, value in exports.items()))


def _tell(what: str) -> None:
    print(f"[engine, {time.monotonic() - BEGUN:.1f} s] {what}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
