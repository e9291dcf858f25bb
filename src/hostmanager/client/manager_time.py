"""Times by a manager's clock: a client whose clock is off by minutes asks, and compares nothing."""

from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:  # it imports requests, and every command reads times
    from hostmanager.client.managers.manager_client import ManagerClient


class RelativeTime(float):
    """A Unix time that was given as an age, such as ``10m``; as a number, by this clock.

    Attributes:
        age: Seconds before now.
    """

    age: float

    def __new__(cls, age: float, now: float) -> Self:
        """Make it of an age and this clock's time."""
        time = super().__new__(cls, now - age)
        time.age = age
        return time


def by_manager_clock(
    manager: "ManagerClient", when: float | None, answer_timeout: float
) -> float | None:
    """A time by the clock of a manager; one that was given as such, not as an age, stays.

    Raises:
        ManagerError: No answer.
    """
    if not isinstance(when, RelativeTime):
        return when
    # The history is there as well while the manager process is stopped.
    now = manager.run("history", answer_timeout, limit=1).data.get("now")
    return (
        float(when) if now is None else float(now) - when.age
    )  # managers before 0.3 do not report it
