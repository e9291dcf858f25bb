"""Whatever raises in the compose driver or in those who are told: the truth is told later."""

import asyncio

import pytest

from hostmanager.composefile.command import CompletedCommand
from hostmanager.core import events as ev
from hostmanager.drivers.compose.driver import ComposeDriver
from hostmanager.drivers.compose.engine import Engine, EngineError
from tests.integration.fake_engine.conftest import until
from tests.integration.fake_engine.server import inspected
from tests.integration.fake_engine.test_driver_races import spec

A = "a" * 64


class Fault(Exception):  # noqa: N818
    """What nobody expects."""


class Hearer:
    """Takes reports; the first so many raise."""

    def __init__(self, faults=0):
        self.left, self.reports = faults, []

    def __call__(self, observation):
        if self.left:
            self.left -= 1
            raise Fault
        self.reports.append(observation)

    def has(self, kind):
        return any(isinstance(one, kind) for one in self.reports)


@pytest.fixture
async def made(watcher):
    drivers = []

    def make(up=None):
        async def does_nothing(_service, *_args):
            return CompletedCommand(0, "", "")

        drivers.append(ComposeDriver(watcher, up or does_nothing, lambda *_: None))
        return drivers[0]

    yield make
    for driver in drivers:
        driver.close()
        await driver.closed()


async def test_a_launch_that_raises_is_a_failed_launch(fake, watcher, made):
    async def up(_service, *_args):
        raise Fault("never foreseen")

    driver, listener = made(up), Hearer()
    watcher.start()
    await until("a list of containers", lambda: watcher.synced)
    driver.launch(spec(), listener)
    await until("it to be told", lambda: listener.reports)
    assert listener.reports == [ev.LaunchFailed("compose up", "Fault: never foreseen")]


async def test_what_nobody_could_take_is_reported_of_the_others_at_once(fake, watcher, made):
    driver, bad, good = made(), Hearer(2), Hearer()
    fake.put(inspected(A, "one"))
    watcher.start()
    await until("a list of containers", lambda: watcher.synced)
    with pytest.raises(Fault):
        driver.observe(spec("bad"), bad)
    driver.observe(spec("good"), good)
    assert good.has(ev.Launched)
    watcher.on_synced()
    watcher.on_lost("gone")
    assert good.has(ev.ObservationLost)
    await until("it to be told later", lambda: bad.reports)


async def test_the_connection_comes_back_although_those_who_hear_of_its_loss_raise(fake, watcher):
    faults = [1]

    def on_lost(_why):
        if faults:
            faults.pop()
            raise Fault

    watcher.on_lost = on_lost
    watcher.start()
    await until("a list of containers", lambda: watcher.synced)
    watcher.check_connection(EngineError("cut"))
    answer, fake.answers["/_ping"] = fake.answers.get("/_ping"), b""
    await fake.stop()
    await until("its loss to be told", lambda: not faults)
    await fake.start()
    if answer is None:
        del fake.answers["/_ping"]
    await until("a list again", lambda: watcher.synced)


async def test_a_look_that_fails_in_a_way_nobody_foresaw_is_made_again(fake, watcher, monkeypatch):
    seen, put, faults = [], watcher.inspector.put, [1, 2]

    def failing(container_id, now):
        if faults:
            faults.pop()
            raise Fault
        put(container_id, now)
        seen.append(now)

    watcher.start()
    await until("a list of containers", lambda: watcher.synced)
    monkeypatch.setattr(watcher.inspector, "put", failing)
    fake.put(inspected(A, "one"))
    watcher.inspector.schedule(watcher.engine, A)
    await until("it to be seen", lambda: seen)
    await asyncio.sleep(0)
    assert watcher.containers[A].id == A


async def test_a_connection_that_is_closed_at_any_moment_of_a_call_is_an_error_of_the_engine(fake):
    outcomes = []
    for turns in range(30):
        engine = Engine(f"unix://{fake.socket}")
        call = asyncio.ensure_future(engine.images())
        for _ in range(turns):
            await asyncio.sleep(0)
        await engine.close()
        (outcome,) = await asyncio.gather(call, return_exceptions=True)
        assert isinstance(outcome, EngineError | list), (turns, outcome)
        outcomes.append(outcome)
    assert any(isinstance(outcome, EngineError) for outcome in outcomes)
