"""What a subcommand prints, for people, pipes and programs, and how it ends.

On a terminal there are colours and tables that fit its width; elsewhere plain text whose
lines are never cut; with `--json` one JSON value on stdout, and nothing else.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from hostmanager.cli.exit_codes import INTERRUPTED, UNREACHABLE, USAGE, CommandError
from hostmanager.client.errors import ClientError
from hostmanager.client.text import sanitize

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text

    from hostmanager.client.change.plan_text import PlanLine

NO_WRAP_WIDTH = 100_000
"""Columns where there is no terminal: nothing is cut."""

_PLAN_STYLES = {
    "refused": "red",
    "heading": "bold",
    "warning": "yellow",
    "add": "green",
    "stop": "red",
    "replace": "yellow",
    "change": "cyan",
    "broken": "bold red",
}
"""By `PlanLine.kind`."""


class Output:
    """What a subcommand prints to.

    Attributes:
        json: Whether stdout is for programs.
    """

    def __init__(self, command: str, as_json: bool) -> None:
        self.json = as_json
        self._command = command
        self._out: Console | None = None

    @property
    def console(self) -> "Console":
        """Rich's console on stdout."""
        if self._out is None:
            from rich.console import Console  # noqa: PLC0415 - not for --json

            width = None if sys.stdout.isatty() else NO_WRAP_WIDTH
            self._out = Console(highlight=False, width=width, soft_wrap=False)
        return self._out

    @property
    def is_terminal(self) -> bool:
        """Whether stdout is a terminal, for people."""
        return not self.json and self.console.is_terminal

    @property
    def can_ask(self) -> bool:
        """Whether a question can be answered."""
        return sys.stdin.isatty() and sys.stderr.isatty()

    def show(self, *parts: "RenderableType") -> None:
        """Print for people; without a terminal, without the blanks at the ends of lines."""
        if self.json:
            return
        from rich.console import Group  # noqa: PLC0415

        whole = Group(*parts)  # single texts would lose their overflow settings
        if self.console.is_terminal:
            self.console.print(whole)
            return
        with self.console.capture() as captured:
            self.console.print(whole)
        for line in captured.get().splitlines():
            print(line.rstrip())

    def line(self, text: "str | Text" = "", style: str = "") -> None:
        """Print one line for people; long ones are wrapped by the terminal, so can be copied."""
        if not self.json:
            from rich.text import Text  # noqa: PLC0415

            shown = Text(sanitize(text), style) if isinstance(text, str) else text
            if self.console.is_terminal:
                self.console.print(shown, soft_wrap=True)
            else:  # rich takes ten times as long for it, and a log has thousands of lines
                print(shown.plain.expandtabs(), flush=True)

    def plan(self, lines: "Iterable[PlanLine]") -> None:
        """Print what will happen."""
        for line in lines:
            self.line(line.text, _PLAN_STYLES.get(line.kind, ""))

    def warn(self, text: str) -> None:
        """Print a warning or an error on stderr."""
        print(f"hostmanager {self._command}: {sanitize(text)}", file=sys.stderr, flush=True)

    @staticmethod
    def ask(question: str) -> bool:
        """Ask a question; anything but yes is no, Ctrl-D included."""
        print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
        answer = sys.stdin.readline()
        if not answer.endswith("\n"):
            print(file=sys.stderr)
        return answer.strip().lower() in {"y", "yes"}

    def emit_json(self, code: int, **content: Any) -> int:
        """Print what programs get; returns the exit status."""
        if self.json:
            self.print_json(
                {"command": self._command, "exit": code, "time": time.time(), **content}
            )
        return code

    @staticmethod
    def print_json(value: Any) -> None:
        """Print one JSON value on a line of its own."""
        # All but ASCII is escaped: a terminal would obey some of it (C1, bidirectional marks).
        print(json.dumps(value, default=str).replace("\x7f", r"\u007f"), flush=True)


def command(
    work: Callable[[argparse.Namespace, Output], int],
) -> Callable[[argparse.Namespace], int]:
    """Make a subcommand of this: an error is one line, never a traceback."""

    def run(args: argparse.Namespace) -> int:
        output = Output(args.command, getattr(args, "json", False))
        try:
            code = work(args, output)
            sys.stdout.flush()
        except CommandError as error:
            output.warn(str(error))
            return output.emit_json(error.code, error=str(error))
        except ClientError as error:
            output.warn(str(error))
            code = UNREACHABLE if error.unreachable else USAGE
            return output.emit_json(code, error=str(error))
        except KeyboardInterrupt:
            output.warn("Interrupted.")
            return INTERRUPTED
        return code

    return run
