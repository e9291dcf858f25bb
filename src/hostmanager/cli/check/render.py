"""Showing what a check has found: for people, for editors, for GitHub, for programs."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hostmanager.cli.check.report import Found, Report
from hostmanager.cli.text import counted, harmless

if TYPE_CHECKING:
    from hostmanager.cli.output import Screen

_LONGEST = 160
"""Characters of a line of the file that are shown."""


def place_of(found: Found) -> str:
    """Give ``site.yaml:12:7``, as editors understand it."""
    problem = found.problem
    parts = (name_of(problem.file), problem.line, problem.column)
    return ":".join(str(part) for part in parts if part)


def name_of(file: str) -> str:
    """A file's name from where we are, if it is below."""
    cwd = str(Path.cwd()) + os.sep
    return file.removeprefix(cwd)


def text_of(found: Found) -> str:
    """What is wrong and what would be right, in one line."""
    problem = found.problem
    text = " ".join(part for part in (problem.message, problem.hint) if part)
    return harmless(" ".join(f"{_who(found)}{text}".split()))


def _who(found: Found) -> str:
    return f"{found.problem.instance_id}: " if found.problem.instance_id else ""


def plain(report: Report) -> None:
    """Print ``file:line:column: error: text``, a problem a line."""
    for found in report.found:
        print(f"{place_of(found)}: {found.problem.severity}: {text_of(found)}")


def github(report: Report) -> None:
    """Print workflow commands, which GitHub shows at the lines."""
    for found in report.found:
        problem = found.problem
        fields = {"file": name_of(problem.file), "line": problem.line, "col": problem.column}
        fields["title"] = f"hostmanager check: {found.about}"
        given = ",".join(f"{key}={_property(str(v))}" for key, v in fields.items() if v is not None)
        print(f"::{problem.severity} {given}::{_data(text_of(found))}")


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def as_json(report: Report) -> dict[str, Any]:
    """Give the same for programs."""
    return {
        "file": report.file,
        "hosts": report.hosts,
        "agents": report.agents,
        "errors": report.errors,
        "warnings": report.warnings,
        "problems": [
            {
                "severity": str(found.problem.severity),
                "about": str(found.about),
                "host": found.host,
                "instance_id": found.problem.instance_id,
                "file": found.problem.file,
                "line": found.problem.line,
                "column": found.problem.column,
                "message": found.problem.message,
                "remedy": found.problem.hint,
            }
            for found in report.found
        ],
        "unchecked": report.unchecked,
        "seen": report.seen,
        "readable": not report.unreadable,
        "router_answers": not report.no_router,
    }


def on_terminal(report: Report, screen: "Screen") -> None:
    """Show each with the line that it is about."""
    from rich.text import Text  # noqa: PLC0415 - only where somebody looks at it

    lines = _lines({found.problem.file for found in report.found if found.problem.line})
    for found in report.found:
        problem = found.problem
        style = "bold red" if problem.is_error else "bold yellow"
        head = Text.assemble(
            (f"{place_of(found)}: ", "bold"),
            (f"{problem.severity}: ", style),
            harmless(f"{_who(found)}{problem.message}"),
        )
        screen.line(head)
        whole = lines.get(problem.file, ())
        if problem.line and problem.line <= len(whole):
            text = harmless(whole[problem.line - 1].rstrip().expandtabs(1))[:_LONGEST]
            screen.line(Text(f"  {problem.line:>5} | {text}", "dim"))
            if problem.column and problem.column <= len(text) + 1:
                screen.line(Text(f"        | {' ' * (problem.column - 1)}^", style))
        if problem.hint:
            screen.line(Text(f"        {harmless(problem.hint)}", "cyan"))


def _lines(files: set[str]) -> dict[str, Sequence[str]]:
    found: dict[str, Sequence[str]] = {}
    for file in files:
        try:
            found[file] = Path(file).read_text("utf-8-sig", "replace").split("\n")
        except OSError:
            continue
    return found


def closing(report: Report) -> str:
    """Sum it up in a line."""
    if report.unreadable:
        return f"{name_of(report.file)}: it cannot be read."
    what = f"{counted(report.hosts, 'host')}, {counted(report.agents, 'agent')}"
    parts = []
    if report.errors:
        parts.append(counted(report.errors, "error"))
    if report.warnings:
        parts.append(counted(report.warnings, "warning"))
    return f"{name_of(report.file)}: {what}: {', '.join(parts) or 'nothing is wrong'}."
