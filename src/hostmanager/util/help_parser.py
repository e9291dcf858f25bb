"""The help of a command line: lines that fit the terminal, whole words, own options only.

OCS gives each of its programs thirteen site options, half a screen of help. They are shown by
`--help-site`, so that what belongs to the command itself can be read at 80x24.
"""

import argparse
import shutil
import sys
import textwrap
from collections.abc import Callable, Sequence
from typing import Any

MAX_WIDTH = 98
"""Columns of a help text on a wide terminal."""

SITE_HELP = "show the options that every OCS program has: --site-file, --site-host, --log-dir, ..."


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Breaks lines between words only; what is indented in a text keeps its lines."""

    def __init__(self, prog: str, **options: Any) -> None:
        options.setdefault("width", min(MAX_WIDTH, shutil.get_terminal_size().columns - 2))
        super().__init__(prog, **options)

    def _split_lines(self, text: str, width: int) -> list[str]:
        return _wrap(" ".join(text.split()), width)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        lines: list[str] = []
        paragraph: list[str] = []
        for line in [*text.splitlines(), ""]:
            if line and not line.startswith(" "):
                paragraph.append(line)
                continue
            lines += _wrap(" ".join(paragraph), width) if paragraph else []
            paragraph = []
            lines += _wrap_indented(line, width) if line else [""]
        return "\n".join(f"{indent}{line}" for line in lines[:-1]) + "\n"


def _wrap(text: str, width: int, **options: Any) -> list[str]:
    return textwrap.wrap(text, width, break_on_hyphens=False, break_long_words=False, **options)


def _wrap_indented(line: str, width: int) -> list[str]:
    """Wrap one line of a table or a list below its last column."""
    if len(line) <= width:
        return [line]
    left, gap, right = line.rpartition("  ")
    column = len(left) + len(gap) if left.strip() and len(left) < width // 2 else 0
    column = column or len(line) - len(line.lstrip())
    lines = _wrap(right if len(left) + len(gap) == column else line.strip(), width - column)
    first = line[:column] + lines[0]
    return [first, *(" " * column + rest for rest in lines[1:])]


class HelpParser(argparse.ArgumentParser):
    """A parser whose help is about its own options; `--help-site` shows the others."""

    def __init__(self, *args: Any, **options: Any) -> None:
        options = {"formatter_class": HelpFormatter, "allow_abbrev": False, **options}
        super().__init__(*args, **options)
        self._site_groups: list[Any] = []

    def add_site_options(self, add: Callable[[argparse.ArgumentParser], object]) -> None:
        """Add options that only `--help-site` shows, by a function that adds them."""
        self.add_argument(
            "--help-site", action=_ShowSiteHelp, help=SITE_HELP, default=argparse.SUPPRESS
        )
        present = len(self._action_groups)
        add(self)
        self._site_groups = self._action_groups[present:]

    def format_usage(self) -> str:
        """Give the usage in one line."""
        return self._without_site_groups(super().format_usage)

    def format_help(self) -> str:
        """Give the help, without the site options."""
        return self._without_site_groups(super().format_help)

    def format_site_help(self) -> str:
        """Give the help of the site options alone."""
        formatter = self._get_formatter()
        formatter.add_text(f"`{self.prog}` takes the options of every OCS program, too:")
        for group in self._site_groups:
            formatter.start_section("site options")
            formatter.add_arguments(group._group_actions)
            formatter.end_section()
        return formatter.format_help().replace("``", "`")

    def _without_site_groups(self, give: Callable[[], str]) -> str:
        every = self._action_groups
        self.usage = self.usage or self._short_usage()
        self._action_groups = [group for group in every if group not in self._site_groups]
        try:
            return give()
        finally:
            self._action_groups = every

    def _short_usage(self) -> str:
        formatter = self._get_formatter()
        words = [
            formatter._format_args(action, action.dest.upper())
            for action in self._get_positional_actions()
            if action.help != argparse.SUPPRESS
        ]
        return " ".join(["%(prog)s [OPTION ...]", *words])


class _ShowSiteHelp(argparse.Action):
    def __init__(self, option_strings: Sequence[str], dest: str, **options: Any) -> None:
        super().__init__(option_strings, argparse.SUPPRESS, nargs=0, **options)

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        assert isinstance(parser, HelpParser)
        parser._print_message(parser.format_site_help(), sys.stdout)
        parser.exit()
