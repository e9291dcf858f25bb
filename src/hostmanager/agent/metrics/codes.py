"""Numbers for words: states, targets and health as they are plotted. They stay as they are."""

from hostmanager.core.health import Health
from hostmanager.core.model import Target
from hostmanager.core.record import State

STATE_CODES = {
    State.DOWN: 0,
    State.UP: 1,
    State.STARTING: 2,
    State.BACKOFF: 3,
    State.STOPPING: 4,
    State.TERMINATING: 5,
    State.KILLING: 6,
    State.GIVEN_UP: 7,
    State.INOPERABLE: 8,
    State.UNOBSERVED: 9,
}

TARGET_CODES = {Target.DOWN: 0, Target.UP: 1, Target.PASSIVE: 2}

HEALTH_CODES = {
    Health.UNKNOWN: 0,
    Health.OK: 1,
    Health.STARTING: 2,
    Health.DEGRADED: 3,
    Health.FAILED: 4,
    Health.NO_HEARTBEAT: 5,
    Health.UNREGISTERED: 6,
}
"""What does not run, or is not followed, is unknown as well."""
