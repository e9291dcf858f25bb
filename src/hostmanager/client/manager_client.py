"""Asking managers: by OCS's own client, all hosts at the same time, each with a time limit.

OCS's client waits for ever for an answer, so each host is asked in a thread that nobody has to
wait for: a host that is silent costs its limit, once, and ends with the process.
"""

import argparse
import getpass
import queue
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeVar

import ocs
from ocs.client_http import ControlClientError
from ocs.site_config import get_control_client

from hostmanager.agent.framework.tls import tls_failure
from hostmanager.cli.exit_codes import CommandError
from hostmanager.client.site_model import Site
from hostmanager.siteconfig.entry import MANAGER_CLASS

T = TypeVar("T")

ATTEMPTS = 3
"""How often a question is asked when the answer was to somebody else's."""

READING = frozenset({"history", "output"})
"""Operations that change nothing: asking again is harmless."""

LEAST_WAIT = 0.2
"""Seconds that a manager may take at least to carry something out."""


class Trouble(StrEnum):
    """Why there is no answer."""

    ROUTER = "router"  # no router, or what answers is none
    ABSENT = "absent"  # the router is there, and knows no such manager
    SILENT = "silent"  # nothing came within the time limit
    REFUSED = "refused"  # the router or the manager does not do it for us


class AskError(Exception):
    """A manager gave no answer. The text is for people; the remedy are sentences."""

    def __init__(self, kind: Trouble, text: str, remedy: str = "") -> None:
        super().__init__(text)
        self.kind, self.remedy = kind, remedy

    @property
    def sentences(self) -> str:
        """Text and remedy, where there is nothing else to say."""
        return f"{self}. {self.remedy}".rstrip()


@dataclass(frozen=True, slots=True)
class Reply:
    """What became of an operation.

    Attributes:
        ok: Whether it did what it was asked for.
        text: What the manager said to that.
        data: The session's data.
    """

    ok: bool
    text: str
    data: Mapping[str, Any] = field(default_factory=dict)


class Manager:
    """The manager of one host, as a client sees it. Its methods block.

    Attributes:
        host: Its host.
        instance_id: Its id.
    """

    def __init__(self, site: Site, host: str, instance_id: str, password: str | None) -> None:
        self.host = host
        self.instance_id = instance_id
        self._router = site.router
        self._client = get_control_client(instance_id, site=site.config)
        # Managers of before access control take no password at all.
        self._secret = {"password": password} if password else {}

    def session(self, operation: str = "manager") -> dict[str, Any]:
        """Ask for the session of an operation; empty if it never ran.

        Raises:
            AskError: No answer.
        """
        return self._request("status", operation)[2] or {}

    def run(self, operation: str, limit: float, /, **params: Any) -> Reply:
        """Run a task and wait for its end.

        Args:
            operation: The task.
            limit: Seconds that it may take.
            params: Its parameters.

        Raises:
            AskError: No answer, or none in time.
        """
        session = self._run_to_its_end(operation, limit, params)
        lines = [str(text) for _, text in session.get("messages") or []]
        said = [line for line in lines if not line.startswith("Status is now")]
        data = session.get("data")
        return Reply(
            bool(session.get("success")),
            said[-1] if said else "",
            data if isinstance(data, dict) else {},
        )

    def _run_to_its_end(
        self, operation: str, limit: float, params: dict[str, Any]
    ) -> dict[str, Any]:
        """Start a task; returns its own session, when it has ended, and never another one."""
        until = time.monotonic() + limit
        for _ in range(ATTEMPTS if operation in READING else 1):
            session = self._started(operation, params)
            number = session.get("session_id")
            if session.get("status") != "done":
                session = self._waited(operation, number, until, limit)
            if session.get("session_id") == number:
                return session
        raise self._was_for_another(operation)

    def own(self, operation: str, session: dict[str, Any]) -> dict[str, Any]:
        """Ask for a run of an operation as it is by now, though another may have come after it.

        Raises:
            AskError: No answer, or one about another run.
        """
        number = session.get("session_id")
        latest = self.session(operation)
        if latest.get("session_id") == number:
            return latest
        ended = self._waited(operation, number, 0.0, 0.0)
        if ended.get("session_id") != number:
            raise self._was_for_another(operation)
        return ended

    def _was_for_another(self, operation: str) -> AskError:
        return AskError(
            Trouble.SILENT,
            f"{self.instance_id} answered another client, which asked for '{operation}' a moment "
            "later. `hostmanager history` says what came of this request.",
        )

    def start(self, operation: str, /, **params: Any) -> dict[str, Any]:
        """Start an operation; returns its session at that moment.

        Raises:
            AskError: No answer, or it refuses.
        """
        return self._started(operation, params)

    def _started(self, operation: str, params: dict[str, Any]) -> dict[str, Any]:
        status, text, session = self._request("start", operation, params=params)
        if status != ocs.OK and "No task or process called" in str(text):
            raise AskError(
                Trouble.REFUSED,
                f"{self.instance_id} has no operation '{operation}': is it an older version, or "
                "the HostManager inside ocs?",
            )
        if status != ocs.OK:
            raise AskError(Trouble.REFUSED, f"{self.instance_id} refuses '{operation}': {text}")
        return session or {}

    def _waited(self, operation: str, number: Any, until: float, limit: float) -> dict[str, Any]:
        left = max(LEAST_WAIT, until - time.monotonic())
        # A manager that keeps no ended sessions ignores the parameter.
        status, text, session = self._request(
            "wait", operation, params={"session_id": number}, timeout=left
        )
        if status == ocs.TIMEOUT:
            raise AskError(
                Trouble.SILENT,
                f"{self.instance_id} has not done '{operation}' within {limit:g} s; it goes on.",
            )
        if status != ocs.OK:
            raise AskError(Trouble.REFUSED, f"{self.instance_id} refuses '{operation}': {text}")
        return session or {}

    def _request(self, action: str, operation: str, **given: Any) -> tuple[int, str, Any]:
        try:
            status, text, session = self._client.request(
                action, operation, given.pop("params", {}), **given, **self._secret
            )
        except ControlClientError as error:
            raise self._explained(error) from None
        except Exception as error:  # requests and json have many ways to say it
            raise AskError(
                Trouble.ROUTER, f"{self._router} is no OCS router ({type(error).__name__}: {error})"
            ) from None
        return status, text, session

    def _explained(self, error: ControlClientError) -> AskError:
        details = error.args[0] if error.args else []
        name = str(details[4]) if len(details) > 4 else ""
        said = " ".join(map(str, details[5])) if len(details) > 5 else str(error)
        if name == "client_http.error.connection_error":
            refused = tls_failure(error)
            if refused is not None:
                text = f"no encrypted connection to {self._router} can be made: {refused.text}"
                return AskError(Trouble.ROUTER, text, refused.remedy)
            text = f"no router answers at {self._router}"
            return AskError(Trouble.ROUTER, text, "Is the router running?")
        if name == "client_http.error.request_error":
            return AskError(
                Trouble.ROUTER,
                f"what answers at {self._router} is not the HTTP bridge of a router ({said})",
            )
        if name == "wamp.error.no_such_procedure":
            return AskError(
                Trouble.ABSENT,
                f"{self.instance_id} is not at the router: is it running, and does its host "
                "reach the router?",
            )
        return AskError(Trouble.REFUSED, f"the router refuses it: {name}: {said}")


def managers(site: Site, args: argparse.Namespace, hosts: Iterable[str]) -> dict[str, Manager]:
    """Make a client for the manager of each of these hosts that has one.

    Raises:
        CommandError: There is no password for the privileges that are asked for.
    """
    ids = site.managers
    privs = _privileges(args.privs)
    return {
        host: Manager(site, host, ids[host], _password(privs, ids[host]))
        for host in hosts
        if host in ids
    }


def _privileges(text: str | None) -> str | int | None:
    """Take `--privs` as `OCSClient` takes it: a level as a number, a password as text."""
    if text == "-":
        return getpass.getpass("Password for the managers: ")
    return int(text) if text in {"1", "2", "3"} else text


def _password(privs: str | int | None, instance_id: str) -> str | None:
    if privs is None or isinstance(privs, str):
        return privs
    from ocs.access import client_get_password  # noqa: PLC0415 - imports pydantic

    try:
        password = client_get_password(privs, MANAGER_CLASS, instance_id)
    except Exception as error:
        raise CommandError(
            f"--privs {privs}: OCS's password file cannot be used: {error}"
        ) from None
    if not password and privs > 1:
        raise CommandError(
            f"--privs {privs}: OCS's password file has no password of that level for {instance_id}."
        )
    return str(password)


def in_parallel(
    work: Mapping[str, Callable[[], T]], limit: float | None
) -> dict[str, T | AskError]:
    """Do this for each host at the same time; nobody waits longer than the limit.

    Args:
        work: By host; each may raise `AskError`.
        limit: Seconds for all; None: each ends by itself.

    Returns:
        The result, or why there is none, by host.
    """
    done: queue.SimpleQueue[tuple[str, T | AskError | BaseException]] = queue.SimpleQueue()

    def go(host: str, job: Callable[[], T]) -> None:
        try:
            done.put((host, job()))
        except BaseException as error:
            done.put((host, error))

    for host, job in work.items():
        threading.Thread(target=go, args=(host, job), daemon=True).start()
    found: dict[str, T | AskError] = {}
    until = None if limit is None else time.monotonic() + limit
    while len(found) < len(work):
        try:
            left = None if until is None else max(0.0, until - time.monotonic())
            host, result = done.get(timeout=left)
        except queue.Empty:
            break
        if isinstance(result, BaseException) and not isinstance(result, AskError):
            raise result
        found[host] = result
    silent = AskError(Trouble.SILENT, f"no answer within {limit or 0:g} s")
    return {host: found.get(host, silent) for host in work}


def within(limit: float, job: Callable[[], T]) -> T:
    """Do this within a time limit.

    Raises:
        AskError: By the job, or since it took longer.
    """
    done = in_parallel({"": job}, limit)[""]
    if isinstance(done, AskError):
        raise done
    return done
