"""Signals that come while the manager is still importing what it consists of."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.router.steps import wait_ready
from tests.support.managers import Manager
from tests.support.processes import processes, processes_of
from tests.support.sites import instance
from tests.support.waiting import wait_for

AT_IMPORT = """
import os, signal, sys

class Finder:
    @staticmethod
    def find_spec(name, *_):
        if name in os.environ["SIGNAL_AT"].split():
            os.kill(os.getpid(), int(os.environ["SIGNAL_NUMBER"]))

if {"hostmanager.agent", "run"} & set(sys.orig_argv):
    sys.meta_path.insert(0, Finder)
"""
"""Sends a signal to the manager itself, exactly when it begins to import a module."""

FIRST, LATER, FACE = (
    "hostmanager.agent.main",
    "hostmanager.siteconfig.command_line",
    "twisted.internet",
)


@pytest.fixture
def surroundings(tmp_path):
    """The environment of a manager that is signalled when it imports these."""
    (tmp_path / "sitecustomize.py").write_text(AT_IMPORT)

    def make(number: int, *modules: str) -> dict[str, str]:
        at = {"SIGNAL_AT": " ".join(modules), "SIGNAL_NUMBER": str(int(number))}
        return {**at, "PYTHONPATH": str(tmp_path)}

    return make


@pytest.fixture
def signalled(site, surroundings):
    """Start a manager that is signalled when it imports these."""
    managers: list[Manager] = []

    def start(number: int, *modules: str) -> Manager:
        managers.append(Manager(site, surroundings=surroundings(number, *modules)))
        return managers[-1]

    yield start
    for manager in managers:
        manager.stop()


def test_sighup_reads_the_site_config_again_whenever_it_comes(site, signalled):
    site.write(instance("a"))
    manager = signalled(signal.SIGHUP, FIRST, LATER, FACE).wait_ready()
    wait_ready(site, "a")
    wait_for(lambda: manager.output().count("Site config read: no change") == 3, 20, "3 reloads")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("module", [FIRST, LATER, FACE])
def test_told_to_end_it_ends_what_an_earlier_one_left_and_launches_nothing(
    site, start_manager, signalled, number, module
):
    site.write(instance("a"))
    first = start_manager(site)
    wait_ready(site, "a")
    first.kill()
    site.write(instance("a"), instance("b"))
    manager = signalled(number, module)
    assert manager.process.wait(60) == 0, manager.output()
    assert processes(site) == []
    assert len(site.launches("a")) == 1
    if module != FACE:
        assert site.launches("b") == []
    start_manager(site)
    wait_for(lambda: set(processes_of(site)) >= {"a", "b"}, 20, "what was to be up to be up")


def test_told_to_end_twice_it_ends_at_once(site, signalled):
    site.write(instance("a"))
    manager = signalled(signal.SIGTERM, FIRST, LATER)
    assert manager.process.wait(60) == -signal.SIGTERM
    assert processes_of(site) == {}


def test_a_plugin_that_hangs_while_it_is_read_again_is_not_left_behind(site, start_manager):
    site.write(instance("a"))
    manager = start_manager(site)
    wait_ready(site, "a")
    info = site.working_dir / "slow-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: slow\n")
    (info / "entry_points.txt").write_text("[ocs.plugins]\nslow = slow\n")
    (site.working_dir / "slow.py").write_text("import time; open('begun', 'w'); time.sleep(1000)")
    manager.process.send_signal(signal.SIGHUP)
    wait_for((site.working_dir / "begun").exists, 30, "the import of the plugin")
    manager.process.send_signal(signal.SIGHUP)
    wait_for(lambda: manager.output().count("SIGHUP: reading") == 2, 20, "the next reading")
    assert manager.stop() == 0
    assert processes(site) == []


def test_the_console_script_is_as_careful(site, surroundings):
    site.write(instance("a"))
    argv = ["--instance-id", site.manager_id, *site.args, "--state-dir", str(site.state_dir)]
    with subprocess.Popen(
        [Path(sys.executable).with_name("hostmanager"), "run", *argv],
        cwd=site.working_dir,
        env={**os.environ, **surroundings(signal.SIGHUP, "hostmanager.cli.main", "argparse")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        wait_for(lambda: processes_of(site) or process.poll() is not None, 30, "an agent")
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
