"""What systemd is told, and that telling it never holds anything up."""

import os
import socket
from contextlib import ExitStack, suppress
from dataclasses import replace

import pytest
from tests.support.service import NotifySocket as Systemd
from tests.unit.core.fakes import FakeClock

from hostmanager.agent.sd_notify import Notifier, NotifySocket, from_environ, status_line
from hostmanager.core.model import InstanceSpec, Target
from hostmanager.core.record import InstanceRecord, State


@pytest.fixture
def systemd(tmp_path):
    with Systemd(tmp_path / "notify") as end:
        yield end


@pytest.fixture
def clock():
    return FakeClock()


class Told:
    """A status that can be changed by hand."""

    text = "1 of 1 up"

    def __call__(self) -> str:
        return self.text


@pytest.fixture
def told():
    return Told()


@pytest.fixture
def notifier(systemd, clock, told):
    return Notifier(NotifySocket(systemd.address), clock, told)


def life(name: str, state: State) -> InstanceRecord:
    return replace(InstanceRecord(InstanceSpec(name, "X"), Target.UP), state=state)


# --- what is in the environment --------------------------------------------------------------


def test_the_variables_are_taken_out_of_the_environment(tmp_path):
    environ = {
        "NOTIFY_SOCKET": "/run/notify",
        "WATCHDOG_USEC": "20000000",
        "WATCHDOG_PID": str(os.getpid()),
        "HOME": "/",
    }
    assert from_environ(environ) == NotifySocket("/run/notify", 20.0)
    assert environ == {"HOME": "/"}


@pytest.mark.parametrize("usec", ["", "0", "-5", "abc", "1e6", "²"])
def test_a_watchdog_that_makes_no_sense_is_none(usec):
    assert from_environ({"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": usec}).watchdog_timeout is None


def test_a_watchdog_that_is_meant_for_another_process_is_left_alone():
    environ = {"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "5000000", "WATCHDOG_PID": "1"}
    assert from_environ(environ) == NotifySocket("@x", None)


@pytest.mark.parametrize("address", ["", "@", "/", "relative", "vsock:2:1234"])
def test_an_address_that_makes_no_sense_is_none(address):
    assert from_environ({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "5000000"}) == NotifySocket()


def test_without_systemd_nothing_is_done(clock, told):
    notifier = Notifier(NotifySocket(), clock, told)
    for act in (notifier.ready, notifier.reloading, notifier.reloaded, notifier.stopping):
        act()
        notifier.changed()
    assert not notifier.enabled
    assert clock._timers == []


# --- messages --------------------------------------------------------------------------------


def test_ready_comes_with_a_status(notifier, systemd):
    notifier.ready()
    assert systemd.messages == ["READY=1", "STATUS=1 of 1 up"]


def test_nothing_is_told_before_it_is_ready(notifier, systemd):
    notifier.changed()
    notifier.reloading()
    notifier.reloaded()
    assert systemd.messages == []


def test_an_abstract_address_is_reached(clock, told):
    with Systemd(f"@ocs-hostmanager-test/{os.getpid()}") as systemd:
        Notifier(NotifySocket(systemd.address), clock, told).ready()
        assert systemd.times("READY=1") == 1


def test_a_status_is_told_when_it_changes_and_at_most_once_a_second(notifier, systemd, clock, told):
    notifier.ready()
    for number in range(500):
        told.text = f"{number} of 500 up"
        notifier.changed()
        clock.advance(0.01)
    assert systemd.status == "400 of 500 up"
    assert systemd.times("READY=1") == 1
    assert len(systemd.messages) == 2 + 4  # after the first, one in each second
    clock.advance(1)
    assert systemd.status == "499 of 500 up"


def test_the_same_status_is_not_told_again(notifier, systemd, clock):
    notifier.ready()
    for _ in range(5):
        clock.advance(2)
        notifier.changed()
    clock.advance(2)
    assert len(systemd.messages) == 2


def test_an_idle_manager_has_no_timer(notifier, clock):
    notifier.ready()
    clock.advance(10)
    assert clock._timers == []


def test_a_reload_is_told_with_its_time_and_its_end(notifier, systemd, clock):
    notifier.ready()
    notifier.reloading()
    notifier.reloaded()
    assert systemd.messages[2:] == ["RELOADING=1\nMONOTONIC_USEC=1000000000", "READY=1"]


def test_reloads_that_overlap_are_one(notifier, systemd):
    notifier.ready()
    notifier.reloading()
    notifier.reloading()
    notifier.reloaded()
    assert systemd.times("READY=1") == 1
    notifier.reloaded()
    assert systemd.times("READY=1") == 2
    assert systemd.times("RELOADING=1") == 1


def test_a_stop_is_told_once_and_a_reload_does_not_take_it_back(notifier, systemd, clock, told):
    notifier.ready()
    notifier.reloading()
    notifier.stopping()
    notifier.stopping()
    notifier.reloaded()
    assert systemd.times("STOPPING=1") == 1
    assert systemd.times("READY=1") == 1
    told.text = "0 of 1 up, 1 stopping"
    notifier.changed()
    clock.advance(2)
    assert systemd.status == "stopping; 0 of 1 up, 1 stopping"


def test_the_watchdog_is_fed_twice_in_its_time(systemd, clock, told):
    notifier = Notifier(NotifySocket(systemd.address, 20.0), clock, told)
    clock.advance(100)
    assert systemd.times("WATCHDOG=1") == 0  # not before it is ready
    notifier.ready()
    clock.advance(60)
    assert systemd.times("WATCHDOG=1") == 7


# --- trouble ---------------------------------------------------------------------------------


def fill(systemd) -> int:
    """Fill the socket as a systemd that hangs would have it."""
    sent = 0
    with ExitStack() as senders:  # each may have only so much under way
        while True:
            out = senders.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
            out.setblocking(False)
            before = sent
            with suppress(BlockingIOError):
                while True:
                    out.sendto(b"X=1", systemd.address)
                    sent += 1
            if sent == before:
                return sent


def test_a_systemd_that_does_not_read_holds_nothing_up_and_is_told_later(
    notifier, systemd, clock, told
):
    filled = fill(systemd)
    notifier.ready()
    notifier.stopping()
    told.text = "0 of 1 up"
    notifier.changed()
    assert len(systemd.messages) == filled
    clock.advance(2)
    assert systemd.messages[filled : filled + 2] == ["READY=1", "STOPPING=1"]
    assert systemd.status == "stopping; 0 of 1 up"
    assert clock._timers == []


def test_a_socket_that_is_gone_disturbs_nothing(clock, told, tmp_path):
    notifier = Notifier(NotifySocket(str(tmp_path / "nothing")), clock, told)
    notifier.ready()
    notifier.stopping()
    clock.advance(5)
    assert clock._timers == []


def test_an_address_that_is_too_long_disturbs_nothing(clock, told):
    Notifier(NotifySocket("/" + "x" * 300), clock, told).ready()
    Notifier(NotifySocket("/x\0y"), clock, told).ready()


# --- the line of status -----------------------------------------------------------------------


def test_the_status_counts_what_is_not_up():
    lives = [life(f"a{n}", State.UP) for n in range(48)]
    lives += [life("b", State.BACKOFF), life("c", State.INOPERABLE)]
    line = status_line(lives, running=True, router="router connected")
    assert line == "48 of 50 up, 1 waiting, 1 blocked; router connected"


def test_the_three_steps_of_a_stop_are_one_word():
    states = [State.STOPPING, State.TERMINATING, State.KILLING, State.DOWN]
    lives = [life(str(n), state) for n, state in enumerate(states)]
    line = status_line(lives, running=False, router="no router")
    assert line == "manager process stopped; 0 of 4 up, 3 stopping, 1 down; no router"


def test_every_state_is_counted():
    lives = [life(state.value, state) for state in State]
    line = status_line(lives, running=True, router="no router")
    counted = sum(
        int(part.split()[0]) for part in line.partition(" up, ")[2].split(";")[0].split(", ")
    )
    assert counted + 1 == len(State)


def test_without_agents_it_says_so():
    assert status_line([], running=True, router="no router") == "0 of 0 up; no router"
