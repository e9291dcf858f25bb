"""Who makes a request, and why: sent to managers that keep it, and to no other."""

import argparse

import pytest
from tests.support.http_bridge import session

from hostmanager.client.managers.request_origin import (
    command_origin,
    origin_params,
    reason_problem,
    taken_parameters,
)
from hostmanager.core.request_origin import MAX_REASON_CHARS, RequestOrigin

ORIGIN = RequestOrigin("ann@control", "cable work")


def test_it_is_sent_to_a_manager_that_takes_it():
    taken = taken_parameters(session(request_params=["reason", "requested_by"]))
    assert origin_params(ORIGIN, taken) == {
        "reason": "cable work",
        "requested_by": "ann@control",
    }
    assert origin_params(RequestOrigin("ann@control"), taken) == {"requested_by": "ann@control"}


@pytest.mark.parametrize("answer", [{}, {"data": None}, session(), session(request_params="yes")])
def test_nothing_is_sent_to_other_managers(answer):
    assert origin_params(ORIGIN, taken_parameters(answer)) == {}


def test_the_user_and_the_host_of_the_command_are_given_without_being_asked_for():
    origin = command_origin(argparse.Namespace(reason=None))
    assert "@" in origin.requested_by
    assert origin.reason == ""


@pytest.mark.parametrize("text", ["", "  ", "x" * (MAX_REASON_CHARS + 1), "two\nlines", "\x1b[2J"])
def test_a_reason_that_cannot_be_kept_is_refused(text):
    assert reason_problem(text)


def test_a_short_sentence_is_a_reason():
    assert reason_problem("Kühlwasser aus, bis 14:00") == ""


def test_a_user_whom_a_face_names_takes_the_place_of_the_user_of_the_process():
    args = argparse.Namespace(reason="cables", requested_by="ann by web")
    assert command_origin(args) == RequestOrigin("ann by web", "cables")
