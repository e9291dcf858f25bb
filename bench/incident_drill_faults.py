"""The faults of the drill: each affects one host, with what `status` must show.

A fault is reported if `hostmanager status` names its host or agent together with the text that
tells what to do; it is repaired if one command is enough.
"""

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass

from ocs.ocs_client import OCSClient
from tests.support.sites import instance

from bench.incident_drill_site import DrillSite

Argv = tuple[str, ...]


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong.

    Attributes:
        what: For the report.
        subject: The host or agent that must be named.
        expected_text: What `status` must show for it.
        command: The arguments of `hostmanager` that repair it; empty if none can.
        manual_step: What somebody has to do on the host first, or instead.
        undo: Does that.
    """

    what: str
    subject: str
    expected_text: str
    command: Argv = ()
    manual_step: str = ""
    undo: Callable[[], object] = lambda: None

    @property
    def asks(self) -> bool:
        """Whether the command may ask first."""
        return self.command[:1] in {("up",), ("down",), ("restart",)}


def _manager_client(site: DrillSite, host: str) -> OCSClient:
    return OCSClient(f"hm-{host}", args=["--site-file", str(site.file)])


def stopped_by_hand(site: DrillSite, host: str) -> Fault:
    """Somebody stopped one for work on its hardware, and went home."""
    agent = site.ids(host)[0]
    _manager_client(site, host).update(requests=[(agent, "down")])
    return Fault("stopped by hand and forgotten", agent, "stopped by hand", ("up", agent))


def dies_at_once(site: DrillSite, host: str) -> Fault:
    """A new entry with an argument that its agent refuses; every host has read it."""
    agent = f"{host}-typo"
    entry = instance(agent, "--mode", "aqc", agent_class="FakeDataAgent")
    site.entries(host).append(entry)
    site.write()
    _manager_client(site, host).update(reload_config=True)

    def corrected() -> None:
        entry["arguments"] = ["--mode", "acq"]
        site.write()

    return Fault(
        "an argument that the agent refuses",
        agent,
        "exited with code 2",
        ("restart", agent),
        "correct the site config, and have the host read it",
        lambda: (corrected(), _manager_client(site, host).update(reload_config=True)),
    )


def no_such_class(site: DrillSite, host: str) -> Fault:
    """The plugin of a new agent was not installed on that host."""
    agent = f"{host}-camera"
    site.entries(host).append(instance(agent, agent_class="CameraAgent"))
    site.write()
    _manager_client(site, host).update(reload_config=True)

    def removed() -> None:
        site.entries(host).pop()
        site.write()

    return Fault(
        "a class that is not installed",
        agent,
        "no installed OCS plugin provides",
        ("reload", "--host", host),
        "install the plugin (here: remove the entry)",
        removed,
    )


def not_read_yet(site: DrillSite, host: str) -> Fault:
    """An entry was added, and nobody reloaded the manager."""
    agent = f"{host}-new"
    site.entries(host).append(instance(agent, "--mode", "acq", agent_class="FakeDataAgent"))
    site.write()
    return Fault("new in the site config", agent, "reload", ("reload", "--host", host))


def frozen_agent(site: DrillSite, host: str) -> Fault:
    """Somebody pressed Ctrl-Z, or a debugger left it."""
    agent = site.ids(host)[0]
    os.kill(site.pid(host, agent), signal.SIGSTOP)
    return Fault("a suspended agent", agent, "suspended", ("restart", agent))


def stopped_process(site: DrillSite, host: str) -> Fault:
    """Somebody stopped the `manager` process in ocs-web."""
    _manager_client(site, host).manager.stop()
    return Fault(
        "the manager process stopped by a client",
        host,
        "its manager process was stopped",
        ("up", "--host", host, "--all"),
    )


def flapping(site: DrillSite, host: str) -> Fault:
    """A device that drops its connection every few seconds."""
    agent = f"{host}-flappy"
    entry = instance(agent, "--behave", "crash-after", 4, agent_class="TinyAgent")
    site.entries(host).append(entry)
    site.write()
    _manager_client(site, host).update(reload_config=True)
    return Fault("an agent that dies again and again", agent, "code 1", ("down", agent))


def broken_copy(site: DrillSite, host: str) -> Fault:
    """An edit on one host went wrong, and the manager was asked to reload."""
    path = site.sites[host].file
    good = path.read_text()
    path.write_text(good.replace("agent-instances:", "agent-instances", 1))
    _manager_client(site, host).update(reload_config=True)
    return Fault(
        "a site config with a typing error",
        host,
        "cannot use the site config",
        ("reload", "--host", host),
        "correct the file on the host",
        lambda: path.write_text(good),
    )


def dead_manager(site: DrillSite, host: str) -> Fault:
    """The manager is gone, its agents run."""
    site.managers[host].kill()
    return Fault(
        "a dead manager",
        f"hm-{host}",
        "not at the router",
        manual_step="its systemd starts it again (here: by hand)",
        undo=lambda: site.start(host).wait_ready(),
    )


def frozen_manager(site: DrillSite, host: str) -> Fault:
    """A host that is swapping itself to death."""
    pid = site.managers[host].pid
    os.kill(pid, signal.SIGSTOP)
    return Fault(
        "a host that does not answer",
        host,
        "no answer",
        manual_step="look at the host (here: SIGCONT)",
        undo=lambda: os.kill(pid, signal.SIGCONT),
    )


def typing_error_here(site: DrillSite, host: str) -> Fault:
    """The operators' own copy of the site config was edited badly; the hosts have the right one."""
    good = site.file.read_text()
    site.file.write_text(good.replace("agent-instances:", "agent-instances", 1))
    return Fault(
        "a typing error in the operators' own site config",
        "default.yaml",
        "line ",
        ("check", "--syntax"),
        "correct the file",
        lambda: site.file.write_text(good),
    )


def router_service(site: DrillSite, host: str) -> Fault:
    """An upgrade of the router named an image that is not there; then its container died."""
    service = site.router_service
    assert service is not None
    service.fail()
    return Fault(
        f"the router, a compose service of {host}, cannot start",
        service.http,
        "If it is a compose service, the manager of its host starts it again",
        manual_step="get its image on that host (here: `docker tag`)",
        undo=service.get_image,
    )


ALL: tuple[Callable[[DrillSite, str], Fault], ...] = (
    stopped_by_hand,
    dies_at_once,
    no_such_class,
    not_read_yet,
    frozen_agent,
    stopped_process,
    flapping,
    broken_copy,
    dead_manager,
    frozen_manager,
    typing_error_here,
)
"""Each is done to a host of its own, in this order; repaired in the reverse one. Without a router
there is no other to see: `router_service` comes alone, after these."""
