"""The environment that the instances of `socs.yaml` need: socs, and this project beside it.

Installing takes a minute or two and 350 MB, so it is kept: in the directory that
``HOSTMANAGER_REALSIZE_DIR`` names, else in `build/realsize` of the project. It is made by
``python -m tests.integration.realsize.environment``, by the first test, or by the bench. Nothing of it is
imported here; crossbar lives elsewhere.
"""

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROJECT = Path(__file__).parents[3]
SITE = Path(__file__).with_name("socs.yaml")
PACKAGES = ("socs==0.6.4", "twisted[tls]")
"""The version whose documentation the site file was taken from."""

BUILT_FOR_NUMPY_1 = {"PYBJDATA_NO_EXTENSION": "1"}  # bjdata; see the Makefile


class NoEnvironmentError(Exception):
    """It cannot be made here; the text says why."""


def directory() -> Path:
    """Where it is kept."""
    chosen = os.environ.get("HOSTMANAGER_REALSIZE_DIR")
    return Path(chosen) if chosen else PROJECT / "build" / "realsize"


def python() -> Path:
    """Its interpreter; the environment is made if it is not there.

    Raises:
        NoEnvironmentError: It cannot be made, without a package index for instance.
    """
    directory().mkdir(parents=True, exist_ok=True)
    interpreter = directory() / "venv" / "bin" / "python"
    with _alone():
        if not (directory() / ".ready").exists():
            started = time.monotonic()
            _make(interpreter)
            took = time.monotonic() - started
            (directory() / ".ready").write_text(f"{took:.0f} s\n")
            print(f"the environment with socs was made in {took:.0f} s", file=sys.stderr)
        # What has not been compiled would be, at each start, if it cannot be written.
        _run(interpreter, "-m", "compileall", "-q", str(PROJECT / "src"))
    return interpreter


@contextmanager
def _alone() -> Iterator[None]:
    with (directory() / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _make(interpreter: Path) -> None:
    _run(Path(sys.executable), "-m", "venv", "--clear", str(directory() / "venv"))
    _run(interpreter, "-m", "pip", "install", "--quiet", "-e", str(PROJECT), *PACKAGES)


def _run(program: Path, *arguments: str) -> None:
    environment = {**os.environ, **BUILT_FOR_NUMPY_1}
    result = subprocess.run(
        [program, *arguments], env=environment, capture_output=True, text=True, check=False
    )
    if result.returncode:
        last = (result.stderr.strip().splitlines() or ["no word"])[-1]
        what = f"{program.name} {' '.join(arguments[:3])}"
        raise NoEnvironmentError(f"no environment with socs: {what} failed: {last}")


if __name__ == "__main__":
    print(python())
