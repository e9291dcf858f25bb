"""Calls of any form get an answer in words."""

import math

import pytest

from hostmanager.agent.calls import misfit


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        (["status", "manager"], {}),
        (["start", "update", {"requests": []}], {}),
        (["start", "update", None, None, "secret"], {}),
        (["wait", "update", None, 2.5], {}),
        (["start"], {"op_name": "update", "params": {}, "password": 7}),
    ],
)
def test_what_clients_of_ocs_send_has_the_form_of_a_request(args, kwargs):
    assert misfit(args, kwargs) is None


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        ([], {}),
        (["start"], {}),
        (["start", ["update"]], {}),
        ([{}, "update"], {}),
        (["start", "update", "up"], {}),
        (["start", "update", [1]], {}),
        (["start", "update", {}, "soon"], {}),
        (["start", "update", {}, math.nan], {}),
        (["start", "update", {}, math.inf], {}),
        (["start", "update", {}, 10**400], {}),
        (["start", "update", {}, None, None, None], {}),
        (["start", "update"], {"op_name": "update"}),
        (["start", "update"], {"x" * 10_000: 1}),
    ],
)
def test_what_has_another_form_is_told_so_in_one_short_sentence(args, kwargs):
    text = misfit(args, kwargs)
    assert text is not None
    assert len(text) < 300
