"""Every parser of bytes that somebody else writes: a value, "not ours" or its declared error.

What counts as an error is the parser's own (`RequestError`, `SiteFileError` …); any other exception
fails. Values are used as the program uses them: shown, put into JSON, made into names of files.
In here: of clients, and of files that an administrator or another program writes.
"""

import json
from contextlib import suppress
from types import SimpleNamespace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hostmanager.agent.operations.history import check_query
from hostmanager.agent.operations.output import check_output_query
from hostmanager.agent.targets.store import TargetStore
from hostmanager.core.events import Timestamp
from hostmanager.core.protocols import Timer
from hostmanager.core.requests import RequestError, validate_requests
from hostmanager.journal import EntryKind, Journal
from hostmanager.journal.entry import from_row
from hostmanager.siteconfig.diagnostics import SiteFileError
from hostmanager.siteconfig.site_file import load_site_file
from tests.adversary.bytes_of_others import BYTES, JSON, TEXTS, fresh, make_directory
from tests.support.seeds import examples

directory = pytest.fixture(make_directory, scope="module")

TARGETS = st.fixed_dictionaries(
    {},
    optional={
        "targets": st.dictionaries(TEXTS, st.sampled_from(["up", "down", "passive", "x"])) | JSON,
        "ended": JSON,
        "stopped": JSON,
        "restarts": JSON,
    },
)


# --- clients --------------------------------------------------------------------------------


@given(
    JSON
    | st.lists(
        st.tuples(st.sampled_from(["a", "b", "all"]) | JSON, st.sampled_from(["up", "down"]) | JSON)
        | JSON,
        max_size=5,
    )
)
@examples(300)
def test_requests(requests):
    with suppress(RequestError):
        for request in validate_requests(requests, ["a", "b", "c"], {"c": "it leaves."}):
            assert request.instance_id in ("a", "b", "c", "all")


@given(st.binary(max_size=100) | TARGETS.map(lambda data: json.dumps(data).encode()))
@example(b"[" * 100_000)
@example(b'{"targets": {"a": "up"}}' + b"\0" * 50)
@examples(150)
def test_saved_targets(directory, content):
    path = fresh(directory) / "wanted.json"
    path.write_bytes(content)
    store = TargetStore(path, Clock())
    for target in store.load().values():
        assert target in ("up", "down")
    assert all(isinstance(run, str) for run in store.restarts.values())
    store.close()


class Clock:
    """Wanted asks it for later attempts to write."""

    def now(self) -> Timestamp:
        return Timestamp(0.0, 0.0)

    def call_at(self, _mono, _callback) -> Timer:
        return SimpleNamespace(cancel=lambda: None)


@given(JSON, JSON, JSON)
@examples(300)
def test_queries(instance_id, limit, since):
    for ask, params in (
        (
            check_query,
            {"instance_id": instance_id, "limit": limit, "since": since, "kinds": instance_id},
        ),
        (check_query, {"instance_id": instance_id, "limit": limit, "since": since}),
        (check_output_query, {"instance_id": instance_id, "lines": limit, "since": since}),
    ):
        with suppress(RequestError):
            query = ask(params)
            assert 1 <= query.limit <= 10_000


# --- files that an administrator or another program writes -----------------------------------


@given(BYTES)
@examples(150)
def test_a_site_config(directory, content):
    path = directory / "site.yaml"
    path.write_bytes(content)
    with suppress(SiteFileError):
        load_site_file(path, "daq")


@given(
    st.tuples(st.integers(0, 4096 * 5), st.binary(min_size=1, max_size=200)), st.integers(0, 20_000)
)
@examples(25)
def test_a_journal(directory, change, length):
    """A journal in which somebody has written or which was cut is set aside, or used."""
    path = fresh(directory) / "journal.sqlite"
    messages: list[str] = []
    journal = Journal(path, on_message=messages.append)
    for number in range(20):
        journal.record(EntryKind.REQUEST, f"entry {number}", data={"n": number})
    assert journal.close(20)
    content = bytearray(path.read_bytes())
    at, written = change
    content[at : at + len(written)] = written
    path.write_bytes(content[: length or None])
    journal = Journal(path, on_message=messages.append)
    journal.record(EntryKind.REQUEST, "afterwards")
    with suppress(Exception):
        journal.flush(20)
    for entry in _history(journal):
        json.dumps(entry, allow_nan=False)
    assert journal.close(20)


def _history(journal: Journal) -> list:
    from hostmanager.journal import JournalError

    with suppress(JournalError):
        return journal.history(None, 100, None)
    return []


@given(st.tuples(JSON, JSON, JSON, JSON, JSON), TEXTS | BYTES | JSON.map(json.dumps) | st.none())
@examples(150)
def test_a_row_of_the_journal(before, data):
    assert isinstance(from_row((*before, data))["data"], dict)
