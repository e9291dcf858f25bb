"""Which agent classes do the installed OCS plugins provide? Asked in a process of its own.

A plugin is other people's code: importing it may fail, print, hang or end the process. So a
child process does it, `python -m hostmanager.siteconfig.plugins.installed_classes`, as `ocs.agent_cli` would when it
looks for an agent, and prints one JSON object `{"classes": {class: module}, "problems":
[text]}`. The functions for the parent put a bound on its time and never raise for what a
plugin does. This module imports little, because its start-up time counts each time.
"""

import contextlib
import importlib.metadata
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

PLUGIN_GROUP = "ocs.plugins"
"""The entry-point group in which plugins announce their agent classes."""

PLUGIN_TIMEOUT = 20.0
"""Seconds that the plugins may take to be imported."""

WORKING_DIR_FLAG = "--launched-here"
"""Word for a child of ours: agents are launched in its working directory."""

_KILL_TIMEOUT = 1.0
MAX_MESSAGE_CHARS = 300


@dataclass(frozen=True, slots=True)
class InstalledClasses:
    """The agent classes that are installed.

    Attributes:
        classes: Agent class to the module that holds it; None when it is not known.
        problems: What went wrong, as sentences.
    """

    classes: Mapping[str, str] | None = None
    problems: tuple[str, ...] = ()


def find_classes() -> InstalledClasses:
    """Import every plugin in this process, and list what they provide."""
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
            what = f"{type(error).__name__}: {error}"[:MAX_MESSAGE_CHARS]
            problems.append(f"The OCS plugin {plugin.name!r} could not be loaded ({what}).")
            continue
        for name, module in provided.items():
            owner = owners.setdefault(name, plugin.name)
            classes.setdefault(name, module)
            if owner != plugin.name:
                problems.append(
                    f"The agent class {name!r} is in the OCS plugins {owner!r} and "
                    f"{plugin.name!r}: chance decides which one is started."
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
    """Print what is installed, and leave at once, whatever threads a plugin has started.

    What plugins print goes to stderr, so that stdout has the answer alone.
    """
    answer = os.dup(1)
    os.dup2(2, 1)
    append_working_dir(sys.argv)
    found = find_classes()
    text = json.dumps({"classes": found.classes, "problems": found.problems})
    with os.fdopen(answer, "w", encoding="utf-8") as file:
        file.write(text + "\n")
    os._exit(0)


def probe_command(python: str | Path, module: str, cwd: str | Path | None) -> list[str]:
    """How a module of ours is run to look at what agents are.

    Never with the current directory before the installed packages (``-P``): somebody's
    ``hostmanager/__init__.py`` there would be executed in place of ours. Where agents are
    launched it is looked at as well, since they find plugins there, but last.
    """
    return [str(python), "-P", "-m", module, *([] if cwd is None else [WORKING_DIR_FLAG])]


def append_working_dir(argv: list[str]) -> None:
    """In the child: find modules in the current directory, if agents are launched there."""
    if WORKING_DIR_FLAG in argv:
        sys.path.append(os.getcwd())  # noqa: PTH109 - without the import of pathlib's Path.cwd


def start_class_probe(python: str | Path, cwd: str | Path | None) -> "subprocess.Popen[bytes]":
    """Start the child that lists the installed classes.

    Args:
        python: The interpreter that agents are launched with.
        cwd: The working directory that agents are launched in; plugins can be found there.
            None: whatever it is, so only what is installed counts.

    Raises:
        OSError: The interpreter or the directory cannot be used.
    """
    return subprocess.Popen(
        probe_command(python, "hostmanager.siteconfig.plugins.installed_classes", cwd),
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def finish_class_probe(
    popen: "subprocess.Popen[bytes]", timeout: float = PLUGIN_TIMEOUT
) -> InstalledClasses:
    """Wait for the child, at most `timeout` seconds, and give its answer. Blocks.

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
    timeout: float = PLUGIN_TIMEOUT,  # noqa: ASYNC109  the child is killed then, and the answer says so
) -> InstalledClasses:
    """List the installed classes without blocking the event loop.

    When it is cancelled, the child is killed. See `start_probe` and `finish_probe`.
    """
    import asyncio  # noqa: PLC0415  the child can do without

    starting = asyncio.ensure_future(asyncio.to_thread(start_class_probe, python, cwd))

    def kill_it(done: "asyncio.Future[subprocess.Popen[bytes]]") -> None:
        if not done.cancelled() and done.exception() is None:
            _kill_group(done.result())

    try:
        popen = await asyncio.shield(starting)
    except asyncio.CancelledError:
        starting.add_done_callback(kill_it)
        raise
    except OSError as error:
        return InstalledClasses(None, (f"The installed OCS plugins could not be listed: {error}.",))
    try:
        return await asyncio.to_thread(finish_class_probe, popen, timeout)
    except asyncio.CancelledError:
        _kill_group(popen)
        raise


def _kill_group(popen: "subprocess.Popen[bytes]") -> None:
    if popen.returncode is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(popen.pid, signal.SIGKILL)


def _terminate(popen: "subprocess.Popen[bytes]") -> None:
    """Kill the child with its descendants, and let go of its pipes even if one holds them."""
    _kill_group(popen)
    with contextlib.suppress(subprocess.TimeoutExpired, OSError, ValueError):
        popen.communicate(timeout=_KILL_TIMEOUT)
    for pipe in (popen.stdout, popen.stderr):
        if pipe is not None:
            pipe.close()


def _parse_reply(stdout: bytes) -> InstalledClasses | None:
    try:
        answer = json.loads(stdout)
        classes = {str(name): str(module) for name, module in answer["classes"].items()}
        return InstalledClasses(classes, tuple(str(text) for text in answer["problems"]))
    except (ValueError, LookupError, TypeError, AttributeError):
        return None


def _failure(returncode: int, stderr: bytes) -> str:
    lines = stderr.decode("utf-8", "replace").strip().splitlines()
    last = f" Its last words: {lines[-1][:MAX_MESSAGE_CHARS]}" if lines else ""
    return (
        "The installed OCS plugins could not be listed: "
        f"the child process gave no answer (exit code {returncode}).{last}"
    )


if __name__ == "__main__":
    main()
