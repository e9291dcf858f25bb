"""Who and why are short texts on one line; anything else is refused in words."""

import pytest

from hostmanager.core.request_origin import (
    MAX_REASON_CHARS,
    MAX_REQUESTER_CHARS,
    RequestOrigin,
    validate_origin,
)
from hostmanager.core.requests import RequestError


def test_both_may_be_left_out():
    assert validate_origin({}) == ("", "")
    assert validate_origin({"reason": None, "requested_by": None}) == ("", "")


def test_what_fits_is_taken_without_the_blanks_around_it():
    params = {"reason": " Pumpe getauscht, µ ", "requested_by": "ann@control"}
    assert validate_origin(params) == ("ann@control", "Pumpe getauscht, µ")
    assert validate_origin({"reason": "x" * MAX_REASON_CHARS})[1] == "x" * MAX_REASON_CHARS


@pytest.mark.parametrize(
    ("params", "problem"),
    [
        ({"reason": 7}, "'reason' must be a text"),
        ({"requested_by": ["ann"]}, "'requested_by' must be a text"),
        ({"reason": "x" * (MAX_REASON_CHARS + 1)}, "'reason' has 201 characters"),
        (
            {"requested_by": "x" * (MAX_REQUESTER_CHARS + 1)},
            "'requested_by' has 121 characters",
        ),
        ({"reason": "two\nlines"}, "control character"),
        ({"reason": "\x1b[2J"}, "control character"),
        ({"requested_by": "ann\u202e@lortnoc"}, "control character"),
        ({"reason": "\ud800"}, "control character"),
    ],
)
def test_anything_else_is_refused(params, problem):
    with pytest.raises(RequestError, match=r"Nothing was changed\.$") as refusal:
        validate_origin(params)
    assert problem in str(refusal.value)


@pytest.mark.parametrize(
    ("origin", "author"),
    [
        (RequestOrigin("ann@control", level=1), "ann@control, level 1"),
        (RequestOrigin(level=2), "client, level 2"),
        (RequestOrigin(), ""),
    ],
)
def test_the_author_is_the_clients_word_beside_the_level(origin, author):
    assert origin.author == author
