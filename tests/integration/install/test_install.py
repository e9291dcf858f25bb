"""A wheel in an empty environment, without extras, on each supported Python that is here.

The router is that of the tests, in their own environment: crossbar is not installed in these.
"""

import json
import sys
import tarfile
import zipfile
from importlib.metadata import Distribution, PathDistribution
from pathlib import Path

import pytest
import requests

from hostmanager.cli.main import COMMANDS
from tests.integration.install.environment import ROOT, Environment, checked, pythons
from tests.support.managers import Manager
from tests.support.processes import processes
from tests.support.seeds import TIMES
from tests.support.sites import Site, instance
from tests.support.tls import Authority, TlsFront
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.install, pytest.mark.timeout(900)]

PYTHONS = pythons()
if TIMES == 1:  # the oldest and the newest; a workflow has a job for each
    PYTHONS = dict([*PYTHONS.items()][:: max(1, len(PYTHONS) - 1)])

OLDEST = "3.11"

IMPORT_ALL = """
import importlib, pkgutil, sys, hostmanager
names = [module.name for module in pkgutil.walk_packages(hostmanager.__path__, "hostmanager.")]
for name in names:
    if name.endswith("__main__"):
        continue
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        page = name.startswith("hostmanager.web.") and error.name in ("jinja2", "markupsafe")
        if not page or "web" in sys.argv:
            raise
print("\\n".join(names))
"""
"""The page needs its extra; told ``web``, it has it."""

HELP_OF_EACH = """
import json, os, sys, tempfile
import asyncio, requests, twisted.internet.defer, yaml
from hostmanager.cli.main import main
results = {}
for command in sys.argv[1:]:
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        if (child := os.fork()) == 0:
            os.dup2(output.fileno(), 1)
            os.dup2(errors.fileno(), 2)
            sys.argv = ["hostmanager", command, "--help"]
            sys.exit(main())
        _, status = os.waitpid(child, 0)
        texts = [(file.seek(0), file.read().decode())[1] for file in (output, errors)]
        results[command] = [os.waitstatus_to_exitcode(status), *texts]
print(json.dumps(results))
"""
"""Each in a process that has imported nothing of ours but `main`; what others wrote only once."""

SOURCE = ROOT / "src"

REQUIREMENTS = ROOT / "requirements.txt"


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """A directory with the sdist, and the wheel that was made from it."""
    directory = tmp_path_factory.mktemp("dist")
    checked([sys.executable, "-m", "build", "--outdir", directory, ROOT])
    return directory


@pytest.fixture(scope="module")
def wheel(built) -> Path:
    (files,) = built.glob("*.whl")
    return files


@pytest.fixture(scope="module", params=list(PYTHONS))
def plain(request, wheel, tmp_path_factory) -> Environment:
    """An environment with the wheel, and what it requires."""
    usual = request.param == next(iter(PYTHONS))
    directory = tmp_path_factory.mktemp("plain") / "env"
    environment = Environment(directory, PYTHONS[request.param], usual=usual)
    environment.install(wheel)
    return environment


@pytest.fixture
def authority(tmp_path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def tls_front(router, authority):
    with TlsFront(router, authority.certificate()) as front:
        yield front


def _files_of_source() -> set[str]:
    files = (path for path in SOURCE.rglob("*") if path.is_file())
    return {str(p.relative_to(SOURCE)) for p in files if "__pycache__" not in p.parts}


def test_the_wheel_from_the_sdist_has_all_files(built, wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {name for name in names if name.startswith("hostmanager/")} == _files_of_source()
    assert any(name.endswith("licenses/LICENSE") for name in names)
    pages = {f"hostmanager-{command}.1" for command in COMMANDS if command != "demo"}
    in_man = {name.rpartition("/")[2] for name in names if ".data/data/share/man/man1/" in name}
    assert in_man == {"hostmanager.1", *pages}
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE", "docs/install.md"} <= inside
    assert "requirements.txt" in inside


def test_what_is_only_for_trying_it_out_is_not_required(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    (directory,) = tmp_path.glob("*.dist-info")
    distribution: Distribution = PathDistribution(directory)
    required = [text for text in distribution.requires or () if "extra ==" not in text]
    assert any(text.lower().startswith("twisted[tls]") for text in required)
    assert not any("crossbar" in text or "pytest" in text for text in required)


def test_the_oldest_versions_that_are_declared_do(wheel, tmp_path):
    if OLDEST not in PYTHONS:
        pytest.skip(f"Python {OLDEST}, for which the oldest versions are declared, is not here")
    environment = Environment(tmp_path / "env", PYTHONS[OLDEST])
    extra = f"ocs-hostmanager[web] @ {wheel.as_uri()}"
    environment.install("--resolution", "lowest-direct", extra)
    environment.check_requirements()
    result = environment.run("python", "-c", IMPORT_ALL, "web")
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("version", list(PYTHONS))
def test_the_hashed_requirements_are_enough(version, wheel, tmp_path):
    environment = Environment(tmp_path / "env", PYTHONS[version])
    environment.install("--require-hashes", "-r", REQUIREMENTS)
    environment.install("--no-deps", wheel)
    environment.check_requirements()
    result = environment.run("hostmanager", "status", "--help")
    assert (result.returncode, result.stderr) == (0, "")


def test_the_hashed_requirements_name_no_index():
    text = REQUIREMENTS.read_text()
    assert "://" not in text
    assert not [line for line in text.splitlines() if line.startswith("-")]


def test_all_that_is_required_is_there(plain):
    plain.check_requirements()
    assert plain.run("python", "-c", "import crossbar").returncode != 0


def test_every_module_can_be_imported(plain):
    result = plain.run("python", "-W", "error::ImportWarning", "-c", IMPORT_ALL)
    assert result.returncode == 0, result.stderr
    modules = {name for name in _files_of_source() if name.endswith(".py")}
    packages = {name for name in modules if name.endswith("__init__.py")}
    assert len(result.stdout.split()) == len(modules) - 1, "all but the package itself"
    assert len(packages) > 10
    assert result.stderr == ""


def test_the_command_has_help(plain):
    result = plain.run("hostmanager", "--help")
    assert (result.returncode, result.stderr) == (0, "")
    assert "usage: hostmanager [--help]" in result.stdout


def test_each_subcommand_has_help(plain):
    result = plain.run("python", "-c", HELP_OF_EACH, *COMMANDS)
    assert (result.returncode, result.stderr) == (0, "")
    helps = json.loads(result.stdout)
    assert set(helps) == set(COMMANDS)
    for command, (code, output, errors) in helps.items():
        assert (code, errors) == (0, ""), command
        assert f"usage: hostmanager {command}" in output


def test_the_agent_as_a_module_has_help(plain):
    result = plain.run("python", "-m", "hostmanager.agent", "--help")
    assert (result.returncode, result.stderr) == (0, "")


def test_an_engine_by_ssh_names_the_extra_that_is_missing(plain):
    code = "import asyncio; from hostmanager.drivers.compose.engine import Engine\n"
    code += "async def main(): Engine('ssh://me:secret@daq1')\nasyncio.run(main())"
    result = plain.run("python", "-c", code)
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1].endswith(
        "EngineError: The Docker Engine at ssh://me@daq1 cannot be used: a library for ssh is "
        "missing. Install the extra that has it: pip install 'ocs-hostmanager[ssh]'."
    )


def test_the_demo_names_the_extra_that_is_missing(plain):
    result = plain.run("hostmanager", "demo", PATH=f"{plain.directory / 'bin'}:/usr/bin:/bin")
    assert (result.returncode, result.stdout) == (2, "")
    assert "crossbar, the WAMP router, is not installed" in result.stderr
    assert "pip install 'ocs-hostmanager[demo]'" in result.stderr


def _class_of(site: Site, router, instance_id: str) -> object:
    """What an agent says that it is, asked past the TLS."""
    address = f"{site.address_root}.{instance_id}"
    job = {"procedure": address, "args": ["get_api"], "kwargs": {}}
    reply = requests.post(router.http, json=job, timeout=30).json()
    if "error" in reply:
        raise LookupError(reply["error"])
    return reply["args"][0]["agent_class"]


def test_a_manager_runs_two_agents(plain, router, authority, tls_front, make_site):
    _run_two_agents(plain, make_site(tls_front), router, authority.surroundings)
    if plain.usual:  # what is done without TLS is no other on another Python
        _run_two_agents(plain, make_site(router), router, {})


def _run_two_agents(plain, site, router, trust):
    site.write(
        instance("fake1", "--mode", "acq", agent_class="FakeDataAgent"),
        instance("fake2", "--mode", "idle", agent_class="FakeDataAgent"),
    )
    surroundings = {**plain.surroundings, **trust}
    manager = Manager(site, surroundings=surroundings, python=plain.python)
    try:
        for name in ("fake1", "fake2", site.manager_id):
            result = wait_for(
                lambda name=name: _class_of(site, router, name), 60, name, manager.output
            )
            assert result == ("HostManager" if name == site.manager_id else "FakeDataAgent")
        asked = [*site.args, "--answer-time", "30"]
        outcome = plain.run("hostmanager", "status", *asked, **surroundings)
        assert outcome.returncode == 0, outcome.stdout + outcome.stderr
        outcome = plain.run("hostmanager", "check", *asked, **surroundings)
        assert (outcome.returncode, outcome.stdout) == (0, ""), outcome.stdout + outcome.stderr
        outcome = plain.run("hostmanager", "down", "fake2", *site.args, **surroundings)
        assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    finally:
        code = manager.stop()
    assert code == 0, manager.output()
    assert "Traceback" not in manager.output()
    wait_for(lambda: not processes(site), 10, "nothing to be left", lambda: processes(site))
