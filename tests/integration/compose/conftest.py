"""Fixtures: the compose commands of this machine, and no engine.

    async def test_something(compose, write):
        file = await read(compose, write("services: {a: {image: x}}"))

`compose` runs a test with each way of calling compose; `v2` only with the plugin. What is not
installed is skipped by name.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from hostmanager.composefile.command import Compose, ComposeError, find_compose
from tests.support import engine as engines

NOBODY = "unix:///nonexistent/docker.sock"


@pytest.fixture
def environ() -> dict[str, str]:
    """An environment with the compose plugin in it, and without an engine."""
    own = {k: v for k, v in os.environ.items() if not k.startswith("COMPOSE_")}
    return {**own, **engines.environment(NOBODY)}


@pytest.fixture
def directory(tmp_path) -> Path:
    """A directory for compose files, the working directory of `compose`."""
    made = tmp_path / "work"
    made.mkdir()
    return made


@pytest.fixture
def write(directory) -> Callable[..., str]:
    """Write a file: ``write(text, "name")``; returns its name."""

    def go(text: str, name: str = "compose.yaml") -> str:
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return name

    return go


def plugin_file(environ: dict[str, str]) -> Path:
    """The file of the compose plugin; run by the name of docker-compose it is the stand-alone."""
    config = Path(environ.get("DOCKER_CONFIG", "~/.docker")).expanduser()
    system = [Path("/usr", *where, "docker/cli-plugins") for where in (["libexec"], ["lib"])]
    for directory in (config / "cli-plugins", *system):
        if (directory / "docker-compose").is_file():
            return directory / "docker-compose"
    pytest.skip("the docker command has no Compose plugin (v2)")


_versions: dict[str, tuple[int, ...]] = {}


async def _find(name: str, binary: Path | None, environ: dict[str, str], cwd: Path) -> Compose:
    """Find a compose command; its version, which v1 takes half a second to say, is asked once."""
    if name not in _versions:
        _versions[name] = (await find_compose(binary, environ, cwd)).version
    argv = [str(shutil.which("docker")), "compose"] if binary is None else [str(binary)]
    return Compose(argv, _versions[name], environ, cwd)


@pytest.fixture
async def v2(environ, directory) -> Compose:
    """`docker compose`."""
    if shutil.which("docker") is None:
        pytest.skip("the docker command is not installed")
    plugin_file(environ)
    return await _find("v2", None, environ, directory)


@pytest.fixture
async def v1(environ, directory) -> Compose:
    """`docker-compose` 1.x."""
    result = engines.compose_v1()
    if result is None:
        pytest.skip("Compose v1 (docker-compose 1.x) is not installed")
    return await _find("v1", Path(result), environ, directory)


@pytest.fixture
async def alone(environ, directory, tmp_path) -> Compose:
    """`docker-compose` 2.x, stand-alone."""
    link = tmp_path / "docker-compose"
    link.symlink_to(plugin_file(environ))
    try:
        return await _find("alone", link, environ, directory)
    except ComposeError as error:
        pytest.skip(f"the Compose plugin does not run by itself: {error}")


@pytest.fixture(params=["v2", "alone", "v1"])
def compose(request) -> Compose:
    """Each of them."""
    return request.getfixturevalue(request.param)
