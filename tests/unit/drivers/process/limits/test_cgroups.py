"""Limits by cgroups and OOM kills, on a directory that looks like a cgroup.

The files, their content and their rules are those of the kernel's document cgroup-v2.rst. None of
the machines that run these tests has the memory or the cpu controller in a hierarchy of version 2,
so what a kernel does with it was not tried. What needs no controller is in
tests/integration/process/test_cgroups.py, in a real hierarchy.
"""

import os

import pytest

from hostmanager.core.model import InstanceSettings
from hostmanager.drivers.process.limits.cgroups import (
    NO_CGROUPS,
    NO_SUBGROUP,
    NOT_DELEGATED,
    AgentCgroups,
    find_cgroups,
)
from hostmanager.util import cgroup

BOTH = InstanceSettings(memory_max=512 << 20, cpu_quota=150.0)
GROUP = "agent-0123abcd-a%2F1"


def make_cgroup(directory, controllers="", **files):
    """A cgroup with the files that the kernel would have made."""
    directory.mkdir(parents=True)
    for name in ("cgroup.procs", "cgroup.subtree_control", "cgroup.kill"):
        (directory / name).write_text("")
    (directory / "cgroup.controllers").write_text(f"{controllers}\n")
    (directory / "cgroup.type").write_text("domain\n")
    for name, text in files.items():
        (directory / name.replace("_", ".", 1)).write_text(text)
    return directory


def agent_cgroups(tmp_path, controllers="cpu memory", obstacle=""):
    """Cgroups with one of the agent `a/1`, which has the files of these controllers."""
    delegated = make_cgroup(tmp_path / "unit.service", controllers)
    make_cgroup(delegated / "manager").joinpath("cpu.weight.nice").write_text("0")
    files = {
        "memory": {"memory.max": "max", "memory.oom.group": "0"},
        "cpu": {"cpu.max": "max 100000", "cpu.weight.nice": "0"},
    }
    agent = make_cgroup(delegated / GROUP)
    for each in controllers.split():
        for name, text in files.get(each, {}).items():
            (agent / name).write_text(f"{text}\n")
    return AgentCgroups(delegated, "0123abcdef", obstacle), agent


def test_limits_are_written_as_the_kernel_reads_them(tmp_path):
    cgroups, agent = agent_cgroups(tmp_path)
    assert cgroups.limit("a/1", BOTH) == []
    assert (agent / "memory.max").read_text() == "536870912"
    assert (agent / "cpu.max").read_text() == "150000 100000"
    assert (agent / "memory.oom.group").read_text() == "1"
    assert "+cpu" in (agent.parent / "cgroup.subtree_control").read_text()


def test_a_limit_that_is_taken_back_is_no_limit_any_more(tmp_path):
    cgroups, agent = agent_cgroups(tmp_path)
    (agent / "memory.max").write_text("536870912")
    (agent / "cpu.max").write_text("150000 100000")
    assert cgroups.limit("a/1", InstanceSettings()) == []
    assert (agent / "memory.max").read_text() == "max"
    assert (agent / "cpu.max").read_text() == "max"


def test_between_cgroups_the_niceness_counts_that_is_theirs(tmp_path):
    cgroups, agent = agent_cgroups(tmp_path)
    cgroups.limit("a/1", InstanceSettings(nice=7))
    assert (agent / "cpu.weight.nice").read_text() == "7"


@pytest.mark.parametrize(
    ("controllers", "obstacle", "problems"),
    [
        (
            "hugetlb",
            "",
            [
                "'memory-max' is not applied: the cgroup of the manager has no memory controller "
                "(controllers: hugetlb).",
                "'cpu-quota' is not applied: the cgroup of the manager has no cpu controller "
                "(controllers: hugetlb).",
            ],
        ),
        (
            "cpu memory",
            NO_SUBGROUP,
            [
                f"'memory-max' is not applied: {NO_SUBGROUP}.",
                f"'cpu-quota' is not applied: {NO_SUBGROUP}.",
            ],
        ),
    ],
)
def test_what_cannot_be_had_is_named(tmp_path, controllers, obstacle, problems):
    cgroups, agent = agent_cgroups(tmp_path, controllers, obstacle)
    assert cgroups.limit("a/1", BOTH) == problems
    assert (agent.parent / "cgroup.subtree_control").read_text() == ""


def test_without_a_cgroup_nothing_is_limited_and_only_wished_limits_are_named():
    assert NO_CGROUPS.limit("a/1", InstanceSettings(nice=3)) == []
    [problem] = NO_CGROUPS.limit("a/1", InstanceSettings(memory_max=1 << 30))
    assert problem == f"'memory-max' is not applied: {NOT_DELEGATED}."
    assert NO_CGROUPS.kill_reason("a/1") is None


@pytest.mark.parametrize(
    ("events", "limit", "reason"),
    [
        (
            "low 0\nhigh 0\nmax 5\noom 1\noom_kill 2\n",
            "536870912\n",
            "out of memory: it used all of its 'memory-max', 512M",
        ),
        (
            "low 0\nhigh 0\nmax 0\noom 0\noom_kill 1\n",
            "536870912\n",
            "out of memory: the host, or the unit of the manager, had no more",
        ),
        (
            "low 0\nhigh 0\nmax 5\noom 0\noom_kill 0\n",
            "536870912\n",
            "not from the manager, and not for lack of memory",
        ),
        ("", "max\n", None),
    ],
)
def test_why_a_process_was_killed_is_in_the_events_of_its_cgroup(tmp_path, events, limit, reason):
    cgroups, agent = agent_cgroups(tmp_path)
    (agent / "memory.events").write_text(events)
    (agent / "memory.max").write_text(limit)
    assert cgroups.kill_reason("a/1") == reason


def test_processes_of_an_earlier_manager_go_first_when_a_controller_is_enabled(tmp_path):
    cgroups, agent = agent_cgroups(tmp_path)
    (agent.parent / "cgroup.procs").write_text("77\n")
    assert cgroups.limit_obstacle("memory") == ""
    assert (agent.parent / "manager" / "cgroup.procs").read_text() == "77"
    assert (agent.parent / "cgroup.subtree_control").read_text() == "+memory"


def test_those_with_processes_are_found_and_only_those_of_this_manager(tmp_path):
    cgroups, agent = agent_cgroups(tmp_path)
    (agent / "cgroup.procs").write_text("12\n13\n")
    inner = make_cgroup(agent / "inner")
    (inner / "cgroup.procs").write_text("14\n")
    make_cgroup(agent.parent / "agent-99999999-b").joinpath("cgroup.procs").write_text("15\n")
    assert cgroups.populated() == {"a/1": [12, 13, 14]}


@pytest.mark.parametrize(
    ("place", "directory", "obstacle"),
    [
        ("/unit.service/manager", "unit.service", ""),
        ("/unit.service", "unit.service", NO_SUBGROUP),
        ("/session.scope", None, NOT_DELEGATED),
        ("/", None, NOT_DELEGATED),
    ],
)
def test_only_what_is_marked_as_delegated_is_used(
    tmp_path, place, directory, obstacle, monkeypatch
):
    mount = tmp_path / "a mount"
    make_cgroup(mount)
    (mount / "cgroup.type").unlink()  # the root has none
    for name in ("unit.service", "unit.service/manager", "session.scope"):
        make_cgroup(mount / name)
    marked = (mount, mount / "unit.service")
    monkeypatch.setattr(os, "getxattr", lambda path, _: b"1" if path in marked else b"0")
    mountinfo = f"30 1 0:26 / {mount} rw - cgroup2 cgroup2 rw\n".replace("a mount", "a\\040mount")
    (tmp_path / "mountinfo").write_text(mountinfo)
    (tmp_path / "cgroup").write_text(f"9:name=systemd:/\n0::{place}\n")
    found = find_cgroups("0123abcdef", tmp_path)
    assert found.directory == (None if directory is None else mount / directory)
    assert found.obstacle == obstacle


def test_a_host_without_version_2_is_named(tmp_path):
    (tmp_path / "mountinfo").write_text(
        "25 1 0:22 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"
    )
    (tmp_path / "cgroup").write_text("4:cpu:/\n")
    assert find_cgroups("x", tmp_path).obstacle == "this host has no cgroups of version 2"


def test_a_part_of_the_hierarchy_that_a_process_is_not_in_cannot_be_used(tmp_path):
    (tmp_path / "mountinfo").write_text("30 1 0:26 /docker/1 /cg rw - cgroup2 cgroup2 rw\n")
    (tmp_path / "cgroup").write_text("0::/elsewhere\n")
    assert cgroup.own_cgroup(tmp_path) is None
