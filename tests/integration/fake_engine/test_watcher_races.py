"""Answers that come late, in another order, or while the connection is being made or cut."""

import asyncio

import pytest

from hostmanager.drivers.compose.engine import DEFAULT_ENDPOINT, Engine, EngineError, find_endpoint
from hostmanager.drivers.compose.watcher import ContainerWatcher
from tests.integration.fake_engine.conftest import until
from tests.integration.fake_engine.server import FakeEngine, inspected

A, B, C = "a" * 64, "b" * 64, "c" * 64
LIST, IMAGES = "/containers/json", "/images/json"


class LateEngine(FakeEngine):
    """Its answers can be held back: they are of the time of the question, and come later."""

    def __init__(self, directory):
        super().__init__(directory)
        self.held = {}
        self.waiting = 0

    def hold(self, *paths):
        """From now on, answers to these come when `release` is called."""
        self.held.update({path: asyncio.Event() for path in paths})

    def release(self, *paths):
        for path in paths:
            self.held.pop(path).set()

    async def _answer(self, request):
        path = "/" + request.path.strip("/").removeprefix("v1.41/")
        gate = self.held.get(path)
        answer = await super()._answer(request)
        if gate is not None:
            self.waiting += 1
            await gate.wait()
            self.waiting -= 1
        return answer

    async def stop(self):
        self.release(*list(self.held))
        await super().stop()


def inspect_of(container_id):
    return f"/containers/{container_id}/json"


@pytest.fixture
async def fake(tmp_path):
    engine = LateEngine(tmp_path)
    await engine.start()
    yield engine
    await engine.stop()


async def test_a_project_that_comes_while_the_connection_is_made_is_seen_at_once(fake):
    """Else what runs in it is taken to be gone, and is brought up over itself."""

    async def open_engine():
        return Engine(f"unix://{fake.socket}")

    watcher = ContainerWatcher(open_engine)
    seen = []
    watcher.on_synced = lambda: seen.append(set(watcher.containers))
    fake.put(inspected(A, "one"))
    fake.hold(IMAGES)
    watcher.start()
    await until("the list to be read", lambda: fake.waiting == 1)
    await watcher.follow(frozenset({"p"}))
    fake.release(IMAGES)
    await until("a list of containers", lambda: watcher.synced)
    assert seen[0] == {A}
    await watcher.close()


async def test_a_list_from_before_a_container_was_made_does_not_remove_it(fake, watcher):
    watcher.start()
    await until("a list of containers", lambda: watcher.synced)
    fake.hold(LIST)
    looking = asyncio.ensure_future(watcher.refresh_project("p"))
    await until("the list to be asked for", lambda: fake.waiting == 1)
    fake.put(inspected(A, "one"))
    fake.emit_event("start", A)
    await until("the new one", lambda: A in watcher.containers)
    fake.release(LIST)
    await looking
    assert A in watcher.containers


async def test_an_answer_from_before_its_removal_does_not_bring_a_container_back(fake, watcher):
    fake.put(inspected(A, "one"), inspected(B, "two"))
    watcher.start()
    await until("a list of containers", lambda: watcher.synced)
    fake.hold(inspect_of(A))
    fake.emit_event("pause", A)
    await until("it to be asked for", lambda: fake.waiting == 1)
    fake.emit_event("destroy", A)
    del fake.known[A]
    fake.put(inspected(C, "three"))
    fake.emit_event("start", C)
    await until("a later event", lambda: C in watcher.containers)
    fake.release(inspect_of(A))
    await until("its look", lambda: not watcher.inspector.is_inspecting(A))
    assert A not in watcher.containers


async def test_an_event_in_the_very_moment_in_which_a_look_ends_is_not_lost(watcher):
    states = ("running", "exited")
    answers = [inspected(A, "one", status=status) for status in states]
    loop = asyncio.get_running_loop()

    class AnyEngine:
        async def inspect(self, container_id):
            if len(answers) == 2:  # before anybody is told that this look has ended
                loop.call_soon(watcher.inspector.schedule, self, container_id)
            return answers.pop(0)

    watcher.inspector.schedule(AnyEngine(), A)
    await until("a second look", lambda: not answers)
    await until("its answer", lambda: watcher.containers[A].status == "exited")


async def test_images_that_change_while_they_are_listed_are_listed_again(fake, watcher):
    watcher.start()
    await until("a list of containers", lambda: watcher.synced)
    fake.hold(IMAGES)
    fake.send(b'{"Type": "image", "Action": "tag"}\n')
    await until("the list to be asked for", lambda: fake.waiting == 1)
    messages = []
    watcher.on_images = lambda: messages.append(1)
    fake.send(b'{"Type": "image", "Action": "tag"}\n')
    fake.release(IMAGES)
    await until("two lists", lambda: len(messages) == 2)


async def test_what_replaced_a_container_is_seen_before_that_is_gone(fake, watcher):
    """Else it seems to have ended, and is brought up while its successor runs."""
    fake.put(inspected(A, "one"))
    watcher.start()
    await until("a list of containers", lambda: watcher.synced)
    changes = []
    watcher.on_change = lambda before, now: changes.append((now or before).id[0])
    del fake.known[A]
    fake.put(inspected(B, "one"))
    fake.hold(inspect_of(B))
    fake.send(None)  # the connection is cut, and what happened meanwhile is not told
    await until("the new connection", lambda: fake.waiting == 1)
    assert changes == []
    fake.release(inspect_of(B))
    await until("both", lambda: len(changes) == 2)
    assert changes == ["b", "a"]


async def test_many_calls_that_take_long_do_not_keep_the_engine_from_being_asked(fake):
    """Two hundred containers that are being stopped are not a silent engine."""
    ids = [f"{number:064x}" for number in range(200)]
    fake.put(*(inspected(i, "one") for i in ids))
    paths = [f"/containers/{i}/stop" for i in ids]
    fake.hold(*paths)
    engine = Engine(f"unix://{fake.socket}")
    stops = [asyncio.ensure_future(engine.stop(i, 60.0)) for i in ids]
    try:
        await until("all of them to be asked", lambda: fake.waiting == len(ids))
        await engine.ping()
    finally:
        fake.release(*paths)
        await asyncio.gather(*stops, return_exceptions=True)
        await engine.close()


async def test_another_engine_is_not_asked_because_docker_was_too_busy_to_name_the_right_one(
    tmp_path, monkeypatch
):
    """With its containers not there, all would be brought up over what runs."""
    command = tmp_path / "docker"
    command.write_text("#!/bin/sh\nsleep 60\n")
    command.chmod(0o755)
    monkeypatch.setattr("hostmanager.drivers.compose.engine.CALL_TIMEOUT", 0.2)
    environ = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    with pytest.raises(EngineError, match="not known where the Docker Engine is"):
        await find_endpoint(environ, tmp_path)
    assert await find_endpoint({"PATH": str(tmp_path / "nothing")}, tmp_path) == DEFAULT_ENDPOINT
