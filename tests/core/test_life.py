"""What an event makes known of an instance, before anything follows from it."""

from dataclasses import replace

import pytest

from hostmanager.core import events as ev
from hostmanager.core.events import ExitStatus, Moment
from hostmanager.core.model import Found, Target
from hostmanager.core.policy import Policy
from hostmanager.core.record import Context, LastExit, Life, State, absorb
from tests.core.fake_engine import passive, service
from tests.core.fakes import spec

NOW = Moment(1000.0, 1_700_000_000.0)
POLICY = Policy()


def known_after(event, **facts):
    given = {"spec": spec(), "state": State.UP, "launched": Moment(990.0, 0.0), **facts}
    life = Life(target=Target.UP, **given)
    return absorb(life, Context(event, NOW, 0.5, POLICY))


def test_an_unexpected_exit_is_counted_and_told():
    known = known_after(ev.Ended(ExitStatus(signal=11)), streak=2, exits=(800.0, 900.0))
    assert (known.streak, known.exits) == (3, (900.0, 1000.0))
    assert known.not_before == 1002.0
    assert known.last_exit == LastExit(ExitStatus(signal=11), NOW, False, 10.0)


@pytest.mark.parametrize(
    "facts",
    [
        {"state": State.STOPPING},
        {"state": State.UP, "target": Target.DOWN},
        {"state": State.UP, "retiring": True},
        {"state": State.UP, "pending": spec()},
    ],
)
def test_an_end_that_was_wanted_is_no_failure(facts):
    life = replace(Life(spec(), Target.UP, launched=Moment(990.0, 0.0)), **facts)
    context = Context(ev.Ended(ExitStatus(code=0)), NOW, 0.5, POLICY)
    known = absorb(life, context)
    assert (known.streak, known.exits) == (0, ())
    assert known.last_exit.expected


def test_a_long_run_ends_a_streak():
    known = known_after(ev.Ended(ExitStatus(code=1)), streak=5, launched=Moment(900.0, 0.0))
    assert (known.streak, known.not_before) == (1, 1000.0)


def test_a_deliberate_stop_ends_a_streak():
    known = known_after(ev.WantDown(), streak=5, not_before=1010.0)
    assert (known.streak, known.not_before) == (0, 1000.0)


def test_a_launch_failure_counts_as_an_exit():
    known = known_after(ev.LaunchFailed("program", "no such file"), state=State.STARTING, streak=1)
    assert (known.streak, known.exits) == (2, (1000.0,))
    assert known.trouble == "Launch failed at the program: no such file."


def test_retiring_forgets_a_replacement_and_a_replacement_forgets_retiring():
    assert known_after(ev.Retire(), pending=spec()).pending is None
    assert not known_after(ev.Replace(spec()), retiring=True).retiring


# --- of services ----------------------------------------------------------------------------


def test_what_nobody_manages_may_end_when_it_likes():
    life = Life(passive(), Target.PASSIVE, State.UP, launched=Moment(990.0, 0.0), seen=True)
    known = absorb(life, Context(ev.Ended(ExitStatus(code=1)), NOW, 0.5, POLICY))
    assert (known.streak, known.exits) == (0, ())
    assert known.last_exit.status == ExitStatus(code=1)  # but it is shown


def test_a_launch_that_fails_because_nothing_answers_makes_nothing_known():
    life = Life(service(), Target.UP, State.UNSEEN, trouble="No answer.", stuck=True)
    failed = ev.LaunchFailed("engine", "it does not answer")
    assert absorb(life, Context(failed, NOW, 0.5, POLICY)) == life


def test_a_launch_that_was_called_off_is_no_failure_even_if_it_is_wanted_again():
    known = known_after(
        ev.LaunchFailed("docker compose up", "it was called off"),
        spec=service(),
        state=State.STARTING,
        called_off=True,
        seen=True,
    )
    assert (known.streak, known.exits, known.trouble) == (0, (), None)


def test_what_is_out_of_sight_has_a_reason_and_no_condition():
    known = known_after(ev.LostSight("No answer."), spec=service(), remark="Paused.", outdated=True)
    assert (known.seen, known.trouble) == (False, "No answer.")
    assert (known.remark, known.outdated) == (None, False)


@pytest.mark.parametrize("told", [ev.Launched(1), ev.Ended(ExitStatus(code=0)), ev.Gone()])
def test_what_a_driver_tells_of_is_seen(told):
    assert known_after(told, spec=service(), state=State.UNSEEN).seen


def test_what_others_started_began_then_and_from_what_was_then():
    found = Found(7, since=NOW.wall - 60.0, fingerprint="then")
    known = known_after(ev.Launched(7, found), spec=service(fingerprint="now"), state=State.DOWN)
    assert known.launched == Moment(940.0, NOW.wall - 60.0)
    assert replace(known, state=State.UP).restart_required


def test_of_what_is_not_known_from_what_it_was_made_no_restart_is_required():
    found = Found(7, since=NOW.wall - 60.0, fingerprint="")
    known = known_after(ev.Launched(7, found), spec=service(fingerprint="now"), state=State.UNSEEN)
    assert not replace(known, state=State.UP).restart_required
    outdated = replace(known, state=State.UP, outdated=True)
    assert outdated.restart_required  # its image is another by now


def test_a_container_that_was_exchanged_without_an_end_that_was_told_is_known_as_what_it_is():
    found = Found(8, since=NOW.wall - 5.0, fingerprint="now")
    known = known_after(ev.Condition(None, False, True, found), spec=service(fingerprint="now"))
    assert (known.pid, known.launched, known.restarting) == (8, Moment(995.0, NOW.wall - 5.0), True)
    assert not known.restart_required
    assert known_after(ev.Condition(), spec=service(), launched_as="then").launched_as == "then"
