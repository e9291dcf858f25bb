"""The arguments of an agent, as anybody may see them."""

import pytest

from hostmanager.siteconfig.arguments import MAX_SHOWN_ARGUMENTS, visible_arguments


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["--mode", "acq", "--rate=2"], ["--mode", "acq", "--rate=2"]),
        (["--password", "hunter2", "--x"], ["--password", "***", "--x"]),
        (["--api-key=abc"], ["--api-key=***"]),
        (["--db-token", "-x1"], ["--db-token", "***"]),
        (["--secret", "--verbose"], ["--secret", "--verbose"]),
        (["token"], ["token"]),
    ],
)
def test_values_of_options_that_sound_like_a_secret_are_not_shown(arguments, shown):
    assert visible_arguments(arguments) == shown


def test_no_more_than_a_bound_are_shown():
    assert len(visible_arguments(["x"] * 1000)) == MAX_SHOWN_ARGUMENTS
