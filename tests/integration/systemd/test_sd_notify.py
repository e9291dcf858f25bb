"""What systemd is told, and that telling it never holds anything up."""

import os
import socket
from contextlib import ExitStack, suppress
from dataclasses import replace

import pytest
from tests.support.service import NotifySocket as SystemdSocket
from tests.unit.core.fakes import FakeClock

from hostmanager.agent.daemon.sd_notify import Notifier, status_line
from hostmanager.core.model import InstanceSpec, Target
from hostmanager.core.record import InstanceRecord, State
from hostmanager.util.network.notify_socket import NotifySocket, from_environ


@pytest.fixture
def systemd(tmp_path):
    with SystemdSocket(tmp_path / "notify") as end:
        yield end


@pytest.fixture
def clock():
    return FakeClock()


class FakeStatus:
    """A status that can be changed by hand."""

    text = "1 of 1 up"

    def __call__(self) -> str:
        return self.text


@pytest.fixture
def status():
    return FakeStatus()


@pytest.fixture
def notifier(systemd, clock, status):
    return Notifier(NotifySocket(systemd.address), clock, status)


def record_in(name: str, state: State) -> InstanceRecord:
    return replace(InstanceRecord(InstanceSpec(name, "X"), Target.UP), state=state)


# --- what is in the environment --------------------------------------------------------------


def test_the_variables_are_removed_from_the_environment(tmp_path):
    environ = {
        "NOTIFY_SOCKET": "/run/notify",
        "WATCHDOG_USEC": "20000000",
        "WATCHDOG_PID": str(os.getpid()),
        "HOME": "/",
    }
    assert from_environ(environ) == NotifySocket("/run/notify", 20.0)
    assert environ == {"HOME": "/"}


@pytest.mark.parametrize("usec", ["", "0", "-5", "abc", "1e6", "²"])
def test_an_invalid_watchdog_time_is_ignored(usec):
    assert from_environ({"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": usec}).watchdog_timeout is None


def test_a_watchdog_that_is_meant_for_another_process_is_left_alone():
    environ = {"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "5000000", "WATCHDOG_PID": "1"}
    assert from_environ(environ) == NotifySocket("@x", None)


@pytest.mark.parametrize("address", ["", "@", "/", "relative", "vsock:2:1234"])
def test_an_invalid_address_is_ignored(address):
    assert from_environ({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "5000000"}) == NotifySocket()


def test_without_systemd_nothing_is_done(clock, status):
    notifier = Notifier(NotifySocket(), clock, status)
    for act in (notifier.ready, notifier.reloading, notifier.reloaded, notifier.stopping):
        act()
        notifier.changed()
    assert not notifier.enabled
    assert not clock.has_timers


# --- messages --------------------------------------------------------------------------------


def test_ready_comes_with_a_status(notifier, systemd):
    notifier.ready()
    assert systemd.messages == ["READY=1", "STATUS=1 of 1 up"]


def test_nothing_is_sent_before_it_is_ready(notifier, systemd):
    notifier.changed()
    notifier.reloading()
    notifier.reloaded()
    assert systemd.messages == []


def test_an_abstract_address_is_reached(clock, status):
    with SystemdSocket(f"@ocs-hostmanager-test/{os.getpid()}") as systemd:
        Notifier(NotifySocket(systemd.address), clock, status).ready()
        assert systemd.times("READY=1") == 1


def test_a_changed_status_is_sent_at_most_once_a_second(notifier, systemd, clock, status):
    notifier.ready()
    for number in range(500):
        status.text = f"{number} of 500 up"
        notifier.changed()
        clock.advance(0.01)
    assert systemd.status == "400 of 500 up"
    assert systemd.times("READY=1") == 1
    assert len(systemd.messages) == 2 + 4  # after the first, one in each second
    clock.advance(1)
    assert systemd.status == "499 of 500 up"


def test_the_same_status_is_not_sent_again(notifier, systemd, clock):
    notifier.ready()
    for _ in range(5):
        clock.advance(2)
        notifier.changed()
    clock.advance(2)
    assert len(systemd.messages) == 2


def test_an_idle_manager_has_no_timer(notifier, clock):
    notifier.ready()
    clock.advance(10)
    assert not clock.has_timers


def test_a_reload_is_reported_with_its_time_and_its_end(notifier, systemd, clock):
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


def test_a_stop_is_reported_once_and_a_reload_does_not_revoke_it(notifier, systemd, clock, status):
    notifier.ready()
    notifier.reloading()
    notifier.stopping()
    notifier.stopping()
    notifier.reloaded()
    assert systemd.times("STOPPING=1") == 1
    assert systemd.times("READY=1") == 1
    status.text = "0 of 1 up, 1 stopping"
    notifier.changed()
    clock.advance(2)
    assert systemd.status == "stopping; 0 of 1 up, 1 stopping"


def test_the_watchdog_is_fed_twice_in_its_time(systemd, clock, status):
    notifier = Notifier(NotifySocket(systemd.address, 20.0), clock, status)
    clock.advance(100)
    assert systemd.times("WATCHDOG=1") == 0  # not before it is ready
    notifier.ready()
    clock.advance(60)
    assert systemd.times("WATCHDOG=1") == 7


# --- trouble ---------------------------------------------------------------------------------


def fill_socket(systemd) -> int:
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


def test_a_systemd_that_does_not_read_blocks_nothing_and_gets_the_messages_later(
    notifier, systemd, clock, status
):
    sent_before = fill_socket(systemd)
    notifier.ready()
    notifier.stopping()
    status.text = "0 of 1 up"
    notifier.changed()
    assert len(systemd.messages) == sent_before
    clock.advance(2)
    assert systemd.messages[sent_before : sent_before + 2] == ["READY=1", "STOPPING=1"]
    assert systemd.status == "stopping; 0 of 1 up"
    assert not clock.has_timers


def test_a_missing_socket_is_harmless(clock, status, tmp_path):
    notifier = Notifier(NotifySocket(str(tmp_path / "nothing")), clock, status)
    notifier.ready()
    notifier.stopping()
    clock.advance(5)
    assert not clock.has_timers


def test_an_invalid_address_is_harmless(clock, status):
    Notifier(NotifySocket("/" + "x" * 300), clock, status).ready()
    Notifier(NotifySocket("/x\0y"), clock, status).ready()


# --- the line of status -----------------------------------------------------------------------


def test_the_status_counts_what_is_not_up():
    records = [record_in(f"a{n}", State.UP) for n in range(48)]
    records += [record_in("b", State.BACKOFF), record_in("c", State.INOPERABLE)]
    line = status_line(records, running=True, router="router connected")
    assert line == "48 of 50 up, 1 waiting, 1 blocked; router connected"


def test_the_three_stages_of_a_stop_have_one_label():
    states = [State.STOPPING, State.TERMINATING, State.KILLING, State.DOWN]
    records = [record_in(str(n), state) for n, state in enumerate(states)]
    line = status_line(records, running=False, router="no router")
    assert line == "manager process stopped; 0 of 4 up, 3 stopping, 1 down; no router"


def test_every_state_is_counted():
    records = [record_in(state.value, state) for state in State]
    line = status_line(records, running=True, router="no router")
    counted = sum(
        int(part.split()[0]) for part in line.partition(" up, ")[2].split(";")[0].split(", ")
    )
    assert counted + 1 == len(State)


def test_the_status_without_agents():
    assert status_line([], running=True, router="no router") == "0 of 0 up; no router"
