"""Whose password a client sends: that of the command line, or of a user of the web page."""

import argparse

import pytest

from hostmanager.client.errors import FailureKind, ManagerError
from hostmanager.client.managers.credentials import read_privileges


@pytest.mark.parametrize("typed", ["1", "2", "3", "-", "secret"])
def test_what_a_user_of_the_web_page_types_is_sent_as_it_is(typed):
    """`--privs 3` is looked up in the password file of the user who started the server."""
    assert read_privileges(argparse.Namespace(privs="3", password=typed)) == typed


def test_a_user_who_typed_nothing_gets_none_of_the_serversread_privileges():
    assert read_privileges(argparse.Namespace(privs="3", password=None)) is None


@pytest.mark.parametrize(("text", "privileges"), [(None, None), ("3", 3), ("secret", "secret")])
def test_privs_is_a_level_or_a_password(text, privileges):
    assert read_privileges(argparse.Namespace(privs=text)) == privileges


@pytest.mark.parametrize(
    ("kind", "text", "needed"),
    [
        ("refused", "'update' needs credential level 2; this client has 1.", True),
        ("refused", "The action requires credential level 2-ADVANCED but the client has 1", True),
        ("refused", "there is no agent 'x'", False),
        ("silent", "no answer", False),
    ],
)
def test_a_refusal_says_whether_a_password_would_help(kind, text, needed):
    assert ManagerError(FailureKind(kind), text).needs_password is needed
