"""Showing what a check has found: for people, for editors, for GitHub, for programs."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hostmanager.cli.check.report import CheckReport, CheckResult
from hostmanager.cli.text import sanitize
from hostmanager.util.text import pluralize

if TYPE_CHECKING:
    from hostmanager.cli.output import Output

_MAX_LINE = 160
"""Characters of a line of the file that are shown."""


def location_text(result: CheckResult) -> str:
    """Give ``site.yaml:12:7``, as editors understand it."""
    problem = result.diagnostic
    parts = (display_path(problem.file), problem.line, problem.column)
    return ":".join(str(part) for part in parts if part)


def display_path(file: str) -> str:
    """A file's name from where we are, if it is below."""
    cwd = str(Path.cwd()) + os.sep
    return file.removeprefix(cwd)


def message_text(result: CheckResult) -> str:
    """What is wrong and what would be right, in one line."""
    problem = result.diagnostic
    text = " ".join(part for part in (problem.message, problem.hint) if part)
    return sanitize(" ".join(f"{_id_prefix(result)}{text}".split()))


def _id_prefix(result: CheckResult) -> str:
    return f"{result.diagnostic.instance_id}: " if result.diagnostic.instance_id else ""


def render_plain(report: CheckReport) -> None:
    """Print ``file:line:column: error: text``, a problem a line."""
    for result in report.results:
        print(f"{location_text(result)}: {result.diagnostic.severity}: {message_text(result)}")


def render_github(report: CheckReport) -> None:
    """Print workflow commands, which GitHub shows at the lines."""
    for result in report.results:
        problem = result.diagnostic
        fields = {"file": display_path(problem.file), "line": problem.line, "col": problem.column}
        fields["title"] = f"hostmanager check: {result.about}"
        given = ",".join(f"{key}={_property(str(v))}" for key, v in fields.items() if v is not None)
        print(f"::{problem.severity} {given}::{_data(message_text(result))}")


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def report_as_json(report: CheckReport) -> dict[str, Any]:
    """Give the same for programs."""
    return {
        "file": report.file,
        "hosts": report.hosts,
        "agents": report.agents,
        "errors": report.errors,
        "warnings": report.warnings,
        "problems": [
            {
                "severity": str(result.diagnostic.severity),
                "about": str(result.about),
                "host": result.host,
                "instance_id": result.diagnostic.instance_id,
                "file": result.diagnostic.file,
                "line": result.diagnostic.line,
                "column": result.diagnostic.column,
                "message": result.diagnostic.message,
                "remedy": result.diagnostic.hint,
            }
            for result in report.results
        ],
        "unchecked": report.skipped,
        "seen": report.confirmed,
        "readable": not report.unreadable,
        "router_answers": not report.router_unreachable,
    }


def render_terminal(report: CheckReport, screen: "Output") -> None:
    """Show each with the line that it is about."""
    from rich.text import Text  # noqa: PLC0415 - only where somebody looks at it

    lines = _lines({result.diagnostic.file for result in report.results if result.diagnostic.line})
    for result in report.results:
        problem = result.diagnostic
        style = "bold red" if problem.is_error else "bold yellow"
        head = Text.assemble(
            (f"{location_text(result)}: ", "bold"),
            (f"{problem.severity}: ", style),
            sanitize(f"{_id_prefix(result)}{problem.message}"),
        )
        screen.line(head)
        site = lines.get(problem.file, ())
        if problem.line and problem.line <= len(site):
            text = sanitize(site[problem.line - 1].rstrip().expandtabs(1))[:_MAX_LINE]
            screen.line(Text(f"  {problem.line:>5} | {text}", "dim"))
            if problem.column and problem.column <= len(text) + 1:
                screen.line(Text(f"        | {' ' * (problem.column - 1)}^", style))
        if problem.hint:
            screen.line(Text(f"        {sanitize(problem.hint)}", "cyan"))


def _lines(files: set[str]) -> dict[str, Sequence[str]]:
    result: dict[str, Sequence[str]] = {}
    for file in files:
        try:
            result[file] = Path(file).read_text("utf-8-sig", "replace").split("\n")
        except OSError:
            continue
    return result


def summary_line(report: CheckReport) -> str:
    """Sum it up in a line."""
    if report.unreadable:
        return f"{display_path(report.file)}: it cannot be read."
    what = f"{pluralize(report.hosts, 'host')}, {pluralize(report.agents, 'agent')}"
    parts = []
    if report.errors:
        parts.append(pluralize(report.errors, "error"))
    if report.warnings:
        parts.append(pluralize(report.warnings, "warning"))
    return f"{display_path(report.file)}: {what}: {', '.join(parts) or 'nothing is wrong'}."
