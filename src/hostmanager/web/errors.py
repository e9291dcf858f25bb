"""Errors that end a request, with sentences for people."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PageLink:
    """A link that a page of an error offers: its text and its address."""

    text: str
    address: str


class PageError(Exception):
    """A request cannot be answered; the text is for people.

    Attributes:
        status: The status of the answer.
        links: What was probably meant.
    """

    status = 400

    def __init__(self, text: str, links: Sequence[PageLink] = ()) -> None:
        super().__init__(text)
        self.links = tuple(links)


class NotFoundError(PageError):
    """There is nothing at this address."""

    status = 404


class ForbiddenError(PageError):
    """The request is refused: it does not come from a page of ours, or changes are switched off."""

    status = 403


class LoginNeededError(PageError):
    """A manager refuses what this session may not do; the login asks for a password."""

    status = 401


class ExpiredFormError(PageError):
    """The session of a form is over: nothing was sent. The form is shown again as it was filled."""

    status = 403
