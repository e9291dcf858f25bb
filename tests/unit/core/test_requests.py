"""Whatever a client sends: a list of requests that make sense, or one clear refusal."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostmanager.core.model import Target
from hostmanager.core.requests import MAX_REQUESTS, Request, RequestError, validate_requests

KNOWN = ("fake1", "fake2", "data1")
LEAVING = {"old": "'old' is no longer in the site config; it is being stopped."}

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["up", "down", "all", "old", *KNOWN]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)


def refusal(requests):
    with pytest.raises(RequestError) as refused:
        validate_requests(requests, KNOWN, LEAVING)
    return str(refused.value)


def test_requests_that_make_sense_are_taken_in_their_order():
    assert validate_requests([["all", "up"], ("data1", "down")], KNOWN, LEAVING) == [
        Request("all", Target.UP),
        Request("data1", Target.DOWN),
    ]


def test_no_request_is_no_error():
    assert validate_requests([], KNOWN, LEAVING) == validate_requests((), KNOWN, LEAVING) == []


def test_a_request_reads_like_words():
    assert str(Request("fake1", Target.UP)) == "fake1 up"


@pytest.mark.parametrize("nonsense", [None, 5, 5.5, "fake1", {"fake1": "up"}, True, b"x", object()])
def test_what_is_no_list_is_refused_with_an_example(nonsense):
    assert "must be a list of pairs such as [['fake1', 'up']" in refusal(nonsense)


@pytest.mark.parametrize(
    "nonsense",
    [None, 7, "up", ["fake1"], ["fake1", "up", "now"], [], {"fake1": "up"}, [["fake1", "up"]]],
)
def test_what_is_no_pair_is_refused_and_named(nonsense):
    text = refusal([["fake1", "up"], nonsense])
    assert text.startswith("Request 2, ")
    assert "is not a pair" in text


@pytest.mark.parametrize(
    "target", [True, False, None, 1, "UP", "passive", "", [], {}, ["up"], {"up": 1}, float("nan")]
)
def test_targets_other_than_up_and_down_are_refused(target):
    text = refusal([["fake1", target]])
    assert text.startswith("Request 1, ")
    assert "it must be 'up' or 'down'" in text


@pytest.mark.parametrize("instance_id", [None, 1, True, [], {}, ["fake1"], {"a": 1}, [[["x"]]], ""])
@pytest.mark.parametrize("target", ["up", "down"])
def test_ids_that_are_no_ids_are_refused_not_looked_up(instance_id, target):
    assert "no instance" in refusal([[instance_id, target]])


def test_a_typing_mistake_is_answered_with_the_nearest_id():
    text = refusal([["all", "up"], ["fak1", "down"]])
    assert "Request 2, ['fak1', 'down']: no instance 'fak1' is managed here" in text
    assert "(did you mean 'fake1'?)" in text


def test_a_typing_mistake_in_a_target_is_answered_too():
    assert "(did you mean 'down'?)" in refusal([["fake1", "dwn"]])


def test_what_is_like_nothing_gets_no_guess():
    assert "did you mean" not in refusal([["zzzzzz", "up"]])


def test_each_refusal_says_that_nothing_was_changed():
    for nonsense in (None, [1], [["fake1", 1]], [["x", "up"]], [["old", "up"]]):
        assert refusal(nonsense).endswith("Nothing was changed.")


def test_what_leaves_cannot_be_wanted_up_and_the_reason_is_reported():
    assert "no longer in the site config" in refusal([["old", "up"]])


def test_what_leaves_can_be_wanted_down():
    assert validate_requests([["old", "down"]], KNOWN, LEAVING) == [Request("old", Target.DOWN)]


@pytest.mark.parametrize(
    ("asked", "result"),
    [
        ("a up, a down, a up", "a up"),
        ("a up, b down, a down", "b down, a down"),
        ("a up, all down, b up", "all down, b up"),
        ("a down, b down, all up, all down, c up, c down", "all down, c down"),
    ],
)
def test_the_last_word_on_an_instance_counts(asked, result):
    pairs = [pair.split() for pair in asked.split(", ")]
    assert ", ".join(map(str, validate_requests(pairs, {"a": 1, "b": 1, "c": 1}, {}))) == result


def test_ten_thousand_requests_are_taken_in_no_time():
    ids = [f"agent{number}" for number in range(500)]
    requests = [[ids[number % 500], "up"] for number in range(MAX_REQUESTS)]
    began = time.thread_time()
    assert len(validate_requests(requests, ids, {})) == 500
    assert time.thread_time() - began < 0.5


def test_more_requests_than_that_are_refused_in_words():
    text = refusal([["all", "up"]] * (MAX_REQUESTS + 1))
    assert text.startswith("'requests' has 10,001 entries, and the limit is 10,000")


def test_a_guess_at_what_was_meant_takes_no_time_either():
    ids = ["ab" * 30 + str(number) for number in range(500)]
    began = time.thread_time()
    with pytest.raises(RequestError):
        validate_requests([["ba" * 32, "up"]], ids, {})
    assert time.thread_time() - began < 0.5


def test_a_huge_string_is_refused_at_once_and_shown_short():
    began = time.thread_time()
    text = refusal([["f" * 5_000_000, "up"]])
    assert time.thread_time() - began < 1.0
    assert len(text) < 400


def test_a_bottomless_list_is_refused_and_shown_short():
    deep: list = []
    for _ in range(100_000):
        deep = [deep]
    assert len(refusal([deep])) < 400
    assert len(refusal([[deep, "up"]])) < 400
    assert len(refusal({"a": deep})) < 400


def test_something_that_cannot_even_be_shown_is_refused():
    class Rude:
        def __repr__(self):
            raise RuntimeError("no")

    assert "is not a pair" in refusal([Rude()])


@given(JSON)
def test_no_json_whatever_brings_anything_but_requests_or_a_refusal(anything):
    try:
        accepted = validate_requests(anything, KNOWN, LEAVING)
    except RequestError as refused:
        assert len(str(refused)) < 500
    else:
        assert len(accepted) == len(anything)
        assert all(isinstance(request, Request) for request in accepted)
