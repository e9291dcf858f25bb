"""Gets what a Debian machine lacks for a Docker Engine, as root and without a question.

Compose v2 is not in Debian 12: the package of Debian 13 is unpacked (not installed) into a directory,
with a state of apt of its own. Where packages come from is asked of apt; no host is named here.
"""

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.support.private_engine import image
from tests.support.private_engine.daemon import find_dockerd

NEWER = "trixie"  # Debian 13
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
PLUGIN = Path("usr/libexec/docker/cli-plugins/docker-compose")
LIMIT = 300.0


class InstallError(Exception):
    """Something could not be had; the message says what, and how apt put it."""


def missing_packages(compose_v1: bool, registry: bool) -> list[str]:
    """Debian packages that a full engine still needs here; ask again when they are installed."""
    needed = []
    if not find_dockerd():
        needed += ["docker.io", "iptables"]
    elif not shutil.which("docker"):  # a package of its own since Debian 13
        needed.append("docker-cli")
    if compose_v1 and not shutil.which("docker-compose"):
        needed.append("docker-compose")
    if registry and not shutil.which("docker-registry"):
        needed.append("docker-registry")
    return needed


def install(packages: list[str]) -> None:
    """Install packages; the lists of apt are brought up to date only if they must be.

    Raises:
        InstallError: It did not work.
    """
    if os.geteuid() != 0:
        msg = f"{', '.join(packages)} must be installed first; only root can do that"
        raise InstallError(msg)
    argv = ["install", "--yes", "--no-install-recommends", *packages]
    _with_fresh_lists(lambda: _apt(*argv))


def compose_v2(config: Path) -> None:
    """Put the Compose plugin of Debian 13 into a directory that serves as DOCKER_CONFIG.

    Raises:
        InstallError: It cannot be had.
    """
    target = config / "cli-plugins" / "docker-compose"
    if target.exists():
        return
    with _scratch(f"deb [signed-by={KEYRING}] {_mirror()} {NEWER} main\n") as (directory, options):
        _apt(*options, "update")
        unpacked = _download("docker-compose", directory, options)
        target.parent.mkdir(parents=True, exist_ok=True)
        with_name = target.with_suffix(".new")
        shutil.copy2(unpacked / PLUGIN, with_name)
        with_name.replace(target)


def busybox(target: Path) -> Path:
    """Return a static busybox: the one of this machine, else one unpacked from its package.

    Raises:
        InstallError: It cannot be had.
    """
    found = image.find_busybox()
    if found:
        return found
    if not target.exists():
        with tempfile.TemporaryDirectory() as scratch:
            directory = Path(scratch)
            unpacked: list[Path] = []
            _with_fresh_lists(lambda: unpacked.append(_download("busybox-static", directory, ())))
            inside = next(path for path in unpacked[0].rglob("busybox") if image.is_static(path))
            shutil.copy2(inside, target)
    return target


def _mirror() -> str:
    """Where apt gets this machine's Debian from."""
    form = "$(ORIGIN)|$(COMPONENT)|$(REPO_URI)"
    listed = _apt_answer("indextargets", "--format", form, "Created-By: Packages")
    if not listed:  # lists were never fetched: the sources know no origin then
        _apt("update")
        listed = _apt_answer("indextargets", "--format", form, "Created-By: Packages")
    for line in listed:
        origin, component, uri = line.split("|", 2)
        if origin == "Debian" and component == "main" and "security" not in uri:
            return uri
    msg = "apt has no Debian archive in its sources: Compose v2 cannot be had from there"
    raise InstallError(msg)


@contextlib.contextmanager
def _scratch(source: str) -> Iterator[tuple[Path, tuple[str, ...]]]:
    """A state of apt of its own: its directory, and the options that make apt use it."""
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch)
        for inner in ("lists/partial", "cache/archives/partial"):
            (directory / inner).mkdir(parents=True)
        (directory / "status").touch()
        (directory / "sources.list").write_text(source)
        settings = {
            "Dir::Etc::SourceList": directory / "sources.list",
            "Dir::Etc::SourceParts": "-",
            "Dir::State::Lists": directory / "lists",
            "Dir::State::Status": directory / "status",
            "Dir::Cache": directory / "cache",
            "Acquire::Languages": "none",
        }
        options = [f"-o{name}={value}" for name, value in settings.items()]
        yield directory, tuple(options)


def _download(package: str, directory: Path, options: tuple[str, ...]) -> Path:
    """Fetch a package and unpack it; return the directory with its files."""
    _apt(*options, "download", package, cwd=directory)
    archive = next(directory.glob(f"{package}_*.deb"))
    unpacked = directory / package
    subprocess.run(["dpkg-deb", "--extract", str(archive), str(unpacked)], check=True)
    return unpacked


def _with_fresh_lists(action: Callable[[], object]) -> None:
    """Try as it is; if that fails, once more with lists that are up to date."""
    try:
        action()
    except InstallError:
        _apt("update")
        action()


def _apt(*arguments: str, cwd: Path | None = None) -> None:
    what = " ".join(word for word in arguments if not word.startswith("-"))
    quiet = ("-oAPT::Sandbox::User=root", "-oDPkg::Lock::Timeout=120", "--quiet=2")
    try:
        result = subprocess.run(
            ["apt-get", *quiet, *arguments],
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
            cwd=cwd,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        msg = f"apt-get {what}: {error}"
        raise InstallError(msg) from error
    if result.returncode:
        reason = " ".join(line for line in result.stderr.splitlines() if line.startswith("E:"))
        msg = f"apt-get {what} failed: {reason or result.stderr.strip()}"
        raise InstallError(msg)


def _apt_answer(*arguments: str) -> list[str]:
    try:
        result = subprocess.run(
            ["apt-get", *arguments], capture_output=True, text=True, timeout=LIMIT, check=False
        )
    except OSError as error:
        msg = f"this machine has no apt-get: {error}"
        raise InstallError(msg) from error
    return result.stdout.split("\n")[:-1]
