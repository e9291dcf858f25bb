"""How an end is put into words."""

import pytest

from hostmanager.core.events import ExitStatus


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (ExitStatus(code=0), "exited with code 0"),
        (ExitStatus(signal=9), "was ended by SIGKILL"),
        (ExitStatus(signal=40), "was ended by signal 40"),
        (ExitStatus(), "ended in an unknown way"),
    ],
)
def test_an_exit_status_completes_a_sentence(status, text):
    assert str(status) == text
