"""What the journal says of a requested silence."""

import math

import pytest

from hostmanager.agent import audit
from hostmanager.journal import Journal


@pytest.mark.parametrize(
    ("params", "text", "seconds"),
    [
        ({"seconds": 600, "end": False}, "silence: a for 10 m 00 s", 600),
        ({"seconds": None, "end": True}, "silence: a ends", None),
        ({"seconds": math.nan, "end": False}, "silence: a", None),
        ({"seconds": math.inf, "end": False}, "silence: a", None),
        ({"seconds": "x", "end": False}, "silence: a", None),
    ],
)
def test_a_silence_says_for_how_long_it_is(tmp_path, params, text, seconds):
    journal = Journal(tmp_path / "journal.sqlite")
    audit.record_request(journal, "silence", None, {"instances": ["a"], **params})
    (entry,) = journal.history()
    journal.close()
    assert (entry["text"], entry["instance_id"], entry["data"]["seconds"]) == (text, "a", seconds)


def test_a_restart_says_what_it_did(tmp_path):
    journal = Journal(tmp_path / "journal.sqlite")
    audit.record_request(journal, "restart", None, {"instances": ["a", "b"]})
    texts = [entry["text"] for entry in journal.history()]
    journal.close()
    assert texts == ["restart: a", "restart: b"]
