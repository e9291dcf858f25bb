"""An agent that somebody looks at, and what its manager is asked for the pages about it."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from hostmanager.client.errors import ClientError, FailureKind, ManagerError
from hostmanager.client.logs.log_reader import LogSource
from hostmanager.client.managers.manager_client import ManagerClient
from hostmanager.client.status.model import AgentStatus, HostStatus
from hostmanager.web.context import known_agent, known_host, reader_of, shared_of
from hostmanager.web.feeds.output import OutputFeed

PAGE_TIME = 2.0
"""Seconds that the page of an agent waits for its manager: its state is known already."""

LATE = f"Its manager has not answered within {PAGE_TIME:g} s; load the page again."


@dataclass(frozen=True, slots=True)
class Answer:
    """What a manager answered.

    Attributes:
        data: None: nothing.
        error: Why.
    """

    data: Any = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class AgentReader:
    """An agent, and how its manager is asked.

    Attributes:
        status: The agent.
        host: Its host.
        limit: Seconds for an answer.
        silent: Why its manager is not asked; empty: it is.
    """

    request: web.Request
    status: AgentStatus
    host: HostStatus
    limit: float
    silent: str

    @classmethod
    def of(cls, request: web.Request) -> "AgentReader":
        """The agent that the path of a request names.

        Raises:
            NotFoundError: There is none.
        """
        name = request.match_info["host"]
        status, host = (
            known_agent(request, name, request.match_info["id"]),
            known_host(request, name),
        )
        silent = ""
        if not _is_kept(host, status):
            silent = "No manager controls it, so none keeps its output and its history."
        elif host.error is not None:
            silent = f"Its manager does not answer: {host.error}."
        return cls(request, status, host, float(shared_of(request).args.answer_time), silent)

    @property
    def is_kept(self) -> bool:
        """Whether a manager keeps its output and its history, whether it answers now or not."""
        return _is_kept(self.host, self.status)

    @property
    def manager(self) -> ManagerClient:
        """What asks its manager; the same for all who may read the same.

        Raises:
            ManagerError: It cannot be asked.
        """
        if self.silent:
            raise ManagerError(FailureKind.TIMEOUT, self.silent)
        return reader_of(self.request, self.status.host)

    async def ask(
        self, what: str, seconds: float, read: Callable[[ManagerClient], Any], *, version: int = 0
    ) -> Answer:
        """Ask its manager, or use its answer of a moment ago.

        Args:
            what: A name for the question.
            seconds: For how long an answer serves.
            read: Asks; blocks.
            version: Of the site, if an answer is of no use any more once that has changed.
        """
        try:
            manager = self.manager
            key = what, manager, self.status.instance_id, version
            answers = shared_of(self.request).answers
            async with asyncio.timeout(PAGE_TIME):
                return Answer(await answers.get(key, seconds, lambda: read(manager)))
        except TimeoutError:
            return Answer(error=LATE)
        except (ManagerError, ClientError) as error:
            return Answer(error=str(error))

    @property
    def source(self) -> LogSource:
        """What reads its output.

        Raises:
            ManagerError: Nobody keeps it.
        """
        return LogSource(self.status, self.manager)

    @property
    def feed(self) -> OutputFeed:
        """Its output, as it comes.

        Raises:
            ManagerError: Nobody keeps it.
        """
        outputs = shared_of(self.request).outputs
        return outputs.get((self.manager, self.status.instance_id), lambda: self.source, self.limit)


def _is_kept(host: HostStatus, agent: AgentStatus) -> bool:
    return host.host.manager is not None and agent.is_managed
