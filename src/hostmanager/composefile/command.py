"""The compose command: found, run with limits, its errors made readable.

Both generations are spoken to: the `docker compose` plugin (or a stand-alone binary of
version 2) and the old `docker-compose` of version 1. Only a few begin at a time, since each
costs a tenth of a second of processor; none outlives the call that asked for it.
"""

import asyncio
import os
import re
import shutil
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hostmanager.util.secret import Environment

MAX_PARALLEL = 4
"""Commands that begin at a time."""

SLOT_TIMEOUT = 5.0
"""Seconds after which a command is taken to wait for a network, and no other waits for it."""

VERSION_TIMEOUT = 20.0
"""Seconds that the command may take to tell its version."""

KILL_GRACE = 3.0
"""Seconds that a command has to end itself, with what it began, before it is killed."""

MAX_OUTPUT_BYTES = 4 * 1024 * 1024
"""Bytes that a compose command may print."""

_CHUNK = 64 * 1024

STDERR_TAIL = 64 * 1024
"""Bytes of its messages that are kept, from the end: a pull writes many."""

NO_COMPOSE_COMMAND = (
    "No compose command was found. Install the plugin of Docker (package docker-compose-plugin "
    "or docker-compose-v2) or docker-compose, or name it with --docker-compose-bin."
)

MAX_ERROR_CHARS = 400
"""Characters of a complaint about a file."""

_V1_SERVICE_ERROR = re.compile(r"ERROR: for \S+\s+(.*)")
_WARNING_LINE = re.compile(r"level=warning|^WARN|variable is not set\. Defaulting")
_CONTROL_CHARS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f]")


class ComposeError(Exception):
    """The compose command cannot be used, or did not do what it was told; for people."""


@dataclass(frozen=True, slots=True)
class CompletedCommand:
    """What a command came to.

    Attributes:
        exit_code: Its exit code; negative: the signal that ended it.
        stdout: What it wrote on standard output.
        stderr: The end of what it wrote on standard error.
    """

    exit_code: int
    stdout: str
    stderr: str

    @property
    def reason(self) -> str:
        """Why it failed, in its own last words; progress comes before them."""
        lines = self._error_lines()
        # Version 1 names the service first, and ends with a line that says nothing.
        of_services = [m[1] for m in map(_V1_SERVICE_ERROR.match, lines) if m]
        last = of_services[-1:] or lines[-1:]
        return last[0] if last else f"it ended with exit code {self.exit_code} and said nothing"

    @property
    def error_summary(self) -> str:
        """All that it said, in one line of bearable length: of a file that it refused."""
        said = " ".join(self._error_lines()) or self.reason
        return said if len(said) <= MAX_ERROR_CHARS else said[: MAX_ERROR_CHARS - 1] + "…"

    def _error_lines(self) -> list[str]:
        lines = [line.strip() for line in self.stderr.splitlines() if line.strip()]
        # That a variable is not set, say, is no reason for anything.
        return [line for line in lines if not _WARNING_LINE.search(line)] or lines


class Compose:
    """Runs the compose command.

    Args:
        argv: How it is called: ``("docker", "compose")``, ``("/usr/bin/docker-compose",)``.
        version: Its version, major first.
        environ: Its environment: DOCKER_HOST, DOCKER_CONFIG, DOCKER_CONTEXT count.
        cwd: Where it runs.
    """

    def __init__(
        self,
        argv: Sequence[str],
        version: tuple[int, ...],
        environ: Mapping[str, str],
        cwd: Path,
    ) -> None:
        self.argv = tuple(argv)
        self.version = version
        self.environ = Environment(environ)
        self.cwd = cwd
        self.runs = 0
        self._slots = asyncio.Semaphore(MAX_PARALLEL)

    @property
    def is_v1(self) -> bool:
        """Whether it is of the first generation."""
        return self.version < (2,)

    def __str__(self) -> str:
        return f"{' '.join(self.argv)} {'.'.join(map(str, self.version))}"

    async def run(
        self,
        *args: str,
        file: Path | None = None,
        time_limit: float | None = None,
        extra_env: Mapping[str, str] | None = None,
        stdin: bytes | None = None,
    ) -> CompletedCommand:
        """Run a subcommand; if this call is cancelled, so is the command.

        Args:
            args: The subcommand and its arguments.
            file: The compose file that it is about.
            time_limit: Seconds that it may take; None: as long as it likes.
            extra_env: What to add to its environment.
            stdin: What it may read on standard input.

        Raises:
            ComposeError: It could not be executed, or took too long.
        """
        where = () if file is None else ("-f", os.fspath(file))
        quiet = () if file is None or self.is_v1 else ("--ansi", "never")
        argv = (*self.argv, *quiet, *where, *args)
        environ = Environment({**self.environ, **(extra_env or {})})
        task: asyncio.Task[CompletedCommand] | None = None
        try:
            async with self._slots:
                self.runs += 1
                task = asyncio.ensure_future(execute(argv, environ, self.cwd, time_limit, stdin))
                await asyncio.wait((task,), timeout=SLOT_TIMEOUT)
            return await task
        finally:
            if task is not None and not task.done():
                task.cancel()
                await _wait_uncancelled(task)
                await asyncio.gather(task, return_exceptions=True)


async def find_compose(binary: Path | None, environ: Mapping[str, str], cwd: Path) -> Compose:
    """Find the compose command.

    Args:
        binary: The binary to use; None: the plugin of `docker`, else `docker-compose`.
        environ: As for `Compose`; its PATH is searched.
        cwd: Where the command will run.

    Raises:
        ComposeError: There is none that answers; names what was tried.
    """
    search = environ.get("PATH", os.defpath)
    if binary is not None:
        path = os.fspath(binary)
        candidates: list[tuple[str, ...]] = (
            [(path, "compose")] if binary.name == "docker" else [(path,)]
        )
    else:
        docker, alone = (shutil.which(n, path=search) for n in ("docker", "docker-compose"))
        candidates = [(docker, "compose")] if docker else []
        candidates += [(alone,)] if alone else []
    tried = []
    for argv in candidates:
        try:
            version = await _version(argv, environ, cwd)
        except ComposeError as error:
            tried.append(f"{' '.join(argv)}: {error}")
        else:
            return Compose(argv, version, environ, cwd)
    if binary is not None:
        raise ComposeError(f"--docker-compose-bin cannot be used: {'; '.join(tried)}")
    raise ComposeError(
        f"{NO_COMPOSE_COMMAND} Tried {'; '.join(tried)}" if tried else NO_COMPOSE_COMMAND
    )


async def _version(argv: Sequence[str], environ: Mapping[str, str], cwd: Path) -> tuple[int, ...]:
    done = await execute((*argv, "version", "--short"), environ, cwd, VERSION_TIMEOUT)
    match = re.search(r"(\d+)\.(\d+)\.(\d+)", done.stdout)
    if done.exit_code != 0 or match is None:
        raise ComposeError(done.reason)
    return tuple(int(part) for part in match.groups())


async def execute(
    argv: Sequence[str],
    environ: Mapping[str, str],
    cwd: Path,
    time_limit: float | None,
    stdin: bytes | None = None,
) -> CompletedCommand:
    """Run a program, in a session of its own, with nothing to read unless it is fed.

    Raises:
        ComposeError: It could not be executed, or took too long.
    """
    starting = asyncio.ensure_future(_start(argv, environ, cwd, stdin is not None))
    try:
        process = await asyncio.shield(starting)
    except asyncio.CancelledError:
        with suppress(ComposeError):
            await _terminate(
                await starting
            )  # asyncio itself would end only the first process of it
        raise
    ended = False
    try:
        async with asyncio.timeout(time_limit):
            out, err = await _communicate(process, stdin)
            ended = True
    except TimeoutError:
        name = " ".join(a for a in argv[1:] if not a.startswith("-"))
        raise ComposeError(
            f"`{Path(argv[0]).name} {name}` did not end within {time_limit:g} s, and was stopped."
        ) from None
    finally:
        if not ended:
            await _wait_uncancelled(asyncio.ensure_future(_terminate(process)))
    if len(out) > MAX_OUTPUT_BYTES:
        name = Path(argv[0]).name
        raise ComposeError(
            f"`{name}` printed more than {MAX_OUTPUT_BYTES:,} bytes; that much is not read."
        )
    return CompletedCommand(process.returncode or 0, _clean_text(out), _clean_text(err))


async def _communicate(
    process: asyncio.subprocess.Process, stdin: bytes | None
) -> tuple[bytes, bytes]:
    """Feed a program and read it to its end; keeps the begin of its output, the end of its errors.

    `Process.communicate` keeps everything, however much that is.
    """

    async def write() -> None:
        if process.stdin is not None:
            with suppress(BrokenPipeError, ConnectionResetError):
                process.stdin.write(stdin or b"")
                await process.stdin.drain()
            process.stdin.close()

    async def read(stream: asyncio.StreamReader, keep: Callable[[bytes], bytes]) -> bytes:
        kept = b""
        while chunk := await stream.read(_CHUNK):
            kept = keep(kept + chunk)
        return kept

    assert process.stdout is not None
    assert process.stderr is not None
    out, err, _ = await asyncio.gather(
        read(process.stdout, lambda data: data[: MAX_OUTPUT_BYTES + 1]),
        read(process.stderr, lambda data: data[-STDERR_TAIL:]),
        write(),
    )
    await process.wait()
    return out, err


async def _start(
    argv: Sequence[str], environ: Mapping[str, str], cwd: Path, fed: bool
) -> asyncio.subprocess.Process:
    try:
        return await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.PIPE if fed else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=dict(environ),  # uvloop takes no other type
            cwd=cwd,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise ComposeError(f"{argv[0]} cannot be executed: {why}.") from None


async def _wait_uncancelled(task: "asyncio.Task[Any]") -> None:
    """Wait for that, however often the wait is cancelled: nothing else is to go on before it."""
    while not task.done():
        with suppress(asyncio.CancelledError):
            await asyncio.wait((task,))


async def _terminate(process: asyncio.subprocess.Process) -> None:
    """End it with all that it started: first by a request, so that it can clean up."""
    for number in (signal.SIGINT, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(TimeoutError):
            async with asyncio.timeout(KILL_GRACE):
                # Not only wait(): with nobody reading its pipes, it might never end.
                await process.communicate()
                return


def _clean_text(data: bytes) -> str:
    return _CONTROL_CHARS.sub("", data.decode("utf-8", "replace").replace("\r", "\n"))
