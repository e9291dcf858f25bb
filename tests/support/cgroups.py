"""A cgroup as systemd delegates one, in the real hierarchy of this host."""

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from hostmanager.util import cgroup
from tests.support.waiting import wait_for


def make_delegated() -> Iterator[Path]:
    """Make one with a subgroup for the manager; in the end, whatever is in it is killed."""
    mount = cgroup.mount_point()
    if mount is None or not os.access(mount[0], os.W_OK):
        pytest.skip("no cgroup hierarchy of version 2 that may be written")
    directory = mount[0] / f"hostmanager-test-{secrets.token_hex(4)}"
    (directory / cgroup.MANAGER_SUBGROUP).mkdir(parents=True)
    os.setxattr(directory, "user.delegate", b"1")
    yield directory
    (directory / "cgroup.kill").write_text("1")
    wait_for(lambda: "populated 0" in (directory / "cgroup.events").read_text(), 30, "all to end")
    for path in (*directory.iterdir(), directory):
        if path.is_dir():
            path.rmdir()
