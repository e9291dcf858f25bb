"""What an event makes known of an instance, before anything follows from it."""

from dataclasses import replace

import pytest

from hostmanager.core import events as ev
from hostmanager.core.events import ExitStatus, Timestamp
from hostmanager.core.model import ObservedRun, Target
from hostmanager.core.policy import Policy
from hostmanager.core.record import (
    ChangeRequest,
    CurrentRun,
    FailureHistory,
    InstanceRecord,
    LastExit,
    ObservedStatus,
    State,
)
from hostmanager.core.transitions.record_update import TransitionInput, apply_event
from tests.unit.core.fake_engine import passive, service
from tests.unit.core.fakes import spec

NOW = Timestamp(1000.0, 1_700_000_000.0)
POLICY = Policy()
RUN = CurrentRun(started_at=Timestamp(990.0, 0.0))


def known_after(event, **facts):
    given = {"spec": spec(), "state": State.UP, "run": RUN, **facts}
    record = InstanceRecord(target=Target.UP, **given)
    return apply_event(record, TransitionInput(event, NOW, 0.5, POLICY))


def test_an_unexpected_exit_is_counted_and_told():
    known = known_after(
        ev.Exited(ExitStatus(signal=11)), failures=FailureHistory(2, exit_times=(800.0, 900.0))
    )
    assert (known.failures.consecutive, known.failures.exit_times) == (3, (900.0, 1000.0))
    assert known.failures.next_start_at == 1002.0
    assert known.last_exit == LastExit(ExitStatus(signal=11), NOW, False, 10.0)


@pytest.mark.parametrize(
    "facts",
    [
        {"state": State.STOPPING},
        {"state": State.UP, "target": Target.DOWN},
        {"state": State.UP, "request": ChangeRequest(removing=True)},
        {"state": State.UP, "request": ChangeRequest(spec())},
    ],
)
def test_an_end_that_was_wanted_is_no_failure(facts):
    record = replace(InstanceRecord(spec(), Target.UP, run=RUN), **facts)
    inputs = TransitionInput(ev.Exited(ExitStatus(code=0)), NOW, 0.5, POLICY)
    known = apply_event(record, inputs)
    assert (known.failures.consecutive, known.failures.exit_times) == (0, ())
    assert known.last_exit.expected


def test_a_long_run_ends_a_streak():
    known = known_after(
        ev.Exited(ExitStatus(code=1)),
        failures=FailureHistory(5),
        run=CurrentRun(started_at=Timestamp(900.0, 0.0)),
    )
    assert (known.failures.consecutive, known.failures.next_start_at) == (1, 1000.0)


def test_a_deliberate_stop_ends_a_streak():
    known = known_after(ev.StopRequested(), failures=FailureHistory(5, next_start_at=1010.0))
    assert (known.failures.consecutive, known.failures.next_start_at) == (0, 1000.0)


def test_a_launch_failure_counts_as_an_exit():
    known = known_after(
        ev.LaunchFailed("program", "no such file"), state=State.STARTING, failures=FailureHistory(1)
    )
    assert (known.failures.consecutive, known.failures.exit_times) == (2, (1000.0,))
    assert known.error == "Launch failed at the program: no such file."


def test_retiring_forgets_a_replacement_and_a_replacement_forgets_retiring():
    assert known_after(ev.Unconfigured(), request=ChangeRequest(spec())).request.replacement is None
    assert not known_after(
        ev.SpecReplaced(spec()), request=ChangeRequest(removing=True)
    ).request.removing


# --- of services ----------------------------------------------------------------------------


def test_what_nobody_manages_may_end_when_it_likes():
    record = InstanceRecord(
        passive(), Target.PASSIVE, State.UP, run=RUN, observation=ObservedStatus(known=True)
    )
    known = apply_event(record, TransitionInput(ev.Exited(ExitStatus(code=1)), NOW, 0.5, POLICY))
    assert (known.failures.consecutive, known.failures.exit_times) == (0, ())
    assert known.last_exit.status == ExitStatus(code=1)  # but it is shown


def test_a_launch_that_fails_because_nothing_answers_makes_nothing_known():
    record = InstanceRecord(
        service(), Target.UP, State.UNOBSERVED, error="No answer.", unkillable=True
    )
    failed = ev.LaunchFailed("engine", "it does not answer")
    assert apply_event(record, TransitionInput(failed, NOW, 0.5, POLICY)) == record


def test_a_launch_that_was_called_off_is_no_failure_even_if_it_is_wanted_again():
    known = known_after(
        ev.LaunchFailed("docker compose up", "it was called off"),
        spec=service(),
        state=State.STARTING,
        run=CurrentRun(launch_cancelled=True),
        observation=ObservedStatus(known=True),
    )
    assert (known.failures.consecutive, known.failures.exit_times, known.error) == (0, (), None)


def test_what_is_unobserved_has_a_reason_and_no_condition():
    known = known_after(
        ev.ObservationLost("No answer."),
        spec=service(),
        observation=ObservedStatus(True, "Paused.", True),
    )
    assert (known.observation.known, known.error) == (False, "No answer.")
    assert (known.observation.notice, known.observation.image_outdated) == (None, False)


@pytest.mark.parametrize("message", [ev.Launched(1), ev.Exited(ExitStatus(code=0)), ev.Absent()])
def test_what_a_driver_tells_of_is_seen(message):
    assert known_after(message, spec=service(), state=State.UNOBSERVED).observation.known


def test_what_others_started_began_then_and_from_what_was_then():
    observed = ObservedRun(7, started_at=NOW.wall - 60.0, fingerprint="then")
    known = known_after(ev.Launched(7, observed), spec=service(fingerprint="now"), state=State.DOWN)
    assert known.run.started_at == Timestamp(940.0, NOW.wall - 60.0)
    assert replace(known, state=State.UP).restart_required


def test_of_what_is_not_known_from_what_it_was_made_no_restart_is_required():
    observed = ObservedRun(7, started_at=NOW.wall - 60.0, fingerprint="")
    known = known_after(
        ev.Launched(7, observed), spec=service(fingerprint="now"), state=State.UNOBSERVED
    )
    assert not replace(known, state=State.UP).restart_required
    outdated = replace(known, state=State.UP, observation=ObservedStatus(image_outdated=True))
    assert outdated.restart_required  # its image is another by now


def test_settings_that_only_a_new_run_can_have_require_a_restart():
    event = ev.StatusChanged(settings_at_restart=("open-files",))
    known = replace(known_after(event, spec=service(fingerprint="now")), state=State.UP)
    assert known.observation.settings_at_restart == ("open-files",)
    assert known.restart_required
    assert not replace(known, observation=ObservedStatus()).restart_required


def test_a_container_that_was_exchanged_without_an_end_that_was_reported_is_known_as_what_it_is():
    observed = ObservedRun(8, started_at=NOW.wall - 5.0, fingerprint="now")
    known = known_after(
        ev.StatusChanged(None, False, True, observed), spec=service(fingerprint="now")
    )
    assert (known.run.pid, known.run.started_at, known.observation.engine_restarting) == (
        8,
        Timestamp(995.0, NOW.wall - 5.0),
        True,
    )
    assert not known.restart_required
    known = known_after(ev.StatusChanged(), spec=service(), run=CurrentRun(fingerprint="then"))
    assert known.run.fingerprint == "then"
