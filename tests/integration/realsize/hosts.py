"""Runs `inside` in namespaces of its own, and gives what it saw."""

import json
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

from tests.integration.realsize.environment import PROJECT, NoEnvironmentError, python

UNSHARE = ("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
PRIVATE = ("--propagation", "private")
LIMIT = 600.0  # seconds for one run


@cache
def obstacle() -> str | None:
    """Why no host of real size can be run here; None: it can."""
    if os.geteuid() != 0:
        return "namespaces of its own for a host of real size need root"
    if shutil.which("unshare") is None:
        return "there is no unshare"
    argv = [*UNSHARE, *PRIVATE, "true"]
    tried = subprocess.run(argv, capture_output=True, text=True, check=False)
    if tried.returncode:
        return f"namespaces cannot be made here: {tried.stderr.strip()}"
    try:
        python()
    except NoEnvironmentError as error:
        return str(error)
    return None


def run(kind: str, *options: str) -> dict[str, Any]:
    """One manager of that kind with the whole site; see `inside` for the options.

    Raises:
        RuntimeError: It could not be run; the text has its last words.
    """
    argv = [*UNSHARE, *PRIVATE, sys.executable, "-m", "tests.integration.realsize.inside"]
    result = subprocess.run(
        [*argv, str(python()), kind, *options],
        cwd=PROJECT,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    if result.returncode:
        raise RuntimeError(f"no host of real size: {result.stderr[-2000:]}")
    seen: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return seen


def check(site: Path) -> dict[str, Any]:
    """What `hostmanager check` of that environment says of a site file."""
    argv: list[str | Path] = [python().with_name("hostmanager"), "check", "--offline", "--json"]
    argv += ["--site-host", "site1", site]
    result = subprocess.run(argv, capture_output=True, text=True, timeout=LIMIT, check=False)
    data: dict[str, Any] = json.loads(result.stdout)
    return data
