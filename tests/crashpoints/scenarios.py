"""What a manager does while it is killed, and what may be in force after its next start.

Each begins with the same: a told up, b told down, c and e up by the site file alone, all so. Three
are always up by the site file, so that there is a fork server where it is wanted (``HM_TEST_WARM``).
It cannot be b that is the third: where the manager process is started again, the site file counts
and nothing that was said.
"""

import signal
from collections.abc import Callable
from dataclasses import dataclass

from tests.crashpoints.subject import Subject, Targets, ViolationError

BEGIN: Targets = {"a": "up", "b": "down", "c": "up", "e": "up"}
KEPT: Targets = {"a": "up", "b": "down"}
"""Those of them that operators named."""

TURNED: Targets = {"a": "down", "b": "up", "c": "up", "e": "up"}
RELOADED: Targets = {"a": "up", "b": "down", "d": "up", "e": "up"}


@dataclass(frozen=True)
class Scenario:
    """One thing that managers do.

    Attributes:
        name: What.
        act: Does it, and waits until its effects are there or the manager is dead; tells
            whether it was answered with success.
        before: The targets that may be in force after the next start if it was not answered.
        after: Those that have to be if it was; else they may be.
        prepare: What is to be so before, beside the beginning of all.
        keeps_pids: Whether agents have to go on as they are.
        new_pids: Whether none of them may go on as it is, if it was answered.
    """

    name: str
    act: Callable[[Subject], bool]
    before: Targets | None = None
    after: Targets = None  # type: ignore[assignment] # given by all
    prepare: Callable[[Subject], None] = lambda _: None
    keeps_pids: bool = False
    new_pids: bool = False


def _start(subject: Subject) -> bool:
    subject.start()
    return subject.wait_settled(BEGIN)


def _end_all(subject: Subject) -> None:
    assert subject.manager is not None
    subject.manager.stop()


def _kill(subject: Subject) -> None:
    assert subject.manager is not None
    subject.manager.kill()


def _update(subject: Subject) -> bool:
    answered = subject.update(requests=[["a", "down"], ["b", "up"]])
    subject.wait_settled(TURNED)
    return answered


def _reload(subject: Subject) -> bool:
    answered = subject.update(reload_config=True)
    subject.wait_settled(RELOADED)
    return answered


def _restart(subject: Subject) -> bool:
    before = subject.process_observer.leaders()
    answered = subject.succeeds("restart", instances=["a", "b", "c", "e"])
    if answered:
        subject.wait(
            "all to be restarted",
            lambda: (
                subject.settled([BEGIN])
                and not subject.process_observer.leaders().items() & before.items()
            ),
        )
    return answered


def _change_file(subject: Subject) -> None:
    subject.update(requests=[["c", "up"]])
    subject.write(changed=True)


def _terminate(subject: Subject) -> bool:
    assert subject.manager is not None
    subject.manager.process.send_signal(signal.SIGTERM)
    subject.ended()
    return True


def _die(subject: Subject) -> bool:
    subject.ask("start", "die")
    subject.ended()
    return True


def _disown(subject: Subject) -> bool:
    subject.ask("start", "die", disown=True)
    subject.ended()
    return True


def _stop_process(subject: Subject) -> bool:
    subject.ask("stop", "manager")
    subject.wait(
        "the manager process to end",
        lambda: (subject.ask("status", "manager") or {}).get("status") == "done",
    )
    return True


def _stopped(subject: Subject) -> None:
    _stop_process(subject)
    if not subject.alive():
        raise ViolationError("the manager ended when its process was stopped")


def _start_process(subject: Subject) -> bool:
    subject.ask("start", "manager")
    return subject.wait_settled(BEGIN) and subject.is_kept()


def _other_targets_and_stopped(subject: Subject) -> None:
    subject.update(requests=[["a", "down"], ["b", "up"]])
    _stopped(subject)


SCENARIOS = [
    Scenario("start", _start, after=BEGIN, prepare=_end_all),
    Scenario(
        *("start beside agents that run", _start),
        after=BEGIN,
        prepare=_kill,
        keeps_pids=True,
    ),
    Scenario("update", _update, before=BEGIN, after=TURNED),
    Scenario("reload", _reload, after=RELOADED, prepare=_change_file),
    Scenario("restart", _restart, before=BEGIN, after=BEGIN, new_pids=True),
    Scenario("stop by SIGTERM", _terminate, after=BEGIN),
    Scenario("die", _die, after=BEGIN),
    Scenario("die, agents disowned", _disown, after=BEGIN, keeps_pids=True),
    Scenario("manager process stopped", _stop_process, after=BEGIN),
    Scenario(
        *("manager process started again", _start_process),
        before=TURNED,
        after=BEGIN,
        prepare=_other_targets_and_stopped,
    ),
]
