"""The child process of `arguments`: forks for each agent class, and asks its parser there.

It reads one JSON object, ``{"limit": seconds, "classes": {class: [module, [[word, …], …]]}}``,
and prints one for each class, as they come: ``{"class", "refused": [text or null, …],
"options": [option, …], "unknown": text or null, "imports": whether it can be, "cause": what its
import ended with, where it did}``. Nothing of the project that costs time is imported.
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

from hostmanager.siteconfig.plugins.installed_classes import append_working_dir

FACTORIES = ("add_agent_args", "make_parser", "add_args", "get_parser", "make_arg_parser")
"""Functions in an agent's module that give its parser, the usual first."""

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
"""Audit events of things that no parser has to do, and that a starting agent does."""

_PR_SET_PDEATHSIG = 1

WRITE_FLAGS = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class ProbeAborted(BaseException):
    """The agent came to where it wants to do something, or has said enough."""


class ArgumentsRejected(BaseException):
    """Its parser does not take the arguments; the text says why."""


class SideEffectGuard:
    """Whether an agent's code runs that may not do anything."""

    active = False

    @classmethod
    def audit(cls, event: str, args: tuple[Any, ...]) -> None:
        """Refuse what may not be done."""
        if cls.active and (event in FORBIDDEN or (event == "open" and _writes(args))):
            raise ProbeAborted(f"it wants to do something ({event}) before it has a parser")


def _writes(args: tuple[Any, ...]) -> bool:
    path, mode, flags = args
    if path == os.devnull:
        return False
    by_mode = isinstance(mode, str) and bool(set(mode) & set("wax+"))
    return by_mode or (mode is None and isinstance(flags, int) and bool(flags & WRITE_FLAGS))


# --- in the fork of a class -----------------------------------------------------------------


def probe_class(
    agent_class: str, module_name: str, lists: Sequence[Sequence[str]]
) -> dict[str, Any]:
    """Import the agent, find its parser and ask it."""
    from ocs import site_config  # noqa: PLC0415 - not before its import was tried in `prepare`

    caught: list[argparse.ArgumentParser] = []
    take = site_config.add_arguments
    container = site_config.ArgContainer
    site_config.parse_args = _capture_parse_args(caught)
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        cause = f"{type(error).__name__}: {error}"
        why = f"{module_name} cannot be imported ({cause})"
        return {**_unknown(why), "imports": False, "cause": cause}
    sys.addaudithook(SideEffectGuard.audit)
    SideEffectGuard.active = True
    parser = _parser_from_factory(module) or _parser_from_entry_point(
        module, agent_class, module_name, caught
    )
    if parser is None:
        return _unknown("its parser was not found: it has none of the usual functions for it")
    _raise_instead_of_exit()
    try:
        take(parser)
    except argparse.ArgumentError as error:
        text = f"OCS's own options cannot be added to those of the agent: {error}"
        return _answer([text] * len(lists))
    refused = [_rejection(parser, container, words) for words in lists]
    return _answer(refused, sorted(parser._option_string_actions))


def _answer(
    refused: Sequence[str | None] = (), options: Sequence[str] = (), unknown: str | None = None
) -> dict[str, Any]:
    return {"refused": refused, "options": options, "unknown": unknown, "imports": True}


def _unknown(why: str) -> dict[str, Any]:
    return _answer(unknown=why)


def _parser_from_factory(module: object) -> argparse.ArgumentParser | None:
    """The parser that a function of the usual names makes."""
    for name in FACTORIES:
        factory = getattr(module, name, None)
        if not callable(factory):
            continue
        for given in ((), (argparse.ArgumentParser(),)):
            with suppress(Exception, ProbeAborted, SystemExit):
                made = factory(*given)
                if isinstance(made, argparse.ArgumentParser):
                    return made
    return None


def _parser_from_entry_point(
    module: object, agent_class: str, module_name: str, caught: list[argparse.ArgumentParser]
) -> argparse.ArgumentParser | None:
    """The parser that its entry point is about to use."""
    start = getattr(module, _entry_point(agent_class, module_name), None)
    if not callable(start):
        return None
    whole = argparse.ArgumentParser.parse_args, argparse.ArgumentParser.parse_known_args

    def parse(parser: argparse.ArgumentParser, *_: object, **__: object) -> NoReturn:
        caught.append(parser)
        raise ProbeAborted("it has its parser")

    argparse.ArgumentParser.parse_args = parse  # type: ignore[assignment, method-assign]
    argparse.ArgumentParser.parse_known_args = parse  # type: ignore[assignment, method-assign]
    try:
        with suppress(Exception, ProbeAborted, SystemExit):
            start(args=["--instance-id", "x"])
    finally:
        argparse.ArgumentParser.parse_args = whole[0]  # type: ignore[method-assign]
        argparse.ArgumentParser.parse_known_args = whole[1]  # type: ignore[method-assign]
    return caught[0] if caught else None


def _capture_parse_args(caught: list[argparse.ArgumentParser]) -> Callable[..., NoReturn]:
    """What stands in for `ocs.site_config.parse_args`."""

    def parse_args(
        agent_class: str | None = None,
        parser: argparse.ArgumentParser | None = None,
        args: object = None,
    ) -> NoReturn:
        caught.append(parser or argparse.ArgumentParser())
        raise ProbeAborted("it has its parser")

    return parse_args


def _entry_point(agent_class: str, module_name: str) -> str:
    """The function that `ocs-agent-cli` would call."""
    for plugin in importlib.metadata.entry_points(group="ocs.plugins"):
        with suppress(Exception, SystemExit, ProbeAborted):
            entry = plugin.load().agents[agent_class]
            if entry["module"] == module_name:
                return str(entry.get("entry_point", "main"))
    return "main"


def _raise_instead_of_exit() -> None:
    """Have parsers raise where they print and exit; those of subcommands, too."""

    def refuse(parser: argparse.ArgumentParser, message: str) -> NoReturn:
        raise ArgumentsRejected(message)

    def leave(parser: argparse.ArgumentParser, status: int = 0, message: str | None = None) -> None:
        raise ArgumentsRejected(message or "they make the agent print something and end")

    argparse.ArgumentParser.error = refuse  # type: ignore[assignment, method-assign]
    argparse.ArgumentParser.exit = leave  # type: ignore[assignment, method-assign]


def _rejection(
    parser: argparse.ArgumentParser, container: Callable[..., Any], words: Sequence[str]
) -> str | None:
    """Why the parser does not take these words, put together as OCS does; None if it does."""
    try:
        whole = container(list(words))
        whole.update(container(list(LAUNCH_ARGV)))
        parser.parse_args(whole.to_list())
    except ArgumentsRejected as error:
        return str(error)
    except SystemExit as error:
        return f"the agent ends over them ({error})"
    except ProbeAborted:
        return None  # a type that opens a file, say: nobody knows without doing it
    except Exception as error:
        return f"its parser fails over them ({type(error).__name__}: {error})"
    return None


# --- the process that forks -----------------------------------------------------------------


class ProbeProcess:
    """One class that is asked."""

    def __init__(self, name: str, module: str, lists: list[list[str]], until: float) -> None:
        self.name, self.deadline, self.output = name, until, b""
        self.errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - until `finish`
        self.pipe, theirs = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self.pipe)
            _in_fork(theirs, self.errors.fileno(), name, module, lists)
        os.close(theirs)

    def finish(self, late: float | None = None) -> dict[str, Any]:
        """End it and all that it began, and give its answer; `late`: the limit that it broke."""
        for target in (self.pid, -self.pid):
            with suppress(ProcessLookupError, PermissionError):
                os.kill(target, signal.SIGKILL) if late or target < 0 else None
        os.close(self.pipe)
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        try:
            answer: dict[str, Any] = json.loads(self.output)
        except ValueError:
            how = f"exit code {status}" if status >= 0 else signal.Signals(-status).name
            why = f"it was not done after {late:g} s" if late else f"it ended by itself ({how})"
            answer = _unknown(f"looking into it failed: {why}{self._last_output()}")
        self.errors.close()
        return {"class": self.name, **answer}

    def _last_output(self) -> str:
        self.errors.seek(0)
        lines = self.errors.read()[-4096:].decode("utf-8", "replace").split("\n")
        said = [line.strip() for line in lines if line.strip()]
        return f"; its last words: {said[-1]}" if said else ""


def _in_fork(theirs: int, errors: int, name: str, module: str, lists: list[list[str]]) -> NoReturn:
    try:
        os.setsid()
        _die_with_parent()
        for number in (1, 2):  # whatever it prints is no answer
            os.dup2(errors, number)
        said = json.dumps(probe_class(name, module, lists)).encode()
        SideEffectGuard.active = False
        with os.fdopen(theirs, "wb") as pipe:
            pipe.write(said)
    except BaseException as error:
        with suppress(BaseException):
            os.write(2, f"\n{type(error).__name__}: {error}\n".encode())
        os._exit(1)
    os._exit(0)


def _die_with_parent() -> None:
    """Whoever kills the process that forked, as Ctrl-C does, kills this one, too."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def run_probes(job: dict[str, Any], tell: Callable[[dict[str, Any]], None]) -> None:
    """Ask all classes, as many at a time as there are processors."""
    waiting = list(job["classes"].items())
    running = selectors.DefaultSelector()
    while waiting or running.get_map():
        while waiting and len(running.get_map()) < (os.cpu_count() or 1):
            name, (module, lists) = waiting.pop(0)
            fork = ProbeProcess(name, module, lists, time.monotonic() + job["limit"])
            running.register(fork.pipe, selectors.EVENT_READ, fork)
        forks = [key.data for key in running.get_map().values()]
        next_end = min(fork.until for fork in forks) - time.monotonic()
        for key, _ in running.select(max(0.0, next_end)):
            fork = key.data
            chunk = os.read(fork.end, 65536)
            fork.said += chunk
            if not chunk:
                running.unregister(fork.end)
                tell(fork.finish())
        for fork in [key.data for key in running.get_map().values()]:
            if fork.until <= time.monotonic():
                running.unregister(fork.end)
                tell(fork.finish(late=job["limit"]))


def preload_ocs() -> None:
    """Import what nearly every agent imports, once for all of them."""
    for name in ("ocs.site_config", "ocs.ocs_agent", "ocs.ocs_twisted"):
        with suppress(Exception, SystemExit):
            importlib.import_module(name)


def main() -> None:
    """Answer one question on standard input."""
    answers = os.dup(1)
    os.dup2(2, 1)
    os.set_inheritable(answers, False)
    append_working_dir(sys.argv)
    preload_ocs()
    job = json.loads(sys.stdin.buffer.read())

    def tell(answer: dict[str, Any]) -> None:
        os.write(answers, json.dumps(answer).encode() + b"\n")

    run_probes(job, tell)
    os._exit(0)


if __name__ == "__main__":
    main()
