"""What a client sees of the demo's manager: the demo has no other source.

The sessions come from the poller, and are understood by the status model, of every command.
"""

import time
from dataclasses import dataclass, replace

from ocs.site_config import add_arguments

from hostmanager.client.errors import ManagerError
from hostmanager.client.managers.manager_client import ManagerClient
from hostmanager.client.site_model import SiteHost, read_site
from hostmanager.client.status.findings import build_host_status
from hostmanager.client.status.model import AgentStatus, HostStatus
from hostmanager.client.watch.poller import SessionOrError, SessionPoller
from hostmanager.demo.site import HOST, MANAGER, DemoSite
from hostmanager.util.text import end_sentence

POLL_INTERVAL = 0.25
"""Seconds between two requests."""

ANSWER_TIMEOUT = 3.0
"""Seconds without an answer after which the manager counts as silent."""

Message = tuple[float, str]
"""Unix time and text."""


@dataclass(frozen=True, slots=True)
class View:
    """The manager as it was seen once.

    Attributes:
        host: Its host and agents, as last seen when it did not answer; None before its first answer.
        messages: Those of its session, the oldest first.
        problem: Why there is nothing newer; empty when all is well.
    """

    host: HostStatus | None = None
    messages: tuple[Message, ...] = ()
    problem: str = ""

    @property
    def agents(self) -> tuple[AgentStatus, ...]:
        """The agents that the manager reported."""
        agents = self.host.agents if self.host is not None else ()
        return tuple(agent for agent in agents if agent.child is not None)


def build_view(host: SiteHost, session: SessionOrError, before: View) -> View:
    """Understand a session of the `manager` process, or that there is none."""
    if isinstance(session, ManagerError):
        return replace(before, problem=end_sentence(str(session)))
    status = build_host_status(host, session)
    messages = tuple((float(at), str(text)) for at, text in session.get("messages") or ())
    if not status.agents or status.process != "running":
        problem = "" if status.process == "running" else f"The manager process is {status.process}."
        return View(before.host, messages, problem)
    return View(status, messages)


class ManagerWatch:
    """Polls the manager of a demo's site."""

    def __init__(self, demo_site: DemoSite) -> None:
        site = read_site(add_arguments().parse_args(demo_site.args))
        self._host = site.hosts[HOST]
        self._view = View()
        self._poller = SessionPoller(
            {HOST: ManagerClient(site, HOST, MANAGER, None)}, POLL_INTERVAL, ANSWER_TIMEOUT
        )

    def next_view(self, timeout: float) -> View:
        """The manager as it is after its next answer, or after `timeout` seconds."""
        self._poller.wait_for_update(timeout)
        session = self._poller.latest(HOST)
        if session is not None:
            self._view = build_view(self._host, session, self._view)
        return self._view

    def stop(self) -> None:
        """Ask no more. Does not wait for an answer."""
        self._poller.stop()


def format_clock(at: float) -> str:
    """A Unix time as the wall clock shows it."""
    return time.strftime("%H:%M:%S", time.localtime(at))
