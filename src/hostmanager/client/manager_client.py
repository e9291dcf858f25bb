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

READ_TIMEOUT = frozenset({"history", "output"})
"""Operations that change nothing: asking again is harmless."""

MIN_WAIT = 0.2
"""Seconds that a manager may take at least to carry something out."""


class FailureKind(StrEnum):
    """Why there is no answer."""

    ROUTER = "router"  # no router, or what answers is none
    NOT_REGISTERED = "absent"  # the router is there, and knows no such manager
    TIMEOUT = "silent"  # nothing came within the time limit
    REFUSED = "refused"  # the router or the manager does not do it for us


class ManagerError(Exception):
    """A manager gave no answer. The text is for people; the remedy are sentences."""

    def __init__(self, kind: FailureKind, text: str, remedy: str = "") -> None:
        super().__init__(text)
        self.kind, self.hint = kind, remedy

    @property
    def sentences(self) -> str:
        """Text and remedy, where there is nothing else to say."""
        return f"{self}. {self.hint}".rstrip()


@dataclass(frozen=True, slots=True)
class OperationResult:
    """What became of an operation.

    Attributes:
        ok: Whether it did what it was asked for.
        text: What the manager said to that.
        data: The session's data.
    """

    ok: bool
    text: str
    data: Mapping[str, Any] = field(default_factory=dict)


class ManagerClient:
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
            ManagerError: No answer.
        """
        return self._request("status", operation)[2] or {}

    def run(self, operation: str, limit: float, /, **params: Any) -> OperationResult:
        """Run a task and wait for its end.

        Args:
            operation: The task.
            limit: Seconds that it may take.
            params: Its parameters.

        Raises:
            ManagerError: No answer, or none in time.
        """
        session = self._run_to_its_end(operation, limit, params)
        lines = [str(text) for _, text in session.get("messages") or []]
        said = [line for line in lines if not line.startswith("Status is now")]
        data = session.get("data")
        return OperationResult(
            bool(session.get("success")),
            said[-1] if said else "",
            data if isinstance(data, dict) else {},
        )

    def _run_to_its_end(
        self, operation: str, limit: float, params: dict[str, Any]
    ) -> dict[str, Any]:
        """Start a task; returns its own session, when it has ended, and never another one."""
        until = time.monotonic() + limit
        for _ in range(ATTEMPTS if operation in READ_TIMEOUT else 1):
            session = self._started(operation, params)
            number = session.get("session_id")
            if session.get("status") != "done":
                session = self._wait(operation, number, until, limit)
            if session.get("session_id") == number:
                return session
        raise self._was_for_another(operation)

    def own(self, operation: str, session: dict[str, Any]) -> dict[str, Any]:
        """Ask for a run of an operation as it is by now, though another may have come after it.

        Raises:
            ManagerError: No answer, or one about another run.
        """
        number = session.get("session_id")
        latest = self.session(operation)
        if latest.get("session_id") == number:
            return latest
        ended = self._wait(operation, number, 0.0, 0.0)
        if ended.get("session_id") != number:
            raise self._was_for_another(operation)
        return ended

    def _was_for_another(self, operation: str) -> ManagerError:
        return ManagerError(
            FailureKind.TIMEOUT,
            f"{self.instance_id} answered another client, which asked for '{operation}' a moment "
            "later. `hostmanager history` says what came of this request.",
        )

    def start(self, operation: str, /, **params: Any) -> dict[str, Any]:
        """Start an operation; returns its session at that moment.

        Raises:
            ManagerError: No answer, or it refuses.
        """
        return self._started(operation, params)

    def _started(self, operation: str, params: dict[str, Any]) -> dict[str, Any]:
        status, text, session = self._request("start", operation, params=params)
        if status != ocs.OK and "No task or process called" in str(text):
            raise ManagerError(
                FailureKind.REFUSED,
                f"{self.instance_id} has no operation '{operation}': is it an older version, or "
                "the HostManager inside ocs?",
            )
        if status != ocs.OK:
            raise ManagerError(
                FailureKind.REFUSED, f"{self.instance_id} refuses '{operation}': {text}"
            )
        return session or {}

    def _wait(self, operation: str, number: Any, until: float, limit: float) -> dict[str, Any]:
        left = max(MIN_WAIT, until - time.monotonic())
        # A manager that keeps no ended sessions ignores the parameter.
        status, text, session = self._request(
            "wait", operation, params={"session_id": number}, timeout=left
        )
        if status == ocs.TIMEOUT:
            raise ManagerError(
                FailureKind.TIMEOUT,
                f"{self.instance_id} has not done '{operation}' within {limit:g} s; it goes on.",
            )
        if status != ocs.OK:
            raise ManagerError(
                FailureKind.REFUSED, f"{self.instance_id} refuses '{operation}': {text}"
            )
        return session or {}

    def _request(self, action: str, operation: str, **given: Any) -> tuple[int, str, Any]:
        try:
            status, text, session = self._client.request(
                action, operation, given.pop("params", {}), **given, **self._secret
            )
        except ControlClientError as error:
            raise self._explained(error) from None
        except Exception as error:  # requests and json have many ways to say it
            raise ManagerError(
                FailureKind.ROUTER,
                f"{self._router} is no OCS router ({type(error).__name__}: {error})",
            ) from None
        return status, text, session

    def _explained(self, error: ControlClientError) -> ManagerError:
        details = error.args[0] if error.args else []
        name = str(details[4]) if len(details) > 4 else ""
        said = " ".join(map(str, details[5])) if len(details) > 5 else str(error)
        if name == "client_http.error.connection_error":
            refused = tls_failure(error)
            if refused is not None:
                text = f"no encrypted connection to {self._router} can be made: {refused.text}"
                return ManagerError(FailureKind.ROUTER, text, refused.remedy)
            text = f"no router answers at {self._router}"
            return ManagerError(FailureKind.ROUTER, text, "Is the router running?")
        if name == "client_http.error.request_error":
            return ManagerError(
                FailureKind.ROUTER,
                f"what answers at {self._router} is not the HTTP bridge of a router ({said})",
            )
        if name == "wamp.error.no_such_procedure":
            return ManagerError(
                FailureKind.NOT_REGISTERED,
                f"{self.instance_id} is not at the router: is it running, and does its host "
                "reach the router?",
            )
        return ManagerError(FailureKind.REFUSED, f"the router refuses it: {name}: {said}")


def make_clients(
    site: Site, args: argparse.Namespace, hosts: Iterable[str]
) -> dict[str, ManagerClient]:
    """Make a client for the manager of each of these hosts that has one.

    Raises:
        CommandError: There is no password for the privileges that are asked for.
    """
    ids = site.managers
    privs = _privileges(args.privs)
    return {
        host: ManagerClient(site, host, ids[host], _password(privs, ids[host]))
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


def run_parallel(
    work: Mapping[str, Callable[[], T]], limit: float | None
) -> dict[str, T | ManagerError]:
    """Do this for each host at the same time; nobody waits longer than the limit.

    Args:
        work: By host; each may raise `AskError`.
        limit: Seconds for all; None: each ends by itself.

    Returns:
        The result, or why there is none, by host.
    """
    done: queue.SimpleQueue[tuple[str, T | ManagerError | BaseException]] = queue.SimpleQueue()

    def go(host: str, job: Callable[[], T]) -> None:
        try:
            done.put((host, job()))
        except BaseException as error:
            done.put((host, error))

    for host, job in work.items():
        threading.Thread(target=go, args=(host, job), daemon=True).start()
    found: dict[str, T | ManagerError] = {}
    until = None if limit is None else time.monotonic() + limit
    while len(found) < len(work):
        try:
            left = None if until is None else max(0.0, until - time.monotonic())
            host, result = done.get(timeout=left)
        except queue.Empty:
            break
        if isinstance(result, BaseException) and not isinstance(result, ManagerError):
            raise result
        found[host] = result
    silent = ManagerError(FailureKind.TIMEOUT, f"no answer within {limit or 0:g} s")
    return {host: found.get(host, silent) for host in work}


def within(limit: float, job: Callable[[], T]) -> T:
    """Do this within a time limit.

    Raises:
        ManagerError: By the job, or since it took longer.
    """
    done = run_parallel({"": job}, limit)[""]
    if isinstance(done, ManagerError):
        raise done
    return done
