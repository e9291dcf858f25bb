"""Environment, niceness and open files of a process, as its settings have them."""

import os
import resource

import psutil
import pytest

from hostmanager.core import events as ev
from hostmanager.core.events import StopStage
from hostmanager.core.model import InstanceSettings, InstanceSpec
from hostmanager.drivers.process.limits import process_limits
from tests.integration.process.conftest import until

SHOW = ("sh", "-c", 'printf %s "[$WORD]"; echo "($HOST_TEST)"; echo said; exec sleep 600')


async def begin(host, settings):
    host.commands["a"] = host.command("a", *SHOW)
    host.driver.launch(InstanceSpec("a", "Any", settings=settings), host.reports["a"].put_nowait)
    return await host.next("a")


async def end(host):
    host.driver.signal("a", StopStage.KILL)
    assert isinstance(await host.next("a"), ev.Exited)


async def test_a_process_has_the_environment_niceness_and_limit_of_its_settings(host):
    settings = InstanceSettings(environment=(("WORD", "$HOME `id` ü"),), nice=7, open_files=333)
    launched = await begin(host, settings)
    assert isinstance(launched, ev.Launched), launched
    await until(lambda: host.has_said("a", "said"), "its environment")
    text = host.output("a").read_text()
    assert "[$HOME `id` ü]" in text  # no shell of the manager has read it
    assert f"({host.directory})" in text  # the others are there as well
    process = psutil.Process(launched.pid)
    assert process.nice() == 7
    assert process.rlimit(resource.RLIMIT_NOFILE) == (333, 333)
    await end(host)


async def test_a_process_without_settings_has_what_it_always_had(host):
    launched = await begin(host, InstanceSettings())
    process = psutil.Process(launched.pid)
    assert process.nice() == 0
    assert process.rlimit(resource.RLIMIT_NOFILE) == process_limits.INHERITED_NOFILE
    await end(host)


@pytest.mark.parametrize(
    ("settings", "call", "reason"),
    [
        (InstanceSettings(nice=-5), "os.setpriority", ("nice", "LimitNICE=-5")),
        (InstanceSettings(open_files=999), "resource.prlimit", ("open-files", "LimitNOFILE=")),
    ],
)
async def test_what_is_not_permitted_is_a_failed_launch_with_the_remedy(
    host, monkeypatch, settings, call, reason
):
    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    module, name = call.split(".")
    monkeypatch.setattr({"os": os, "resource": resource}[module], name, refuse)
    report = await begin(host, settings)
    assert isinstance(report, ev.LaunchFailed), report
    assert report.step == reason[0]
    assert reason[1] in report.reason
    monkeypatch.undo()
    await until(lambda: not host.processes(), "the end of the attempt")


async def test_what_a_live_process_cannot_be_given_any_more_takes_a_restart(host, monkeypatch):
    launched = await begin(host, InstanceSettings(open_files=99))
    wider = InstanceSpec("a", "Any", settings=InstanceSettings(open_files=200, nice=4))

    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(resource, "prlimit", refuse)
    host.driver.update_spec(wider)
    assert await host.next("a") == ev.StatusChanged(settings_at_restart=("open-files",))
    monkeypatch.undo()
    process = psutil.Process(launched.pid)
    assert (process.nice(), process.rlimit(resource.RLIMIT_NOFILE)) == (4, (99, 99))
    less = InstanceSpec("a", "Any", settings=InstanceSettings(open_files=80, nice=4))
    host.driver.update_spec(less)
    assert await host.next("a") == ev.StatusChanged()
    assert process.rlimit(resource.RLIMIT_NOFILE) == (80, 80)
    await end(host)
