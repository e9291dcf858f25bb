"""What `check` can know of limits: a directory that looks like the root of a cgroup hierarchy."""

import pytest

from hostmanager.cli.check import limits
from hostmanager.util import cgroup


@pytest.mark.parametrize(
    ("controllers", "systemd", "obstacle"),
    [
        ("cpu memory", 255, ""),
        ("cpu memory", None, ""),
        ("cpu memory", 252, "it takes systemd 254 or later, and here is 252"),
        (
            "hugetlb",
            255,
            "its cgroups of version 2 have no memory controller (controllers: hugetlb)",
        ),
    ],
)
def test_what_is_missing_here_is_named(tmp_path, monkeypatch, controllers, systemd, obstacle):
    (tmp_path / "cgroup.controllers").write_text(f"{controllers}\n")
    monkeypatch.setattr(cgroup, "mount_point", lambda: (tmp_path, "/"))
    monkeypatch.setattr(limits, "systemd_version", lambda: systemd)
    assert limits.limit_obstacle("memory") == obstacle


def test_a_host_without_version_2_is_named(monkeypatch):
    monkeypatch.setattr(cgroup, "mount_point", lambda: None)
    assert limits.limit_obstacle("cpu") == "this host has no cgroups of version 2"
