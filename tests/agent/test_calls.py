"""What clients send of a call; what nobody can use is refused in words."""

import math

import pytest

from hostmanager.agent.calls import LONGEST_WAIT, misfit, wait_seconds


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        (["status", "manager"], {}),
        (["status", "manager", []], {}),
        (["stop", "manager", []], {}),
        (["abort", "update", "now", "soon", ["x"]], {}),
        (["wait", "update", [1, 2], 2.5], {}),
        (["wait", "update", {"requests": [["fake2", "up"]]}], {}),
        (["start", "update", {"requests": []}], {}),
        (["start", "update", None, None, "secret"], {}),
        (["start", "update", {}, "soon"], {}),
        (["start"], {"op_name": "update", "params": {}, "password": 7}),
        ([["no", "action"], "update"], {}),
    ],
)
def test_parameters_that_are_not_used_may_be_anything(args, kwargs):
    assert misfit(*args, **kwargs) is None


@pytest.mark.parametrize(
    "args",
    [
        ["start", ["update"]],
        ["status", {}],
        ["status", None],
        ["start", "update", "up"],
        ["start", "update", []],
        ["start", "update", [1]],
    ],
)
def test_what_is_used_and_cannot_be_is_named_in_one_short_sentence(args):
    text = misfit(*args)
    assert text is not None
    assert len(text) < 200


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        ([], {}),
        (["start"], {}),
        (["start", "update", {}, None, None, None], {}),
        (["start", "update"], {"op_name": "update"}),
        (["start", "update"], {"x" * 10_000: 1}),
    ],
)
def test_what_has_other_parts_is_no_call(args, kwargs):
    with pytest.raises(TypeError):
        misfit(*args, **kwargs)


@pytest.mark.parametrize("timeout", [None, 0, -1, 2.5, True, -math.inf])
def test_a_number_of_seconds_is_taken_as_it_is(timeout):
    assert wait_seconds(timeout) == timeout


@pytest.mark.parametrize("timeout", [1e300, 10**400, math.inf])
def test_a_wait_has_an_upper_bound(timeout):
    assert wait_seconds(timeout) == LONGEST_WAIT


@pytest.mark.parametrize("timeout", ["soon", math.nan, [], {}])
def test_what_is_no_number_of_seconds_is_refused(timeout):
    with pytest.raises(ValueError, match="number of seconds"):
        wait_seconds(timeout)
