"""Showing the results of a check: to people, editors, GitHub and programs."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hostmanager.cli.check.report import CheckReport, CheckResult
from hostmanager.client.text import sanitize
from hostmanager.util.text import pluralize

if TYPE_CHECKING:
    from hostmanager.cli.output import Output

_MAX_LINE = 160
"""Characters of a line of the file that are shown."""


def location_text(result: CheckResult) -> str:
    """Give ``site.yaml:12:7``, as editors understand it."""
    diagnostic = result.diagnostic
    parts = (display_path(diagnostic.file), diagnostic.line, diagnostic.column)
    return ":".join(str(part) for part in parts if part)


def display_path(file: str) -> str:
    """Give a file's path, relative to the current directory if it is below it."""
    cwd = str(Path.cwd()) + os.sep
    return file.removeprefix(cwd)


def message_text(result: CheckResult) -> str:
    """What is wrong and what would be right, in one line."""
    diagnostic = result.diagnostic
    text = " ".join(part for part in (diagnostic.message, diagnostic.hint) if part)
    return sanitize(" ".join(f"{_id_prefix(result)}{text}".split()))


def _id_prefix(result: CheckResult) -> str:
    return f"{result.diagnostic.instance_id}: " if result.diagnostic.instance_id else ""


def render_plain(report: CheckReport) -> None:
    """Print ``file:line:column: error: text``, one result a line."""
    for result in report.results:
        print(f"{location_text(result)}: {result.diagnostic.severity}: {message_text(result)}")


def render_github(report: CheckReport) -> None:
    """Print workflow commands, which GitHub shows at the lines."""
    for result in report.results:
        diagnostic = result.diagnostic
        fields = {
            "file": display_path(diagnostic.file),
            "line": diagnostic.line,
            "col": diagnostic.column,
        }
        fields["title"] = f"hostmanager check: {result.category}"
        given = ",".join(f"{key}={_property(str(v))}" for key, v in fields.items() if v is not None)
        print(f"::{diagnostic.severity} {given}::{_data(message_text(result))}")


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def report_as_json(report: CheckReport) -> dict[str, Any]:
    """Give the report for programs."""
    return {
        "file": report.file,
        "hosts": report.hosts,
        "agents": report.agents,
        "errors": report.errors,
        "warnings": report.warnings,
        "problems": [
            {
                "severity": str(result.diagnostic.severity),
                "about": str(result.category),
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


def render_terminal(report: CheckReport, output: "Output") -> None:
    """Show each result with the line that it is about."""
    from rich.text import Text  # noqa: PLC0415 - only where somebody looks at it

    lines = _lines({result.diagnostic.file for result in report.results if result.diagnostic.line})
    for result in report.results:
        diagnostic = result.diagnostic
        style = "bold red" if diagnostic.is_error else "bold yellow"
        head = Text.assemble(
            (f"{location_text(result)}: ", "bold"),
            (f"{diagnostic.severity}: ", style),
            sanitize(f"{_id_prefix(result)}{diagnostic.message}"),
        )
        output.line(head)
        file_lines = lines.get(diagnostic.file, ())
        if diagnostic.line and diagnostic.line <= len(file_lines):
            text = sanitize(file_lines[diagnostic.line - 1].rstrip().expandtabs(1))[:_MAX_LINE]
            output.line(Text(f"  {diagnostic.line:>5} | {text}", "dim"))
            if diagnostic.column and diagnostic.column <= len(text) + 1:
                output.line(Text(f"        | {' ' * (diagnostic.column - 1)}^", style))
        if diagnostic.hint:
            output.line(Text(f"        {sanitize(diagnostic.hint)}", "cyan"))


def _lines(files: set[str]) -> dict[str, Sequence[str]]:
    lines: dict[str, Sequence[str]] = {}
    for file in files:
        try:
            lines[file] = Path(file).read_text("utf-8-sig", "replace").split("\n")
        except OSError:
            continue
    return lines


def summary_line(report: CheckReport) -> str:
    """Give the totals in one line."""
    if report.unreadable:
        return f"{display_path(report.file)}: cannot be read."
    checked = f"{pluralize(report.hosts, 'host')}, {pluralize(report.agents, 'agent')}"
    counts = []
    if report.errors:
        counts.append(pluralize(report.errors, "error"))
    if report.warnings:
        counts.append(pluralize(report.warnings, "warning"))
    return f"{display_path(report.file)}: {checked}: {', '.join(counts) or 'nothing is wrong'}."
