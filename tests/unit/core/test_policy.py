"""The rules in numbers, as the contract and the issue have them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostmanager.core.policy import RestartPolicy, StopPolicy, recent_exits, stability

EVEN = 0.5  # the chance that means: no jitter


def test_the_first_failure_is_answered_at_once():
    assert RestartPolicy().delay(1, jitter_sample=1.0) == 0.0


@pytest.mark.parametrize(
    ("streak", "delay"), [(2, 1.0), (3, 2.0), (4, 4.0), (5, 8.0), (6, 10.0), (7, 10.0)]
)
def test_delays_double_up_to_ten_seconds(streak, delay):
    assert RestartPolicy().delay(streak, EVEN) == delay


def test_jitter_is_a_quarter_either_way():
    policy = RestartPolicy()
    assert policy.delay(3, jitter_sample=0.0) == 1.5
    assert policy.delay(3, jitter_sample=1.0) == 2.5


@given(st.integers(1, 10**9), st.floats(0, 1), st.floats(1.0, 3600.0))
def test_no_delay_is_longer_than_the_longest_that_was_asked_for(streak, chance, longest):
    assert 0.0 <= RestartPolicy(max_delay=longest).delay(streak, chance) <= longest


def test_a_year_of_failures_overflows_nothing():
    assert RestartPolicy().delay(3_000_000, EVEN) == 10.0


def test_a_run_of_a_minute_ends_a_streak():
    policy = RestartPolicy()
    assert policy.count_failure(7, ran_for=59.9) == 8
    assert policy.count_failure(7, ran_for=60.0) == 1


def test_stops_are_as_patient_as_the_issue_says():
    assert (StopPolicy().interrupt, StopPolicy().terminate) == (10.0, 5.0)


# --- stability, contract section 5 -------------------------------------------------------


def test_without_exits_an_instance_is_stable():
    assert stability((), now=1000.0) == 1.0


def test_one_exit_ten_seconds_ago_is_a_stability_of_one_half():
    assert stability((990.0,), now=1000.0) == 0.5


def test_exits_add_up():
    assert stability((900.0, 950.0), now=1000.0) == pytest.approx(1 - 5 / 100 - 5 / 50)


@pytest.mark.parametrize("age", [0.0, 1e-9, 1.0, 5.0])
def test_an_exit_of_just_now_leaves_no_stability_and_divides_by_nothing(age):
    assert stability((1000.0 - age,), now=1000.0) == 0.0


def test_an_exit_is_forgotten_after_two_minutes():
    assert stability((880.1,), now=1000.0) < 1.0
    assert stability((880.0,), now=1000.0) == 1.0
    assert recent_exits((800.0, 880.0, 881.0), now=1000.0) == (881.0,)


@given(st.lists(st.floats(0, 2000), max_size=50), st.floats(0, 2000))
def test_stability_is_between_nought_and_one_whatever_happened(exits, now):
    assert 0.0 <= stability(tuple(exits), now) <= 1.0
