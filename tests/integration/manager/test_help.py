"""The help of the agent, as a person reads it at a terminal of 80 columns."""

import os
import subprocess
import sys

import pytest

OURS = ("--initial-state", "--docker-compose FILES", "--docker-service-prefix P", "--state-dir DIR")


@pytest.fixture(scope="module")
def shown() -> str:
    """What `python -m hostmanager.agent -h` prints."""
    result = subprocess.run(
        [sys.executable, "-m", "hostmanager.agent", "-h"],
        env={**os.environ, "COLUMNS": "80"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout


def test_it_begins_with_the_command_that_was_typed(shown):
    assert shown.startswith("usage: python -m hostmanager.agent [OPTION ...]\n")


def test_no_line_is_wider_than_80_columns(shown):
    assert [line for line in shown.splitlines() if len(line) > 80] == []


def test_the_options_are_our_own_and_one_shows_those_of_every_agent(shown):
    for option in (*OURS, "--help-site"):
        assert f"  {option}" in shown
    assert "\n  --site-file" not in shown


def test_no_word_of_our_options_is_broken_at_a_hyphen(shown):
    assert [line for line in shown.splitlines() if line.endswith("-")] == []
