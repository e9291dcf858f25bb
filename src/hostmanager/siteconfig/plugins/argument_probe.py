"""Whether an agent's own parser accepts its arguments, found out without starting the agent.

An agent is other people's code: importing it may fail, print, hang or crash, and OCS has no
fixed name for the function that makes its parser. So a child process, `argument_probe_worker`,
imports OCS once and forks for each agent class; if such a fork fails, only the verdict of its
class is lost.

In the fork the parser comes from a function of one of the usual names, or else from the agent's
own entry point, which is called and stopped where it passes its parser to OCS. Until then an
audit hook refuses to connect, write, or start anything.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hostmanager.siteconfig.entry import MANAGER_CLASS
from hostmanager.siteconfig.plugins.installed_classes import (
    MAX_MESSAGE_CHARS,
    kill_probe,
    start_probe,
)
from hostmanager.util.secret import Environment

CLASS_TIMEOUT = 20.0
"""Seconds for one class; the import of the agent takes most of it."""

PROBE_GRACE = 5.0
"""Seconds for the child beside that."""

Argv = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ArgumentVerdict:
    """The verdict of the parser of one class.

    Attributes:
        rejections: For each list of arguments: why the parser rejects it, or None.
        options: The options that the parser knows.
        unknown_reason: Why there is no verdict, or None.
        is_importable: Whether the agent can be imported, as far as known.
        import_error: What its import failed with; agents that lack the same library have the same.
    """

    rejections: tuple[str | None, ...] = ()
    options: tuple[str, ...] = ()
    unknown_reason: str | None = None
    is_importable: bool = True
    import_error: str | None = None


class ArgumentProbe:
    """The child process. Start it early: it imports OCS before it reads its job."""

    def __init__(self, python: str | Path = sys.executable, cwd: str | Path | None = None) -> None:
        self._popen: subprocess.Popen[bytes] | None = None
        self._failure = ""
        try:
            self._popen = start_probe(
                "hostmanager.siteconfig.plugins.argument_probe_worker",
                python,
                cwd,
                stdin=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=Environment({**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}),
            )
        except OSError as error:
            self._failure = f"the process that imports agents cannot be started: {error}"

    def run(
        self,
        cases: Mapping[str, Sequence[Argv]],
        modules: Mapping[str, str],
        timeout: float = CLASS_TIMEOUT,
    ) -> dict[str, ArgumentVerdict]:
        """Try the parser of each class. Blocks; never raises for what an agent does.

        Args:
            cases: Lists of arguments by agent class, as OCS would pass them.
            modules: The modules of the classes; a class without one, and the manager, is left out.
            timeout: Seconds for each class.
        """
        classes = {
            name: [modules[name], [list(argv) for argv in lists]]
            for name, lists in cases.items()
            if name in modules and name != MANAGER_CLASS
        }
        if not classes:
            self.close()
            return {}
        replies = self._exchange({"timeout": timeout, "classes": classes}, timeout, len(classes))
        lost = ArgumentVerdict(
            unknown_reason=self._failure or "the process that imports agents ended"
        )
        return {name: _parse_verdict(replies.get(name)) or lost for name in classes}

    def close(self) -> None:
        """End the child, if it still runs."""
        if self._popen is not None:
            kill_probe(self._popen)
            with suppress(OSError, ValueError, subprocess.TimeoutExpired):
                self._popen.communicate(timeout=1.0)
            self._popen = None

    def _exchange(self, job: Mapping[str, Any], timeout: float, classes: int) -> dict[str, Any]:
        if self._popen is None:
            return {}
        rounds = -(-classes // (os.cpu_count() or 1))
        out = b""
        try:
            out = self._popen.communicate(json.dumps(job).encode(), timeout * rounds + PROBE_GRACE)[
                0
            ]
        except subprocess.TimeoutExpired as error:
            out = error.stdout or b""
        except (OSError, ValueError) as error:
            self._failure = f"the process that imports agents is gone: {error}"
        finally:
            self.close()
        replies: dict[str, Any] = {}
        for line in out.splitlines():
            with suppress(ValueError, LookupError, TypeError):
                reply = json.loads(line)
                replies[reply["class"]] = reply
        return replies


def _parse_verdict(reply: Any) -> ArgumentVerdict | None:
    try:
        return ArgumentVerdict(
            tuple(map(_text, reply["rejections"])),
            tuple(str(option) for option in reply["options"]),
            _text(reply["unknown_reason"]),
            bool(reply.get("is_importable", True)),
            _text(reply.get("import_error")),
        )
    except (LookupError, TypeError):
        return None


def _text(value: object) -> str | None:
    return None if value is None else str(value)[:MAX_MESSAGE_CHARS]
