"""The compose command: found, run with time limits, its errors made readable.

Both generations work: the `docker compose` plugin (or a stand-alone binary of version 2) and
the old `docker-compose` of version 1. Only a few start at a time, since each takes a tenth of
a second of processor time; none outlives the call that started it.
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
"""Commands that start at a time."""

SLOT_TIMEOUT = 5.0
"""Seconds after which a command is assumed to wait for a network, and frees its slot."""

VERSION_TIMEOUT = 20.0
"""Seconds that the command may take to print its version."""

KILL_GRACE = 3.0
"""Seconds that a command and its children have to exit before they are killed."""

MAX_OUTPUT_BYTES = 4 * 1024 * 1024
"""Bytes that a compose command may print."""

_CHUNK = 64 * 1024

STDERR_TAIL = 64 * 1024
"""Bytes of standard error that are kept, from the end: a pull writes much."""

NO_COMPOSE_COMMAND = (
    "No compose command was found. Install the plugin of Docker (package docker-compose-plugin "
    "or docker-compose-v2) or docker-compose, or name it with --docker-compose-bin."
)

MAX_ERROR_CHARS = 400
"""Characters of an error message about a file."""

_V1_SERVICE_ERROR = re.compile(r"ERROR: for \S+\s+(.*)")
_WARNING_LINE = re.compile(r"level=warning|^WARN|variable is not set\. Defaulting")
_CONTROL_CHARS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f]")


class ComposeError(Exception):
    """The compose command cannot be used, or failed; the text is for operators."""


@dataclass(frozen=True, slots=True)
class CompletedCommand:
    """The result of a command.

    Attributes:
        exit_code: Its exit code; negative: the signal that killed it.
        stdout: Its standard output.
        stderr: The end of its standard error.
    """

    exit_code: int
    stdout: str
    stderr: str

    @property
    def reason(self) -> str:
        """Why it failed: its last error line; progress comes before it."""
        lines = self._error_lines()
        # Version 1 names the service first, and ends with a line without information.
        v1_errors = [m[1] for m in map(_V1_SERVICE_ERROR.match, lines) if m]
        last = v1_errors[-1:] or lines[-1:]
        return last[0] if last else f"it exited with code {self.exit_code} and no message"

    @property
    def error_summary(self) -> str:
        """All its error lines in one of limited length: for a file that it rejects."""
        text = " ".join(self._error_lines()) or self.reason
        return text if len(text) <= MAX_ERROR_CHARS else text[: MAX_ERROR_CHARS - 1] + "…"

    def _error_lines(self) -> list[str]:
        lines = [line.strip() for line in self.stderr.splitlines() if line.strip()]
        # A warning (a variable is not set) is not why it failed.
        return [line for line in lines if not _WARNING_LINE.search(line)] or lines


class Compose:
    """Runs the compose command.

    Args:
        argv: How to call it: ``("docker", "compose")``, ``("/usr/bin/docker-compose",)``.
        version: Its version, major first.
        environ: Its environment: DOCKER_HOST, DOCKER_CONFIG, DOCKER_CONTEXT matter.
        cwd: Its working directory.
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
        """Whether it is version 1."""
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
        """Run a subcommand; cancelling this call ends the command.

        Args:
            args: The subcommand and its arguments.
            file: The compose file to use.
            time_limit: Seconds that it may take; None: no limit.
            extra_env: Variables added to its environment.
            stdin: Its standard input.

        Raises:
            ComposeError: It could not be executed, or took too long.
        """
        file_args = () if file is None else ("-f", os.fspath(file))
        plain_args = () if file is None or self.is_v1 else ("--ansi", "never")
        argv = (*self.argv, *plain_args, *file_args, *args)
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
        cwd: As for `Compose`.

    Raises:
        ComposeError: No command works; the text names those that were tried.
    """
    search = environ.get("PATH", os.defpath)
    if binary is not None:
        path = os.fspath(binary)
        candidates: list[tuple[str, ...]] = (
            [(path, "compose")] if binary.name == "docker" else [(path,)]
        )
    else:
        docker, standalone = (shutil.which(n, path=search) for n in ("docker", "docker-compose"))
        candidates = [(docker, "compose")] if docker else []
        candidates += [(standalone,)] if standalone else []
    errors = []
    for argv in candidates:
        try:
            version = await _version(argv, environ, cwd)
        except ComposeError as error:
            errors.append(f"{' '.join(argv)}: {error}")
        else:
            return Compose(argv, version, environ, cwd)
    if binary is not None:
        raise ComposeError(f"--docker-compose-bin cannot be used: {'; '.join(errors)}")
    raise ComposeError(
        f"{NO_COMPOSE_COMMAND} Tried {'; '.join(errors)}" if errors else NO_COMPOSE_COMMAND
    )


async def _version(argv: Sequence[str], environ: Mapping[str, str], cwd: Path) -> tuple[int, ...]:
    result = await execute((*argv, "version", "--short"), environ, cwd, VERSION_TIMEOUT)
    match = re.search(r"(\d+)\.(\d+)\.(\d+)", result.stdout)
    if result.exit_code != 0 or match is None:
        raise ComposeError(result.reason)
    return tuple(int(part) for part in match.groups())


async def execute(
    argv: Sequence[str],
    environ: Mapping[str, str],
    cwd: Path,
    time_limit: float | None,
    stdin: bytes | None = None,
) -> CompletedCommand:
    """Run a program in a session of its own; without `stdin` it has nothing to read.

    Raises:
        ComposeError: It could not be executed, or took too long.
    """
    starting = asyncio.ensure_future(_start(argv, environ, cwd, stdin is not None))
    try:
        process = await asyncio.shield(starting)
    except asyncio.CancelledError:
        with suppress(ComposeError):
            await _terminate(await starting)  # asyncio itself would end only its first process
        raise
    finished = False
    try:
        async with asyncio.timeout(time_limit):
            out, err = await _communicate(process, stdin)
            finished = True
    except TimeoutError:
        name = " ".join(a for a in argv[1:] if not a.startswith("-"))
        raise ComposeError(
            f"`{Path(argv[0]).name} {name}` did not finish within {time_limit:g} s and was stopped."
        ) from None
    finally:
        if not finished:
            await _wait_uncancelled(asyncio.ensure_future(_terminate(process)))
    if len(out) > MAX_OUTPUT_BYTES:
        name = Path(argv[0]).name
        raise ComposeError(f"`{name}` printed more than {MAX_OUTPUT_BYTES:,} bytes.")
    return CompletedCommand(process.returncode or 0, _clean_text(out), _clean_text(err))


async def _communicate(
    process: asyncio.subprocess.Process, stdin: bytes | None
) -> tuple[bytes, bytes]:
    """Write its input, read its output to the end: the start of stdout, the end of stderr.

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
    argv: Sequence[str], environ: Mapping[str, str], cwd: Path, has_stdin: bool
) -> asyncio.subprocess.Process:
    try:
        return await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.PIPE if has_stdin else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=dict(environ),  # uvloop takes no other type
            cwd=cwd,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ComposeError(f"{argv[0]} cannot be executed: {reason}.") from None


async def _wait_uncancelled(task: "asyncio.Task[Any]") -> None:
    """Wait for a task, however often the wait is cancelled: it must have ended first."""
    while not task.done():
        with suppress(asyncio.CancelledError):
            await asyncio.wait((task,))


async def _terminate(process: asyncio.subprocess.Process) -> None:
    """End it with all that it started: first by SIGINT, so that it can clean up."""
    for number in (signal.SIGINT, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(TimeoutError):
            async with asyncio.timeout(KILL_GRACE):
                # Not just wait(): while nobody reads its pipes, it may never exit.
                await process.communicate()
                return


def _clean_text(data: bytes) -> str:
    return _CONTROL_CHARS.sub("", data.decode("utf-8", "replace").replace("\r", "\n"))
