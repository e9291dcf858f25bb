"""Which change an address or a form asks for."""

import pytest

from hostmanager.client.change.plan import Selection
from hostmanager.web.errors import PageError
from hostmanager.web.views.change_query import ChangeQuery, read_change


class Query:
    """As of aiohttp."""

    def __init__(self, pairs):
        self._pairs = pairs

    def getall(self, key, default):
        return [value for name, value in self._pairs if name == key] or default


def read(*pairs):
    return read_change(Query(pairs))


def test_agents_are_named_by_host_and_id_and_ids_may_have_slashes():
    query = read(("action", "down"), ("agent", "daq1/det/1"), ("agent", "daq2/a"))
    assert query.agents == (("daq1", "det/1"), ("daq2", "a"))
    options = query.options()
    assert options["exact"] == {("daq1", "det/1"), ("daq2", "a")}
    assert (options["pattern"], options["host"]) == (["det/1", "a"], ["daq1", "daq2"])
    assert options["all"] is False


def test_an_id_on_a_host_is_exactly_that_agent():
    assert read(("id", "a"), ("host", "daq1")).options()["exact"] == {("daq1", "a")}


def test_patterns_are_those_of_the_command_line():
    query = read(("action", "up"), ("pattern", "det* ,acu[12]"), ("class", "Fake*"), ("host", ""))
    options = query.options()
    assert (options["pattern"], options["agent_class"]) == (["det*", "acu[12]"], ["Fake*"])
    assert (options["host"], options["exact"], options["all"]) == (None, frozenset(), False)


def test_a_host_alone_means_all_of_its_agents():
    assert read(("action", "silence"), ("host", "daq1")).options()["all"] is True


@pytest.mark.parametrize(
    ("pairs", "is_complete"),
    [
        ([], False),
        ([("action", "down")], False),
        ([("action", "down"), ("host", ""), ("pattern", "  ")], False),
        ([("action", "down"), ("all", "yes")], True),
        ([("action", "reload")], True),
        ([("host", "daq1")], False),
    ],
)
def test_nothing_named_means_nothing(pairs, is_complete):
    assert read(*pairs).is_complete is is_complete


def test_the_address_of_a_form_says_the_same_again():
    query = read(
        ("action", "silence"),
        ("agent", "daq1/a/b"),
        ("pattern", "x* y"),
        ("host", "daq1"),
        ("class", "Fake"),
        ("selection", "outdated"),
        ("reason", "cables & <more>"),
        ("duration", "2h"),
        ("confirmed", "yes"),
        ("shown", "abc"),
    )
    assert query.selection is Selection.OUTDATED
    again = read(*query.fields(), *query.typed())
    assert again == query
    assert (again.confirmed, again.shown) == (False, "")


@pytest.mark.parametrize(
    ("pair", "text"),
    [
        (("action", "explode"), "There is no action 'explode'"),
        (("agent", "daq1"), "'daq1' names no agent; write HOST/INSTANCE-ID"),
        (("agent", "/a"), "names no agent"),
        (("incident", "x"), "'x' is not the number of an incident"),
        (("selection", "x"), "There is no selection 'x'"),
    ],
)
def test_what_makes_no_sense_is_said(pair, text):
    with pytest.raises(PageError, match=text):
        read(pair)


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        (ChangeQuery("down"), ""),
        (ChangeQuery("down", reason="x" * 201), "The reason cannot be kept: it has 201 characters"),
        (ChangeQuery("down", reason="a\x07b"), "The reason cannot be kept"),
        (ChangeQuery("silence", duration="soon"), "How long? 'soon' is not a valid duration"),
        (ChangeQuery("down", duration="soon"), ""),
    ],
)
def test_what_was_typed_is_checked(query, problem):
    assert query.problem().startswith(problem)
    assert bool(query.problem()) is bool(problem)
