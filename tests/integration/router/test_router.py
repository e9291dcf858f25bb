"""The router comes late, goes away, hangs, flaps or knows another manager: agents never notice."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from ocs.ocs_client import OCSClient

from hostmanager.testing.crossbar_router import CrossbarRouter
from hostmanager.testing.ports import free_port
from tests.integration.router.proxy import Cable
from tests.integration.router.steps import outcome, wait_gone, wait_ready, wait_states
from tests.support.clients import call, client, states
from tests.support.managers import Manager
from tests.support.processes import kill_all, processes, processes_of
from tests.support.sites import Site, instance
from tests.support.waiting import BUSY_MACHINE, wait_for

BACK = 2.0 * BUSY_MACHINE
"""Seconds in which a manager answers again once its router is back; 2 s on an idle machine."""

LOOKS = 20
"""More often than that, the agents are looked at while it is away; a busy machine takes longer."""


def session_id(site: Site) -> int:
    """The number of the manager process's session; another one would be another start."""
    session = call(site, "status", "manager")[2]
    assert session["status"] == "running"
    return session["session_id"]


# --- gone or hanging for long --------------------------------------------------------------


@dataclass
class Absence:
    """What was seen of one site while its router was away.

    Attributes:
        before: Pids of the agents, and the session of the manager process.
        during: The pids of the agents, at each look.
        back: Seconds from the router's return to the first answer.
    """

    site: Site
    manager: Manager
    before: tuple[dict[str, list[int]], int]
    during: list[dict[str, list[int]]]
    back: float = -1.0

    def look(self) -> None:
        self.during.append(processes_of(self.site))

    def wait_back(self) -> None:
        started = time.monotonic()
        wait_for(lambda: session_id(self.site) >= 0, 20, "an answer", self.manager.output)
        self.back = time.monotonic() - started


def begin_absence(directory: Path) -> Absence:
    """A router of its own, a site, a manager and two agents, all well."""
    router = CrossbarRouter(directory / "router")
    router.start()
    site = Site(directory / "site", router)
    site.write(instance("a"), instance("b", "--behave", "fork"))
    manager = Manager(site, ("--stop-timeout", "1")).wait_ready()
    wait_ready(site, "a", "b")
    return Absence(site, manager, (processes_of(site), session_id(site)), [])


@pytest.fixture(scope="module")
def absences(no_router_is_left, tmp_path_factory) -> Iterator[dict[str, Absence]]:
    """One router is killed for 16.5 s or more, then started again; one is frozen, then thawed."""
    with ThreadPoolExecutor(2) as pool:
        killed, frozen = pool.map(
            begin_absence, [tmp_path_factory.mktemp("killed"), tmp_path_factory.mktemp("frozen")]
        )
    killed.site.router.kill()
    frozen.site.router.suspend()
    gone_until = time.monotonic() + 16.5
    while time.monotonic() < gone_until or len(frozen.during) <= LOOKS:
        killed.look()
        frozen.look()
        time.sleep(0.25)
    frozen.site.router.resume()
    frozen.wait_back()
    killed.site.router.start()
    killed.wait_back()
    yield {"killed": killed, "frozen": frozen}
    for absence in (killed, frozen):
        absence.manager.stop()
        kill_all(absence.site)
        absence.site.router.stop()


@pytest.fixture(params=["killed", "frozen"])
def absence(absences, request) -> Absence:
    return absences[request.param]


def test_no_agent_notices_that_the_router_is_away_for_long(absence):
    pids, _ = absence.before
    assert len(absence.during) > LOOKS
    assert [observation for observation in absence.during if observation != pids] == []
    assert processes_of(absence.site) == pids


def test_the_manager_answers_soon_after_the_router_is_back_in_the_same_session(absence):
    _, session = absence.before
    assert session_id(absence.site) == session
    assert absence.back < BACK


def test_the_manager_says_that_the_router_is_gone_and_that_it_is_back(absence):
    log = absence.manager.output()
    assert log.count("the router is gone") == 1
    assert log.count("registered with the router") == 2
    assert "Traceback" not in log


def test_a_client_can_tell_agents_up_and_down_again(absence):
    hm = client(absence.site)
    assert outcome(hm.update(requests=[("a", "down")]))[0]
    wait_states(hm, a="down")
    hm.update(requests=[("a", "up")])
    wait_ready(absence.site, "a")


# --- late, or never ------------------------------------------------------------------------


def test_agents_run_at_once_without_a_router_and_the_manager_registers_later(
    make_site, start_manager, tmp_path
):
    router = CrossbarRouter(tmp_path / "late", port=free_port())
    site = make_site(router)
    site.write(instance("a"))
    manager = start_manager(site, "--stop-timeout", "2", ready=False)
    pid = wait_ready(site, "a")["a"]
    wait_for(lambda: "no router at" in manager.output(), 10, "a remark", manager.output)
    with router:
        started = time.monotonic()
        wait_for(lambda: session_id(site) >= 0, 10, "an answer", manager.output)
        assert time.monotonic() - started < BACK
        assert wait_ready(site, "a")["a"] == pid
        assert manager.stop() == 0


def test_without_a_router_agents_are_supervised_and_sigterm_ends_all(
    make_site, start_manager, tmp_path
):
    site = make_site(CrossbarRouter(tmp_path / "none"))
    site.write(instance("a"))
    manager = start_manager(site, ready=False)
    Path(f"/proc/{wait_ready(site, 'a')['a']}").exists()
    import os

    os.kill(wait_ready(site, "a")["a"], 9)
    wait_for(lambda: len(site.launches("a")) == 2, 10, "a relaunch")
    wait_ready(site, "a")
    manager.terminate()
    wait_gone(site, "a")
    started = time.monotonic()
    assert manager.process.wait(60) == 0
    assert time.monotonic() - started < 2 * BUSY_MACHINE
    assert processes(site) == []


# --- on and off ----------------------------------------------------------------------------


def test_a_flapping_router_does_no_harm(site, router, start_manager):
    with Cable(router) as cable:
        site.write(instance("a"))
        site.write_text(site.file.read_text().replace(router.url, cable.url))
        manager = start_manager(site)
        pids, session = wait_ready(site, "a"), session_id(site)
        for pause in (0.0, 0.02, 0.05, 0.2, 0.7):
            cable.pull()
            wait_for(lambda: not answers(site), 5, "the manager to be cut off")
            cable.plug()
            count = cable.connections
            wait_for(lambda count=count: cable.connections > count, 5, "a new try")
            time.sleep(pause)  # at different points of joining
            cable.pull()
            cable.plug()
            wait_for(lambda: answers(site), BACK + 1, "an answer", manager.output)
        assert session_id(site) == session
        assert wait_ready(site, "a") == pids
        assert "Traceback" not in manager.output()
        assert manager.stop() == 0


def answers(site: Site) -> bool:
    try:
        return session_id(site) >= 0
    except LookupError:
        return False


def test_stopping_while_cut_off_ends_everything(site, router, start_manager):
    with Cable(router) as cable:
        site.write(instance("a"))
        site.write_text(site.file.read_text().replace(router.url, cable.url))
        manager = start_manager(site)
        wait_ready(site, "a")
        cable.pull()
        assert manager.stop() == 0
        assert processes(site) == []


# --- somebody else is there already --------------------------------------------------------


@pytest.fixture
def second(make_site, site) -> Callable[..., Site]:
    """A second site with the address of the first: two managers want the same id."""

    def make() -> Site:
        other = make_site(site.router)
        other.address_root = site.address_root
        # As from another host, where nobody sees the first one but the router: on the same
        # host the second would not even start.
        other.router_host = "localhost"
        return other

    return make


def test_a_second_manager_of_the_same_id_supervises_and_takes_over_when_the_first_goes(
    site, second, start_manager
):
    other = second()
    site.write(instance("a"))
    other.write(instance("b"))
    first = start_manager(site)
    manager = start_manager(other, ready=False)
    pids = wait_ready(other, "b")
    wait_for(lambda: "second manager" in manager.output(), 10, "a remark", manager.output)
    assert f"{site.address_root}.hm-testhost" in manager.output()
    assert states(client(site)) == {"a": "up"}
    assert first.stop() == 0
    wait_for(lambda: states(OCSClient(other.manager_id, args=other.args)) == {"b": "up"}, 10)
    assert wait_ready(other, "b") == pids
    assert manager.stop() == 0
    lines = manager.output().splitlines()
    assert sum("second manager" in line for line in lines) == 1
    assert len(lines) < 10, "it was said at each attempt"


def test_a_manager_whose_id_is_taken_ends_well(site, second, start_manager):
    other = second()
    site.write(instance("a"))
    other.write(instance("b"))
    start_manager(site)
    manager = start_manager(other, ready=False)
    wait_for(lambda: "second manager" in manager.output(), 10, "a remark", manager.output)
    wait_ready(other, "b")
    assert manager.stop() == 0
    assert processes(other) == []
    assert states(client(site)) == {"a": "up"}


@pytest.mark.parametrize(
    ("key", "value"), [("wamp_realm", "no_such_realm"), ("address_root", "nowhere")]
)
def test_a_wrong_realm_or_address_root_is_reported_and_agents_run(site, start_manager, key, value):
    site.write(instance("a"))
    data = yaml.safe_load(site.file.read_text())
    data["hub"][key] = value
    site.write_data(data)
    manager = start_manager(site, ready=False)
    wait_ready(site, "a")
    wait_for(lambda: "do realm and address root" in manager.output(), 10, "it", manager.output)
    assert "Supervising goes on" in manager.output()
    assert manager.stop() == 0
    assert len(manager.output().splitlines()) < 10
    assert "Traceback" not in manager.output()
    assert processes(site) == []
