"""The bench knows all its experiments: it imports what it measures, which may be renamed."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_all_experiments_are_listed_with_their_rows():
    argv = [sys.executable, "-m", "bench", "--list"]
    listed = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    names = [line.split()[0] for line in listed.splitlines()]
    assert {"relaunched", "idle", "warm_20", "docker_idle", "page"} <= set(names)
    assert len(names) == len(set(names))
