"""Errors of the client layer. Their texts are for people, and have a hint where there is one."""

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

_T = TypeVar("_T")


class ClientError(Exception):
    """A request cannot be carried out.

    Attributes:
        unreachable: Whether that is because the router or a manager does not answer; otherwise
            the request or the site config makes no sense.
    """

    def __init__(self, text: str, *, unreachable: bool = False) -> None:
        super().__init__(text)
        self.unreachable = unreachable


class FailureKind(StrEnum):
    """Why a manager gave no answer."""

    ROUTER = "router"  # no router, or something else listens at its address
    NOT_REGISTERED = "absent"  # the router knows no such manager
    TIMEOUT = "silent"
    REFUSED = "refused"  # by the router or the manager


class ManagerError(Exception):
    """A manager gave no answer.

    Attributes:
        kind: Why.
        hint: What to do about it: sentences, or empty.
    """

    def __init__(self, kind: FailureKind, text: str, hint: str = "") -> None:
        super().__init__(text)
        self.kind, self.hint = kind, hint

    @property
    def text_with_hint(self) -> str:
        """Text and hint as one line."""
        return f"{self}. {self.hint}".rstrip()

    @property
    def unreachable(self) -> bool:
        """Whether nobody answered, rather than refused."""
        return self.kind is not FailureKind.REFUSED

    @property
    def needs_password(self) -> bool:
        """Whether another password would help: OCS, and our managers, name the level then."""
        return self.kind is FailureKind.REFUSED and "credential level" in str(self)


def split_results(
    results: Mapping[str, _T | ManagerError],
) -> tuple[dict[str, _T], dict[str, ManagerError]]:
    """Divide the results of managers into answers and errors, both by host."""
    errors = {host: r for host, r in results.items() if isinstance(r, ManagerError)}
    return {h: r for h, r in results.items() if not isinstance(r, ManagerError)}, errors


def router_error(results: list[object]) -> ManagerError | None:
    """The error of the router, if that alone is why no manager answered."""
    errors = [result for result in results if isinstance(result, ManagerError)]
    router_only = all(error.kind is FailureKind.ROUTER for error in errors)
    return errors[0] if errors and router_only and len(errors) == len(results) else None


def require_router(results: list[object]) -> None:
    """Check that the router answered at least for one manager.

    Raises:
        ClientError: There is no router.
    """
    error = router_error(results)
    if error is not None:
        raise ClientError(error.text_with_hint, unreachable=True)
