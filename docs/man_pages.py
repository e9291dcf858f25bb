"""Make the manual pages from docs/cli.md, which is made from the parsers.

A build of the wheel does it (hatch_build.py), so a user has them: ``man hostmanager-status``. To
look at them here: ``make man``, and ``man -l build/man/hostmanager-status.1``. Only the standard
library: a build has nothing else.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).with_name("cli.md")
MAIN = "hostmanager"
SUMMARY = "run the manager of a host of OCS, and control those of a site"

_COMMAND = re.compile(r"^### (\S+)\n\n([^\n]+)\.\n\n```text\n(.*?)\n```$", re.MULTILINE | re.DOTALL)
_OPTION = re.compile(r"^  ([-[]\S.*?)(?:\s{2,}(.*)|)$")
_CONTINUED = " " * 24


def make_pages(markdown: str, version: str) -> dict[str, str]:
    """Make all pages, by the name of the file.

    Args:
        markdown: docs/cli.md.
        version: The version of the package.
    """
    commands = [
        (f"{MAIN}-{name}", summary, text) for name, summary, text in _COMMAND.findall(markdown)
    ]
    pages = {MAIN: "\n".join(_main_page(markdown, commands))}
    for name, summary, text in commands:
        pages[name] = "\n".join(_page(name, summary[0].lower() + summary[1:], text))
    title = f'1 "" "hostmanager {version}" "OCS HostManager"'
    return {f"{n}.1": f".TH {n.upper()} {title}\n{text}\n" for n, text in pages.items()}


def _main_page(markdown: str, commands: list[tuple[str, str, str]]) -> Iterator[str]:
    introduction = re.sub(r"[`*]", "", markdown.split("\n\n")[2])
    yield from _page(MAIN, SUMMARY, f"hostmanager COMMAND ...\n\n{introduction}")
    yield ".SH COMMANDS"
    for name, summary, _ in commands:
        yield from (".TP", f"\\fB{_escape(name)}\\fR(1)", _escape(f"{summary}."))


def _page(name: str, summary: str, text: str) -> Iterator[str]:
    yield from (".SH NAME", f"{name} \\- {_escape(summary)}", ".SH SYNOPSIS")
    synopsis, _, rest = text.partition("\n")
    yield from (".nf", f"\\fB{_escape(synopsis)}\\fR", ".fi", ".SH DESCRIPTION")
    is_filled = True  # the description; in sections, what is no option stays as it is typed
    was_blank = True
    for line in rest.strip("\n").splitlines():
        option = _OPTION.match(line)
        if was_blank and line.endswith(":") and not line.startswith(" "):
            is_filled = False
            yield f".SH {_escape(line[:-1].upper())}"
        elif option:
            yield from (".TP", f"\\fB{_escape(option[1])}\\fR")
            yield from [_escape(option[2])] if option[2] else []
        elif not line:
            yield ".PP"
        elif is_filled or line.startswith(_CONTINUED):
            yield f"\\&{_escape(line.strip())}"
        else:
            yield from (".nf", f"\\&{_escape(line)}", ".fi")
        was_blank = not line


def _escape(text: str) -> str:
    return text.replace("\\", "\\e").replace("-", "\\-")


def write_pages(directory: Path, version: str) -> list[Path]:
    """Write all pages into a directory: their files."""
    directory.mkdir(parents=True, exist_ok=True)
    pages = make_pages(SOURCE.read_text(encoding="utf-8"), version)
    for name, text in pages.items():
        (directory / name).write_text(text, encoding="utf-8")
    return [directory / name for name in pages]


if __name__ == "__main__":
    written = write_pages(Path(sys.argv[1]), sys.argv[2])
    print(f"{sys.argv[1]}: {len(written)} pages", file=sys.stderr)
