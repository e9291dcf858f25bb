"""Would an agent's own parser take its arguments? Asked without starting the agent.

An agent is other people's code: importing it may fail, print, hang or crash, and OCS has no
fixed name for what makes its parser. So a child process, `python -P -m hostmanager.siteconfig.plugins.argument_probe_worker`,
imports OCS once and forks for each agent class; what becomes of such a fork costs the answer for
that class and nothing else.

In the fork the parser comes from a function of the usual names, or else from the agent's own
entry point, which is called and stopped where it hands its parser to OCS. Until then it may
not connect, write, or start anything: an audit hook refuses that.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hostmanager.siteconfig.entry import MANAGER_CLASS
from hostmanager.siteconfig.plugins.installed_classes import MAX_MESSAGE_CHARS, probe_command
from hostmanager.util.secret import Environment

CLASS_TIMEOUT = 20.0
"""Seconds that one class may take; the import of the agent is most of it."""

PROBE_GRACE = 5.0
"""Seconds that the child may take beside that."""

Argv = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ArgumentVerdict:
    """What the parser of one class says.

    Attributes:
        rejections: For each list of arguments: why it is refused, or None.
        options: The options that the parser knows.
        unknown_reason: Why nobody knows, or None.
        is_importable: Whether the agent can be imported, as far as that is known.
        import_error: What its import ended with: the same for all agents that lack the same library.
    """

    rejections: tuple[str | None, ...] = ()
    options: tuple[str, ...] = ()
    unknown_reason: str | None = None
    is_importable: bool = True
    import_error: str | None = None


class ArgumentProbe:
    """The child process. Started early, since it has to import OCS before it can be asked."""

    def __init__(self, python: str | Path = sys.executable, cwd: str | Path | None = None) -> None:
        self._popen: subprocess.Popen[bytes] | None = None
        self._failure = ""
        try:
            self._popen = subprocess.Popen(
                probe_command(python, "hostmanager.siteconfig.plugins.argument_probe_worker", cwd),
                cwd=cwd,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=Environment({**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}),
                start_new_session=True,
            )
        except OSError as error:
            self._failure = f"the process that looks into agents cannot be started: {error}"

    def run(
        self,
        cases: Mapping[str, Sequence[Argv]],
        modules: Mapping[str, str],
        limit: float = CLASS_TIMEOUT,
    ) -> dict[str, ArgumentVerdict]:
        """Ask the parser of each class. Blocks; never raises for what an agent does.

        Args:
            cases: Lists of arguments by agent class, as OCS would give them to it.
            modules: Where the classes are; one that is not there, and the manager, is left out.
            limit: Seconds for each class.
        """
        asked = {
            name: [modules[name], [list(words) for words in lists]]
            for name, lists in cases.items()
            if name in modules and name != MANAGER_CLASS
        }
        if not asked:
            self.close()
            return {}
        answers = self._exchange({"limit": limit, "classes": asked}, limit, len(asked))
        lost = ArgumentVerdict(
            unknown_reason=self._failure or "the process that looks into agents ended"
        )
        return {name: _parse_verdict(answers.get(name)) or lost for name in asked}

    def close(self) -> None:
        """End it, if it is still there."""
        if self._popen is not None:
            if self._popen.returncode is None:
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(self._popen.pid, signal.SIGKILL)
            with suppress(OSError, ValueError, subprocess.TimeoutExpired):
                self._popen.communicate(timeout=1.0)
            self._popen = None

    def _exchange(self, job: Mapping[str, Any], limit: float, number: int) -> dict[str, Any]:
        if self._popen is None:
            return {}
        rounds = -(-number // (os.cpu_count() or 1))
        out = b""
        try:
            out = self._popen.communicate(json.dumps(job).encode(), limit * rounds + PROBE_GRACE)[0]
        except subprocess.TimeoutExpired as error:
            out = error.stdout or b""
        except (OSError, ValueError) as error:
            self._failure = f"the process that looks into agents is gone: {error}"
        finally:
            self.close()
        found: dict[str, Any] = {}
        for line in out.splitlines():
            with suppress(ValueError, LookupError, TypeError):
                told = json.loads(line)
                found[told["class"]] = told
        return found


def _parse_verdict(told: Any) -> ArgumentVerdict | None:
    try:
        return ArgumentVerdict(
            tuple(None if why is None else str(why)[:MAX_MESSAGE_CHARS] for why in told["refused"]),
            tuple(str(option) for option in told["options"]),
            None if told["unknown"] is None else str(told["unknown"])[:MAX_MESSAGE_CHARS],
            bool(told["imports"]),
            str(told["cause"])[:MAX_MESSAGE_CHARS] if told.get("cause") else None,
        )
    except (LookupError, TypeError):
        return None
