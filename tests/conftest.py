"""Fixtures for end-to-end tests: a real router, a site, a manager that runs.

    def test_an_agent_is_started(site, start_manager):
        site.write(instance("a"))
        start_manager(site)
        wait_for(lambda: processes_of(site).get("a"), 10, "agent a")

`start_manager` runs ours, or the reference with ``HM_TEST_MANAGER=reference``. Whatever a
test leaves running fails it (unless ``site.may_leave_processes``) and is killed.
"""

import fcntl
import gc
import os
import signal
import subprocess
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import ExitStack

import autobahn.asyncio.wamp  # noqa: F401 - see below
import psutil
import pytest
import txaio

from hostmanager.drivers.process.priority import MANAGER_NICE
from hostmanager.testing.crossbar_router import CrossbarRouter, RouterError, find_crossbar
from tests.support import longest_first, seeds
from tests.support.demos import LIGHT_CROSSBAR
from tests.support.managers import Manager
from tests.support.processes import kill_all, processes
from tests.support.sites import Site

# A script that puts the tests into the background has them ignore these, and with them all that
# they start; many tests press Ctrl-C.
for _number, _usual in (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGQUIT, signal.SIG_DFL),
):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, _usual)

# autobahn works with asyncio or with Twisted, one of them in a process. In that of the tests it is
# asyncio, for their clients and for `hostmanager check`. Modules of the manager that are made for
# Twisted are only looked at here; they run in processes of their own.
txaio.use_twisted = lambda: None

CrossbarRouter.environment = {"PYTHONPATH": LIGHT_CROSSBAR}

NEEDS_ROUTER = {"router", "own_router", "site", "start_manager"}


def pytest_configure(config: pytest.Config) -> None:
    """The examples of hypothesis; measure how long each file takes, if that is wanted."""
    seeds.choose_examples()
    if os.environ.get("HM_TEST_RECORD") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(longest_first.Recorder())


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Spare the garbage collector the modules and the tests: millions of objects that stay."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that use a router; skip them where there is no crossbar."""
    longest_first.sort_longest_first(items, longest_first.load())
    for item in items:
        if NEEDS_ROUTER & set(getattr(item, "fixturenames", ())):
            item.add_marker("router")
    try:
        find_crossbar()
    except RouterError as error:
        for item in items:
            if item.get_closest_marker("router"):
                item.add_marker(pytest.mark.skip(reason=str(error)))


@pytest.fixture(scope="session", autouse=True)
def own_cache_directory(tmp_path_factory) -> Iterator[None]:
    """Keep the copies of site configs that commands make out of the user's cache directory."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def full_pipe() -> Iterator[tuple[int, int]]:
    """A pipe that nobody reads, full: the reader, the writer."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    os.set_blocking(writer, False)
    try:
        while True:
            os.write(writer, b"x" * 4096)
    except BlockingIOError:
        os.set_blocking(writer, True)
    yield reader, writer
    os.close(reader)


@pytest.fixture(scope="session", autouse=True)
def no_router_is_left(tmp_path_factory) -> Iterator[None]:
    """At the very end, no crossbar of ours runs."""
    yield
    base = str(tmp_path_factory.getbasetemp())
    left = []
    for process in psutil.process_iter(["pid", "name", "cwd", "cmdline", "status"]):
        title = " ".join(process.info["cmdline"] or ())
        if "crossbar" in title and (process.info["cwd"] or "").startswith(base):
            left.append((process.pid, title.strip()))
            process.kill()
    assert not left, f"routers were left running: {left}"


@pytest.fixture(scope="session")
def router(no_router_is_left, tmp_path_factory) -> Iterator[CrossbarRouter]:
    """A router for all tests that leave it alone."""
    with CrossbarRouter(tmp_path_factory.mktemp("router")) as running:
        yield running


@pytest.fixture
def own_router(no_router_is_left, tmp_path) -> Iterator[CrossbarRouter]:
    """A router for one test, which may stop, kill, freeze and restart it."""
    with CrossbarRouter(tmp_path / "router") as running:
        yield running


@pytest.fixture
def make_site(tmp_path) -> Iterator[Callable[[CrossbarRouter], Site]]:
    """Make sites: ``make_site(own_router)``. Their processes are looked after."""
    made: list[Site] = []

    def make(router: CrossbarRouter) -> Site:
        made.append(Site(tmp_path / f"site{len(made) + 1}", router))
        return made[-1]

    yield make
    left = [process for site in made if not site.may_leave_processes for process in processes(site)]
    for site in made:
        kill_all(site)
    assert not left, f"processes were left running: {left}"


@pytest.fixture
def site(make_site, router) -> Site:
    """A site on the shared router."""
    return make_site(router)


@pytest.fixture
def start_manager(make_site) -> Iterator[Callable[..., Manager]]:
    """Start managers: ``start_manager(site, "--stop-timeout", "2")``, ready unless told."""
    started: list[Manager] = []

    def start(
        site: Site,
        *options: str,
        ready: bool = True,
        kind: str | None = None,
        surroundings: Mapping[str, str] | None = None,
    ) -> Manager:
        started.append(Manager(site, options, kind, surroundings=surroundings))
        return started[-1].wait_ready() if ready else started[-1]

    yield start
    with ExitStack() as stack:  # one that does not stop keeps no other from being stopped
        for manager in started:
            stack.callback(manager.stop)


@pytest.fixture
def fresh_managers(monkeypatch) -> None:
    """Managers import what they need themselves, as on any host: for tests of their start."""
    monkeypatch.setenv("HM_TEST_FRESH", "1")


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch) -> None:
    """OCS reads these; a developer's own must not get into the tests."""
    for name in ("INSTANCE_ID", "SITE_HOST", "SITE_HUB", "SITE_HTTP", "OCS_CONFIG_DIR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def privileged() -> None:
    """Whoever runs the tests may raise the niceness."""
    argv = ["nice", "-n", str(MANAGER_NICE), "nice"]
    result = subprocess.run(argv, capture_output=True, text=True, check=False)
    if result.stdout.strip() != str(MANAGER_NICE):
        pytest.skip("whoever runs the tests may not raise the niceness")
