"""Which agent classes the installed OCS plugins provide, found out in a child process.

A plugin is other people's code: importing it may fail, print, hang or end the process. So a
child process imports it, as `ocs.agent_cli` would when it looks for an agent, and prints one JSON
object ``{"classes": {class: module}, "problems": [text]}``. The functions for the parent bound
its time and never raise for what a plugin does. This module imports little, because its start-up
time counts each time.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PLUGIN_GROUP = "ocs.plugins"
"""The entry-point group in which plugins announce their agent classes."""

PLUGIN_TIMEOUT = 20.0
"""Seconds that the plugins may take to be imported."""

WORKING_DIR_FLAG = "--launched-here"
"""Argument of a child of ours: agents are launched in its working directory."""

MAX_MESSAGE_CHARS = 300
_KILL_TIMEOUT = 1.0


@dataclass(frozen=True, slots=True)
class InstalledClasses:
    """The agent classes that are installed.

    Attributes:
        classes: Agent class to its module; None when it is not known.
        problems: What went wrong, as sentences.
    """

    classes: Mapping[str, str] | None = None
    problems: tuple[str, ...] = ()


def find_classes() -> InstalledClasses:
    """Import every plugin in this process, and list what they provide."""
    import importlib.metadata  # noqa: PLC0415 - only the child needs it

    classes: dict[str, str] = {}
    owners: dict[str, str] = {}
    problems: list[str] = []
    names: set[str] = set()
    for plugin in importlib.metadata.entry_points(group=PLUGIN_GROUP):
        if plugin.name in names:
            problems.append(
                f"Two installed packages provide an OCS plugin named {plugin.name!r}: "
                "ocs-agent-cli then cannot start any agent. Uninstall one."
            )
        names.add(plugin.name)
        try:
            provided = _provided(plugin.load(), plugin.name, problems)
        except (Exception, SystemExit) as error:
            reason = f"{type(error).__name__}: {error}"[:MAX_MESSAGE_CHARS]
            problems.append(f"The OCS plugin {plugin.name!r} could not be loaded ({reason}).")
            continue
        for name, module in provided.items():
            owner = owners.setdefault(name, plugin.name)
            classes.setdefault(name, module)
            if owner != plugin.name:
                problems.append(
                    f"The agent class {name!r} is in the OCS plugins {owner!r} and "
                    f"{plugin.name!r}: which one is started is left to chance."
                )
    return InstalledClasses(classes, tuple(problems))


def _provided(plugin: object, name: str, problems: list[str]) -> dict[str, str]:
    agents = getattr(plugin, "agents", None)
    if not isinstance(agents, dict):
        problems.append(
            f"The OCS plugin {name!r} has no dictionary 'agents': "
            "ocs-agent-cli then cannot start any agent. Update or uninstall it."
        )
        return {}
    provided = {}
    for agent_class, entry in agents.items():
        module = entry.get("module") if isinstance(entry, dict) else None
        if isinstance(agent_class, str) and isinstance(module, str):
            provided[agent_class] = module
        else:
            problems.append(f"The OCS plugin {name!r} names no module for {agent_class!r:.60}.")
    return provided


def main() -> None:
    """Print what is installed, and exit at once, whatever threads a plugin has started.

    What plugins print goes to stderr, so that stdout has only the reply.
    """
    signal.alarm(2 * int(PLUGIN_TIMEOUT))  # the end of one that hangs, whose parent was killed
    reply_fd = os.dup(1)
    os.dup2(2, 1)
    append_working_dir(sys.argv)
    installed = find_classes()
    text = json.dumps({"classes": installed.classes, "problems": installed.problems})
    with os.fdopen(reply_fd, "w", encoding="utf-8") as file:
        file.write(text + "\n")
    os._exit(0)


def start_probe(
    module: str, python: str | Path, cwd: str | Path | None, **options: Any
) -> "subprocess.Popen[bytes]":
    """Start a module of this package as a child process that imports other people's code.

    Never with the current directory before the installed packages (``-P``): somebody's
    ``hostmanager/__init__.py`` there would be executed in place of ours. The directory in which
    agents are launched comes last, since they find plugins there.

    Args:
        module: Its full name.
        python: The interpreter.
        cwd: The working directory that agents are launched in; None: unknown, so that only what
            is installed counts.
        options: For `subprocess.Popen`.

    Raises:
        OSError: The interpreter or the directory cannot be used.
    """
    command = [str(python), "-P", "-m", module, *([] if cwd is None else [WORKING_DIR_FLAG])]
    return subprocess.Popen(
        command, cwd=cwd, stdout=subprocess.PIPE, start_new_session=True, **options
    )


def append_working_dir(argv: list[str]) -> None:
    """In the child: find modules in the current directory, if agents are launched there."""
    if WORKING_DIR_FLAG in argv:
        sys.path.append(os.getcwd())  # noqa: PTH109 - without the import of pathlib's Path.cwd


def start_class_probe(python: str | Path, cwd: str | Path | None) -> "subprocess.Popen[bytes]":
    """Start the child that lists the installed classes.

    Args:
        python: The interpreter that agents are launched with.
        cwd: The working directory that agents are launched in; None: unknown.

    Raises:
        OSError: The interpreter or the directory cannot be used.
    """
    module = "hostmanager.siteconfig.plugins.installed_classes"
    options = {"stdin": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    return start_probe(module, python, cwd, **options)


def finish_class_probe(
    popen: "subprocess.Popen[bytes]", timeout: float = PLUGIN_TIMEOUT
) -> InstalledClasses:
    """Wait for the child, at most `timeout` seconds, and give its reply. Blocks.

    Nothing that the child or a plugin does raises: then the classes are not known.
    """
    try:
        stdout, stderr = popen.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        _terminate(popen)
        text = f"The installed OCS plugins could not be listed within {timeout:g} s."
        return InstalledClasses(None, (text,))
    except (OSError, ValueError) as error:
        _terminate(popen)
        return InstalledClasses(None, (f"The installed OCS plugins could not be listed: {error}.",))
    return _parse_reply(stdout) or InstalledClasses(None, (_failure(popen.returncode, stderr),))


async def list_classes(
    python: str | Path = sys.executable,
    cwd: str | Path | None = None,
    timeout: float = PLUGIN_TIMEOUT,  # noqa: ASYNC109  the child is killed then, and the reply says so
) -> InstalledClasses:
    """List the installed classes without blocking the event loop.

    When it is cancelled, the child is killed first. See `start_probe` and `finish_probe`.
    """
    import asyncio  # noqa: PLC0415  not needed in the child

    start = asyncio.ensure_future(asyncio.to_thread(start_class_probe, python, cwd))
    try:
        popen = await asyncio.shield(start)
    except asyncio.CancelledError:
        with contextlib.suppress(OSError):
            await asyncio.to_thread(_terminate, await start)
        raise
    except OSError as error:
        return InstalledClasses(None, (f"The installed OCS plugins could not be listed: {error}.",))
    finish = asyncio.ensure_future(asyncio.to_thread(finish_class_probe, popen, timeout))
    try:
        return await asyncio.shield(finish)
    except asyncio.CancelledError:
        kill_probe(popen)
        await asyncio.wait((finish,), timeout=_KILL_TIMEOUT)
        raise


def kill_probe(popen: "subprocess.Popen[bytes]") -> None:
    """Kill a child with its descendants; it is not waited for."""
    if popen.returncode is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(popen.pid, signal.SIGKILL)


def _terminate(popen: "subprocess.Popen[bytes]") -> None:
    """Kill a child, and close its pipes even if a descendant keeps them open."""
    kill_probe(popen)
    with contextlib.suppress(subprocess.TimeoutExpired, OSError, ValueError):
        popen.communicate(timeout=_KILL_TIMEOUT)
    for pipe in (popen.stdout, popen.stderr):
        if pipe is not None:
            pipe.close()


def _parse_reply(stdout: bytes) -> InstalledClasses | None:
    try:
        reply = json.loads(stdout)
        classes = {str(name): str(module) for name, module in reply["classes"].items()}
        return InstalledClasses(classes, tuple(str(text) for text in reply["problems"]))
    except (ValueError, LookupError, TypeError, AttributeError):
        return None


def _failure(returncode: int, stderr: bytes) -> str:
    lines = stderr.decode("utf-8", "replace").strip().splitlines()
    last = f" Its last output: {lines[-1][:MAX_MESSAGE_CHARS]}" if lines else ""
    return (
        "The installed OCS plugins could not be listed: "
        f"the child process gave no reply (exit code {returncode}).{last}"
    )


if __name__ == "__main__":
    main()
