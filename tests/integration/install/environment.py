"""Pythons that are here, and environments that have nothing but what is installed into them."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[3]

OLDEST = (3, 11)

NAME = re.compile(r"python3\.(\d+)")

UV = str(Path(sys.executable).parent / "uv")


def pythons() -> dict[str, Path]:
    """A Python of each supported version that this machine has, by version.

    Those on the PATH, and those that pyenv has made (of which the PATH has only those in use).
    """
    interpreters = {_version(sys.version_info[:2]): Path(sys.executable).resolve()}
    for path in _candidates():
        named = NAME.fullmatch(path.name)
        version = (3, int(named[1])) if named else (0, 0)
        if version >= OLDEST and os.access(path, os.X_OK):
            interpreters.setdefault(_version(version), path)
    return dict(sorted(interpreters.items(), key=lambda item: int(item[0].partition(".")[2])))


def _version(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version[:2]))


def _candidates() -> Iterable[Path]:
    made = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    for directory in os.get_exec_path():
        if Path(directory).name != "shims":  # pyenv's: they fail for a version that is not in use
            yield from sorted(Path(directory).glob("python3.*"))
    yield from sorted(made.glob("3.*/bin/python3.*"), reverse=True)


class Environment:
    """An empty environment of one Python; what is run in it sees nothing else.

    Attributes:
        directory: Where it is.
        python: Its interpreter.
    """

    def __init__(self, directory: Path, base: Path, *, usual: bool = False) -> None:
        """Make it.

        Args:
            directory: Where.
            base: The interpreter that it is for.
            usual: By `venv` and `pip`, as people do; else by uv, which does the same in a second.
                What the package requires is fetched by uv for both: pip takes half a minute.
        """
        self.directory, self.usual = directory, usual
        self.python = str(directory / "bin" / "python")
        made = [base, "-m", "venv"] if usual else [UV, "venv", "--quiet", "--python", base]
        checked([*made, directory])

    @property
    def surroundings(self) -> dict[str, str]:
        """Environment variables: what is installed elsewhere cannot be found by them."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
        kept.pop("VIRTUAL_ENV", None)
        return {**kept, "PATH": f"{self.directory / 'bin'}:/usr/bin:/bin"}

    def install(self, *arguments: str | Path) -> None:
        """Install it: a wheel, ``-r FILE`` and the like."""
        checked([UV, "pip", "install", "--python", self.python, "--quiet", *arguments])
        if self.usual:
            again = ["--quiet", "--no-deps", "--force-reinstall"]
            checked([*self._pip("install"), *again, *arguments])

    def check_requirements(self) -> None:
        """Each package has all that it requires."""
        checked(self._pip("check"))

    def _pip(self, command: str) -> list[str]:
        if self.usual:
            return [self.python, "-m", "pip", command]
        return [UV, "pip", command, "--python", self.python]

    def run(self, *arguments: str | Path, **given: str) -> subprocess.CompletedProcess[str]:
        """Run a program of this environment in an empty directory, with these variables."""
        program = shutil.which(str(arguments[0]), path=str(self.directory / "bin"))
        assert program is not None, f"{arguments[0]} is not installed"
        empty = self.directory / "empty"
        empty.mkdir(exist_ok=True)
        return subprocess.run(
            [program, *map(str, arguments[1:])],
            cwd=empty,
            env={**self.surroundings, **given},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )


def checked(argv: Iterable[str | Path]) -> str:
    """Run it; if it fails, that is an error with all that it printed."""
    result = subprocess.run(
        list(map(str, argv)),
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=900,
        check=False,
    )
    assert result.returncode == 0, f"{' '.join(map(str, argv))}\n{result.stdout}"
    return result.stdout
