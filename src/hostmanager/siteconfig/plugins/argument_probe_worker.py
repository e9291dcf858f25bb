"""The child process of `argument_probe`: forks for each agent class, and tries its parser there.

It reads one JSON object, ``{"timeout": seconds, "classes": {class: [module, [argv, …]]}}``, and
prints one for each class, in the order in which they end: its ``class`` and the attributes of an
`ArgumentVerdict`. Nothing of the project that takes time to import is imported.
"""

import argparse
import ctypes
import importlib
import importlib.metadata
import json
import os
import selectors
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import IO, Any, NoReturn

from hostmanager.siteconfig.plugins.installed_classes import PLUGIN_GROUP, append_working_dir

FACTORIES = ("add_agent_args", "make_parser", "add_args", "get_parser", "make_arg_parser")
"""Functions in an agent's module that give its parser, the usual one first."""

LAUNCH_ARGV = ("--instance-id", "x", "--site-file", "x", "--site-host", "x", "--working-dir", "x")
"""What the manager adds when it launches an agent (contract, section 2)."""

FORBIDDEN = frozenset(
    {
        *("socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg"),
        *("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork"),
        *("os.forkpty", "pty.spawn", "os.kill", "os.killpg", "os.remove", "os.rename", "os.rmdir"),
        *("os.mkdir", "os.link", "os.symlink", "os.truncate", "os.chmod", "os.chown"),
        *("_thread.start_new_thread", "fcntl.ioctl"),
    }
)
"""Audit events of acts that no parser needs, but an agent that starts to work."""

WRITE_FLAGS = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

_PR_SET_PDEATHSIG = 1


class ProbeAborted(BaseException):
    """The agent has passed on its parser, or attempted a forbidden act."""


class ArgumentsRejected(BaseException):
    """The parser does not accept the arguments; the text says why."""


class SideEffectGuard:
    """An audit hook that refuses forbidden acts while it is active."""

    active = False

    @classmethod
    def audit(cls, event: str, args: tuple[Any, ...]) -> None:
        """Refuse a forbidden act."""
        if cls.active and (event in FORBIDDEN or (event == "open" and _writes(*args))):
            raise ProbeAborted(f"it attempts {event} before it has a parser")


def _writes(path: object, mode: object, flags: object) -> bool:
    if path == os.devnull:
        return False
    if isinstance(mode, str):
        return bool(set(mode) & set("wax+"))
    return mode is None and isinstance(flags, int) and bool(flags & WRITE_FLAGS)


# --- in the fork of a class -----------------------------------------------------------------


def probe_class(
    agent_class: str, module_name: str, argvs: Sequence[Sequence[str]]
) -> dict[str, Any]:
    """Import the agent, find its parser and try the arguments."""
    from ocs import site_config  # noqa: PLC0415 - not before `preload_ocs` has tried its import

    captured: list[argparse.ArgumentParser] = []
    site_config.parse_args = _capture_parse_args(captured)
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        cause = f"{type(error).__name__}: {error}"
        reason = f"{module_name} cannot be imported ({cause})"
        return _verdict(unknown_reason=reason, is_importable=False, import_error=cause)
    sys.addaudithook(SideEffectGuard.audit)
    SideEffectGuard.active = True
    parser = _parser_from_factory(module)
    if parser is None:
        name = _entry_point(agent_class, module_name)
        entry_point = getattr(module, name, None)
        if not callable(entry_point):
            reason = f"{module_name} has no function {name!r} to start it with"
            return _verdict(unknown_reason=reason, is_importable=False)
        parser = _parser_from_entry_point(entry_point, captured)
    if parser is None:
        return _verdict(unknown_reason="its parser was not found: no function has a usual name")
    _raise_instead_of_exit()
    try:
        site_config.add_arguments(parser)
    except argparse.ArgumentError as error:
        text = f"OCS's own options cannot be added to those of the agent: {error}"
        return _verdict(rejections=[text] * len(argvs))
    rejections = [_rejection(parser, site_config.ArgContainer, argv) for argv in argvs]
    return _verdict(rejections=rejections, options=sorted(parser._option_string_actions))


def _verdict(**attributes: object) -> dict[str, Any]:
    return {"rejections": (), "options": (), "unknown_reason": None, **attributes}


def _parser_from_factory(module: object) -> argparse.ArgumentParser | None:
    """The parser that a function with a usual name makes."""
    for name in FACTORIES:
        factory = getattr(module, name, None)
        if not callable(factory):
            continue
        for args in ((), (argparse.ArgumentParser(),)):
            with suppress(Exception, ProbeAborted, SystemExit):
                parser = factory(*args)
                if isinstance(parser, argparse.ArgumentParser):
                    return parser
    return None


def _parser_from_entry_point(
    entry_point: Callable[..., object], captured: list[argparse.ArgumentParser]
) -> argparse.ArgumentParser | None:
    """The parser that an entry point is about to use."""
    cls = argparse.ArgumentParser
    originals = cls.parse_args, cls.parse_known_args

    def capture(parser: argparse.ArgumentParser, *_: object, **__: object) -> NoReturn:
        captured.append(parser)
        raise ProbeAborted("it has its parser")

    cls.parse_args = cls.parse_known_args = capture  # type: ignore[assignment, method-assign]
    try:
        with suppress(Exception, ProbeAborted, SystemExit):
            entry_point(args=["--instance-id", "x"])
    finally:
        cls.parse_args, cls.parse_known_args = originals  # type: ignore[method-assign]
    return captured[0] if captured else None


def _capture_parse_args(captured: list[argparse.ArgumentParser]) -> Callable[..., NoReturn]:
    """What stands in for `ocs.site_config.parse_args`."""

    def parse_args(
        agent_class: str | None = None,
        parser: argparse.ArgumentParser | None = None,
        args: object = None,
    ) -> NoReturn:
        captured.append(parser or argparse.ArgumentParser())
        raise ProbeAborted("it has its parser")

    return parse_args


def _entry_point(agent_class: str, module_name: str) -> str:
    """The function that `ocs-agent-cli` would call."""
    for plugin in importlib.metadata.entry_points(group=PLUGIN_GROUP):
        with suppress(Exception, SystemExit, ProbeAborted):
            agent = plugin.load().agents[agent_class]
            if agent["module"] == module_name:
                return str(agent.get("entry_point", "main"))
    return "main"


def _raise_instead_of_exit() -> None:
    """Make parsers raise where they print and exit; those of subcommands, too."""

    def error(parser: argparse.ArgumentParser, message: str) -> NoReturn:
        raise ArgumentsRejected(message)

    def exit_(parser: argparse.ArgumentParser, status: int = 0, message: str | None = None) -> None:
        raise ArgumentsRejected(message or "they make the agent print something and exit")

    argparse.ArgumentParser.error = error  # type: ignore[assignment, method-assign]
    argparse.ArgumentParser.exit = exit_  # type: ignore[assignment, method-assign]


def _rejection(
    parser: argparse.ArgumentParser, container: Callable[..., Any], argv: Sequence[str]
) -> str | None:
    """Why the parser does not accept these arguments, merged as by OCS; None if it does."""
    try:
        merged = container(list(argv))
        merged.update(container(list(LAUNCH_ARGV)))
        parser.parse_args(merged.to_list())
    except ArgumentsRejected as error:
        return str(error)
    except SystemExit as error:
        return f"the agent exits because of them ({error})"
    except ProbeAborted:
        return None  # for example a type that opens a file: unknown without opening it
    except Exception as error:
        return f"its parser fails because of them ({type(error).__name__}: {error})"
    return None


# --- the process that forks -----------------------------------------------------------------


class ProbeProcess:
    """The fork of one class."""

    def __init__(self, name: str, module: str, argvs: list[list[str]], timeout: float) -> None:
        self.name, self.output = name, b""
        self.deadline = time.monotonic() + timeout
        self.stderr: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - until `finish`
        self.pipe, write_end = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self.pipe)
            _run_fork(write_end, self.stderr.fileno(), name, module, argvs)
        os.close(write_end)

    def finish(self, broken_timeout: float | None = None) -> dict[str, Any]:
        """End it and its descendants, and give its verdict."""
        with suppress(ProcessLookupError, PermissionError):
            if broken_timeout:
                os.kill(self.pid, signal.SIGKILL)  # it may have no group of its own yet
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        os.close(self.pipe)
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        try:
            verdict: dict[str, Any] = json.loads(self.output)
        except ValueError:
            how = f"exit code {status}" if status >= 0 else signal.Signals(-status).name
            reason = f"it ended by itself ({how})"
            if broken_timeout:
                reason = f"timed out after {broken_timeout:g} s"
            verdict = _verdict(unknown_reason=f"{reason}{self._last_output()}")
        self.stderr.close()
        return {"class": self.name, **verdict}

    def _last_output(self) -> str:
        self.stderr.seek(0)
        lines = self.stderr.read()[-4096:].decode("utf-8", "replace").split("\n")
        printed = [line.strip() for line in lines if line.strip()]
        return f"; last output: {printed[-1]}" if printed else ""


def _run_fork(
    write_end: int, stderr: int, name: str, module: str, argvs: list[list[str]]
) -> NoReturn:
    try:
        os.setsid()
        with suppress(OSError, AttributeError):  # who kills the parent, as Ctrl-C does, kills this
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        for fd in (1, 2):  # what the agent prints is no verdict
            os.dup2(stderr, fd)
        verdict = json.dumps(probe_class(name, module, argvs)).encode()
        SideEffectGuard.active = False
        with os.fdopen(write_end, "wb") as pipe:
            pipe.write(verdict)
    except BaseException as error:
        with suppress(BaseException):
            os.write(2, f"\n{type(error).__name__}: {error}\n".encode())
        os._exit(1)
    os._exit(0)


def run_probes(job: dict[str, Any], report: Callable[[dict[str, Any]], object]) -> None:
    """Probe all classes, as many at a time as there are processors."""
    waiting = list(job["classes"].items())
    running = selectors.DefaultSelector()
    while waiting or running.get_map():
        while waiting and len(running.get_map()) < (os.cpu_count() or 1):
            name, (module, argvs) = waiting.pop(0)
            fork = ProbeProcess(name, module, argvs, job["timeout"])
            running.register(fork.pipe, selectors.EVENT_READ, fork)
        next_deadline = min(key.data.deadline for key in running.get_map().values())
        for key, _ in running.select(max(0.0, next_deadline - time.monotonic())):
            chunk = os.read(key.data.pipe, 65536)
            key.data.output += chunk
            if not chunk:
                running.unregister(key.data.pipe)
                report(key.data.finish())
        for fork in [key.data for key in running.get_map().values()]:
            if fork.deadline <= time.monotonic():
                running.unregister(fork.pipe)
                report(fork.finish(broken_timeout=job["timeout"]))


def preload_ocs() -> None:
    """Import what nearly every agent imports, once for all of them."""
    for name in ("ocs.site_config", "ocs.ocs_agent", "ocs.ocs_twisted"):
        with suppress(Exception, SystemExit):
            importlib.import_module(name)


def main() -> None:
    """Do the job on standard input."""
    reply_fd = os.dup(1)
    os.dup2(2, 1)
    os.set_inheritable(reply_fd, False)
    append_working_dir(sys.argv)
    preload_ocs()
    job = json.loads(sys.stdin.buffer.read())
    run_probes(job, lambda verdict: os.write(reply_fd, json.dumps(verdict).encode() + b"\n"))
    os._exit(0)


if __name__ == "__main__":
    main()
