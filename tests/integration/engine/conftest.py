"""Fixtures of the tests on a real Docker Engine.

    def test_a_container_that_dies_is_shown(project):
        project.write(["ocs-a"])
        project.up("ocs-a")

`engine` is shared: by all tests, and with other workers. Who wants to stop, kill or freeze one
takes `own_engine`. Without an engine these tests are skipped, and the summary says why.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support import engine as engines
from tests.support.engine import Engine, MissingError
from tests.support.engine_projects import Project
from tests.support.engine_registry import Registry
from tests.support.private_engine import directories

NEEDS_ENGINE = {
    *("engine", "make_engine", "own_engine", "make_project", "project", "registry"),
    *("network_engine", "network_project"),
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that use an engine."""
    for item in items:
        if NEEDS_ENGINE & set(getattr(item, "fixturenames", ())):
            item.add_marker("docker")
            item.keywords["skip"] = True  # if they are skipped, the summary has one line a file


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """A Docker Engine for all tests that leave it alone: the reachable one, else a private one."""
    directories.sweep()
    directory = directories.make()
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, directory)
        try:
            made = Engine.any(directory)
        except MissingError as error:
            pytest.skip(str(error))
        stack.callback(made.remove)
        yield made


@pytest.fixture
def make_engine(engine) -> Iterator[Callable[..., Engine]]:
    """Start engines of the test's own: ``make_engine("--live-restore")``."""
    with ExitStack() as stack:  # one that cannot be removed keeps no other from it

        def start(*arguments: str, networks: bool = False) -> Engine:
            directory = directories.make()
            stack.callback(shutil.rmtree, directory)
            try:
                made = Engine.private(directory / directories.ENGINE, arguments, networks)
            except MissingError as error:
                pytest.skip(str(error))
            stack.callback(made.remove)
            return made

        yield start


@pytest.fixture
def own_engine(make_engine) -> Engine:
    """An engine for one test, which may stop, kill, freeze and restart it."""
    return make_engine()


@pytest.fixture(scope="session")
def network_engine() -> Iterator[Engine]:
    """An engine with networks, for all tests that leave it alone."""
    directory = directories.make()
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, directory)
        try:
            made = Engine.private(directory / directories.ENGINE, networks=True)
        except MissingError as error:
            pytest.skip(str(error))
        stack.callback(made.remove)
        yield made


@pytest.fixture
def network_project(network_engine, tmp_path) -> Iterator[Project]:
    """A compose project without a file yet, on an engine with networks."""
    made = Project(network_engine, tmp_path)
    yield made
    made.remove()


@pytest.fixture
def make_project(engine, tmp_path) -> Iterator[Callable[..., Project]]:
    """Make compose projects, on the shared engine unless another is given."""
    made: list[Project] = []

    def make(on: Engine | None = None, parent: Path | None = None) -> Project:
        made.append(Project(on or engine, parent or tmp_path))
        return made[-1]

    yield make
    with ExitStack() as stack:
        for project in made:
            if project.engine.daemon is None or project.engine is engine:
                stack.callback(project.remove)  # one's own engine goes as a whole


@pytest.fixture
def project(make_project) -> Project:
    """A compose project without a file yet, on the shared engine."""
    return make_project()


@pytest.fixture(params=["v2", "v1"])
def v1(request) -> bool:
    """Run a test with Compose v2, and with v1 (`docker-compose`) where that is installed."""
    if request.param == "v1" and engines.compose_v1() is None:
        how = engines.HOW.replace(" up", " up --compose-v1")
        pytest.skip(f"Compose v1 (docker-compose 1.x) is not installed; {how}")
    return request.param == "v1"


@pytest.fixture(scope="session")
def registry(engine, tmp_path_factory) -> Iterator[Registry]:
    """A registry on this machine, for all tests; each uses image names of its own."""
    try:
        made = Registry(tmp_path_factory.mktemp("registry"))
    except MissingError as error:
        pytest.skip(str(error))
    with made:
        yield made
