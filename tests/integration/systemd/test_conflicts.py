"""What is there already when the manager is installed: agents, other managers, other units."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.integration.systemd.fake_host import SITE, FakeHost, lines_of
from tests.support.waiting import wait_for

from hostmanager.cli.systemd import install as unit_steps
from hostmanager.cli.systemd.install import StepError, UnitTarget, install_unit
from hostmanager.cli.systemd.unit import Unit


@pytest.fixture
def fake_host(tmp_path):
    return FakeHost(tmp_path.resolve())


@pytest.fixture
def agent(fake_host):
    """Start what looks like an agent: ``agent("fake1", OCS_HOSTMANAGER="...")``."""
    started = []

    def go(instance_id: str, **environment: str) -> int:
        title = f"ocs-agent:{instance_id}"
        started.append(
            subprocess.Popen(
                [title, "-c", "import time; time.sleep(100)"],
                executable=sys.executable,
                env={**environment, "PYTHONHOME": sys.base_prefix},
            )
        )
        pid = started[-1].pid
        wait_for(lambda: Path(f"/proc/{pid}/cmdline").read_bytes().startswith(title.encode()))
        return pid

    yield go
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def one(fake_host):
    """The site file lists one agent, with an id that nothing else here has."""
    name = f"agent-{os.getpid()}"
    entry = f"      - {{agent-class: FakeDataAgent, instance-id: {name}}}\n"
    fake_host.site.write_text(
        SITE.replace("instance-id: hm-daq1}\n", f"instance-id: hm-daq1}}\n{entry}")
    )
    return name


def test_nothing_is_started_beside_agents_that_somebody_else_has_started(fake_host, agent, one):
    pid = agent(one)
    agent("another")
    result = fake_host.for_user("--enable", "--now")
    assert result.returncode == 1
    assert f"no manager of this kind has started them: {one} (pid {pid})." in result.stderr
    assert fake_host.systemctl_calls == []
    assert not fake_host.unit.exists()
    lines_of(fake_host.for_user("--enable"))  # it is not started yet
    lines_of(fake_host.for_user("--now", "--force"))


def test_agents_of_an_earlier_manager_are_no_obstacle(fake_host, agent, one):
    agent(one, OCS_HOSTMANAGER="key/x/y/1")
    lines_of(fake_host.for_user("--now"))
    assert fake_host.systemctl_calls[-1] == "start hostmanager-hm-daq1.service"


OLD = "ocs-hostmanager.service"


def system(fake_host, monkeypatch, active: str = "") -> UnitTarget:
    """The place for units of the whole system, if it were in our directory."""
    monkeypatch.setenv("ACTIVE", active)
    for name in ("PATH", "NOTES"):
        monkeypatch.setenv(name, fake_host.environment[name])
    directory = fake_host.directory / "system"
    directory.mkdir()
    (directory / OLD).write_text("[Service]\n")
    return UnitTarget(directory)


UNIT = Unit("hostmanager-hm-daq1", "it", (sys.executable,), Path("/"))


def test_nothing_is_started_beside_a_running_manager_of_ocs(fake_host, monkeypatch):
    target = system(fake_host, monkeypatch, active=OLD)
    with pytest.raises(StepError, match=r"both would start the same agents. Nothing was changed"):
        install_unit(target, UNIT, ["enable", "now"], force=False, dry=False)
    assert fake_host.systemctl_calls == []
    assert [path.name for path in target.directory.iterdir()] == [OLD]


def test_a_manager_of_ocs_that_does_not_run_is_reported_as_a_warning(fake_host, monkeypatch):
    target = system(fake_host, monkeypatch)
    result = install_unit(target, UNIT, ["now"], force=False, dry=False)
    assert fake_host.systemctl_calls == ["daemon-reload", f"start {UNIT.file_name}"]
    (notice,) = result["remarks"]
    assert f"systemctl disable --now {OLD}" in notice


def test_no_unit_of_the_system_is_hidden(fake_host, monkeypatch):
    target = system(fake_host, monkeypatch)
    monkeypatch.setattr(unit_steps, "PACKAGED_UNIT_DIRS", [str(fake_host.directory / "packaged")])
    packaged = fake_host.directory / "packaged" / UNIT.file_name
    packaged.parent.mkdir()
    packaged.touch()
    with pytest.raises(StepError, match=r"has a hostmanager-hm-daq1.service of its own"):
        install_unit(target, UNIT, [], force=False, dry=False)
    assert fake_host.systemctl_calls == []
