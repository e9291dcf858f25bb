"""What a handler of a request gets: the site, the session, clients of managers."""

import argparse
import asyncio
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from hostmanager.client.errors import ClientError
from hostmanager.client.history.site_history import SiteHistory
from hostmanager.client.managers.credentials import make_clients
from hostmanager.client.managers.manager_client import ManagerClient
from hostmanager.client.site_model import Site
from hostmanager.client.status.model import AgentStatus, HostStatus
from hostmanager.client.watch.live_site import LiveSite
from hostmanager.core.request_origin import MAX_REQUESTER_CHARS, text_problem
from hostmanager.util.secret import Secret
from hostmanager.util.text import closest_matches
from hostmanager.web.errors import NotFoundError, PageLink
from hostmanager.web.feeds.output import OutputFeeds
from hostmanager.web.feeds.shared_reads import SharedReads
from hostmanager.web.feeds.site import SiteFeed
from hostmanager.web.jobs import Jobs
from hostmanager.web.sessions import Session, Sessions
from hostmanager.web.settings import WebSettings
from hostmanager.web.urls import make_url

MAX_READERS = 500
SESSION = web.RequestKey("session", Session)
"""The session that the cookie of a request names, or that was begun for its answer."""


@dataclass(slots=True)
class Shared:
    """What all requests share while the server runs.

    Attributes:
        settings: How the server was started.
        live: The site as it is known now.
        args: The options that the client layer reads.
        pages: The first parts of the paths that there are: what the navigation offers.
        sessions: Those of browsers.
        readers: Clients of managers by host and password, each with the site that it was made for.
        answers: What managers answered a moment ago.
        outputs: The output of agents that is read now.
        history: What was read of journals.
        jobs: Changes that were confirmed.
        feed: Changes of the site, as messages for browsers.
        streams: The kind of each open stream of messages, and the task that writes it.
    """

    settings: WebSettings
    live: LiveSite
    args: argparse.Namespace
    pages: frozenset[str] = frozenset()
    sessions: Sessions = field(default_factory=Sessions)
    readers: dict[tuple[str, Secret], tuple[Site, ManagerClient]] = field(default_factory=dict)
    answers: SharedReads = field(default_factory=SharedReads)
    outputs: OutputFeeds = field(default_factory=OutputFeeds)
    history: SiteHistory = field(default_factory=SiteHistory)
    jobs: Jobs = field(default_factory=Jobs)
    feed: SiteFeed = field(init=False)
    streams: set[tuple[str, asyncio.Task[object]]] = field(default_factory=set)

    def forget_password(self, session: Session) -> None:
        """Forget what knows the password of a session that is over, or was answered to it."""
        if session.password:
            for key in [key for key in self.readers if key[1] == session.password]:
                del self.readers[key]
            self.answers.clear()


SHARED = web.AppKey("shared", Shared)


def shared_of(request: web.Request) -> Shared:
    """What all requests share."""
    return request.app[SHARED]


def settings_of(request: web.Request) -> WebSettings:
    """How the server was started."""
    return shared_of(request).settings


def site_of(request: web.Request) -> LiveSite:
    """The site as it is known now."""
    return shared_of(request).live


def url_of(request: web.Request, *parts: str, **query: object) -> str:
    """An address of this server: ``url_of(request, "agent", host, id, since=5)``."""
    return make_url(settings_of(request).root_path, *parts, **query)


def cookie_name(settings: WebSettings) -> str:
    """The name of the cookie: browsers do not keep those of two ports apart."""
    return f"hostmanager_{settings.listen.port}"


def known_session(request: web.Request) -> Session | None:
    """The session of a request, if it has one."""
    session = request.get(SESSION)
    if session is None:
        cookie = request.cookies.get(cookie_name(settings_of(request)))
        session = shared_of(request).sessions.find(cookie)
        if session is not None:
            request[SESSION] = session
    return session


def session_of(request: web.Request) -> Session:
    """The session of a request; one is begun if it has none."""
    session = known_session(request)
    if session is None:
        session = request[SESSION] = shared_of(request).sessions.begin()
    return session


def user_of(request: web.Request) -> str:
    """Who asks: by the word of the proxy, else by the name that was typed at the login."""
    if _is_from_proxy(request):
        return request.headers.get(settings_of(request).user_header, "").strip()
    session = known_session(request)
    return session.name if session else ""


def _is_from_proxy(request: web.Request) -> bool:
    settings = settings_of(request)
    return bool(settings.user_header) and settings.trusts(request.remote)


def requester_of(request: web.Request) -> str:
    """Who makes requests of managers by this page, for their history.

    ``ann at 10.0.0.7 (web)``; behind a proxy, which has the same address for all, ``ann (web)``.
    """
    place = " (web)" if _is_from_proxy(request) else f" at {request.remote} (web)"
    name = f"{user_of(request) or 'somebody'}{place}"
    return f"somebody{place}" if text_problem(name, MAX_REQUESTER_CHARS) else name


def args_of(request: web.Request, **options: Any) -> argparse.Namespace:
    """Options as of a command line, for the client layer: the server's, who asks, these.

    The password is that of the session: none of the server's own is ever used for a user.
    """
    session = known_session(request)
    given = {
        **vars(shared_of(request).args),
        "password": session.password if session else "",
        "requested_by": requester_of(request),
        "reason": None,
        **options,
    }
    return argparse.Namespace(**given)


def reader_of(request: web.Request, host: str) -> ManagerClient:
    """A client for what changes nothing: the same for all who have the same password.

    Raises:
        ClientError: The host has no manager.
    """
    readers, site = shared_of(request).readers, site_of(request).site
    session = known_session(request)
    key = host, session.password if session else Secret("")
    known = readers.get(key)
    if known is None or known[0] is not site:
        client = make_clients(site, args_of(request), [host]).get(host)
        if client is None:
            raise ClientError(f"The host {host} has no manager, so nothing can be asked of it.")
        known = readers[key] = site, client
        while len(readers) > MAX_READERS:
            del readers[next(iter(readers))]
    return known[1]


def known_host(request: web.Request, name: str) -> HostStatus:
    """The status of a host.

    Raises:
        NotFoundError: There is none of this name; the nearest are offered.
    """
    hosts = {host.host.name: host for host in site_of(request).hosts()}
    if name in hosts:
        return hosts[name]
    links = [
        PageLink(match, url_of(request, "host", match)) for match in closest_matches(name, hosts)
    ]
    raise NotFoundError(f"The site config has no host {name!r:.100}.", links)


def known_agent(request: web.Request, host: str, instance_id: str) -> AgentStatus:
    """The status of an agent.

    Raises:
        NotFoundError: There is none of this id on this host; the nearest, and those of the same id
            on other hosts, are offered.
    """
    hosts = site_of(request).hosts()
    agents = [agent for each in hosts for agent in each.agents]
    for agent in agents:
        if (agent.host, agent.instance_id) == (host, instance_id):
            return agent
    nearest = closest_matches(instance_id, {agent.instance_id for agent in agents})
    links = [
        PageLink(
            f"{agent.instance_id} on {agent.host}",
            url_of(request, "agent", agent.host, agent.instance_id),
        )
        for agent in sorted(agents, key=lambda agent: agent.host != host)
        if agent.instance_id in nearest
    ]
    raise NotFoundError(f"There is no agent {instance_id!r:.200} on host {host!r:.100}.", links[:5])
