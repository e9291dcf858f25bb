"""Every state, target and health has a number of its own."""

import pytest

from hostmanager.agent.metrics.codes import HEALTH_CODES, STATE_CODES, TARGET_CODES
from hostmanager.core.health import Health
from hostmanager.core.model import Target
from hostmanager.core.record import State


@pytest.mark.parametrize(
    ("codes", "words"), [(STATE_CODES, State), (TARGET_CODES, Target), (HEALTH_CODES, Health)]
)
def test_each_word_has_a_number_of_its_own(codes, words):
    assert set(codes) == set(words)
    assert sorted(codes.values()) == list(range(len(words)))


def test_what_is_plotted_as_one_is_good():
    assert STATE_CODES[State.UP] == TARGET_CODES[Target.UP] == HEALTH_CODES[Health.OK] == 1
