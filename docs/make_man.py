"""Make manual pages from the parsers of the command and its subcommands.

Run it with ``make man``, and read one with ``man -l build/man/hostmanager-status.1``.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from argparse_manpage.manpage import Manpage

from hostmanager import __version__
from hostmanager.cli.commands.help import manager_parser
from hostmanager.cli.main import COMMANDS, command_parser, make_main_parser
from hostmanager.util.help_parser import HelpParser

SUMMARY = "run the manager of a host of OCS, and control those of a site"


def page(parser: HelpParser, name: str, summary: str) -> str:
    """Make one page; the sections of the help that stand as they are typed stay as they are."""
    epilog, parser.epilog = parser.epilog or "", None
    source = {"project_name": "hostmanager", "version": __version__, "description": summary}
    made = Manpage(parser, _data={**source, "manual_title": "OCS HostManager"})
    lines = str(made).splitlines()
    title = f'.TH {name.upper()} 1 "{made.date}" "hostmanager {__version__}" "OCS HostManager"'
    return "\n".join([title, *lines[1:], *_sections(epilog)]) + "\n"


def _sections(epilog: str) -> Iterator[str]:
    """Each part that begins with a line such as ``examples:`` is a section."""
    for line in epilog.splitlines():
        text = line.replace("\\", "\\e").replace("-", "\\-")
        if line and not line.startswith(" "):
            yield f".SH {text.rstrip(':').upper()}"
        else:
            yield from (".nf", f"\\&{text}", ".fi")


def pages() -> Iterator[tuple[str, str]]:
    """Each page with the name of its file."""
    yield "hostmanager.1", page(make_main_parser(), "hostmanager", SUMMARY)
    for name, (_, summary) in COMMANDS.items():
        parser = manager_parser() if name == "run" else command_parser(name)
        yield f"hostmanager-{name}.1", page(parser, f"hostmanager-{name}", summary)


if __name__ == "__main__":
    directory = Path(sys.argv[1])
    directory.mkdir(parents=True, exist_ok=True)
    for file_name, text in pages():
        (directory / file_name).write_text(text, encoding="utf-8")
    print(f"{directory}: {len(COMMANDS) + 1} pages", file=sys.stderr)
