"""The table for people and the JSON for machines."""

import json
import os
import platform
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from bench.model import OURS, REFERENCE, Figures, Goal, Measurement, Row

PER_AGENT = Row("resident_each", "memory of the manager, each further agent", Goal(20), unit="kB")
"""A row that follows from others: it is calculated, not measured."""

PACKAGES = ("ocs-hostmanager", "ocs", "crossbar", "autobahn", "Twisted", "uvloop")


def machine() -> dict[str, Any]:
    """Where this was measured."""
    return {
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load_before": os.getloadavg()[0],
        "packages": {name: _version(name) for name in PACKAGES},
    }


def memory_per_agent(table: dict[str, dict[str, Measurement]]) -> list[Row]:
    """Put in the memory for each agent from 10 to 100, if both were measured."""
    few, many = table.get("resident_10", {}), table.get("resident_100", {})
    for kind in few.keys() & many.keys():
        if few[kind].samples and many[kind].samples:
            each = (many[kind].median - few[kind].median) * 1000 / 90
            table.setdefault(PER_AGENT.key, {})[kind] = Measurement((each,))
    return [PER_AGENT] if PER_AGENT.key in table else []


def show(
    console: Console, rows: Iterable[Row], table: dict[str, Figures], about: dict[str, Any]
) -> None:
    """Print the table, then every problem in full, then the machine."""
    shown = Table(title="HostManager: ours beside the reference", title_justify="left")
    for name in ("what", "reference", "ours", "ratio", "goal", "reached"):
        justify = "left" if name in ("what", "reached") else "right"
        shown.add_column(name, justify=justify, overflow="fold")
    problems: list[str] = []
    for row in rows:
        figures = table.get(row.key, {})
        shown.add_row(
            row.what,
            _cell(row, figures.get(REFERENCE)),
            _cell(row, figures.get(OURS)),
            _ratio(figures),
            _goal(row),
            _verdict(row.goal, figures, table),
        )
        for kind, figure in figures.items():
            if figure.problem:
                problems.append(f"{row.key}, {kind}: {figure.problem}")
    console.print(shown)
    console.print("Medians, [dim]p99[/] (the worst, with fewer than 100 samples), n = samples.")
    for problem in dict.fromkeys(problems):
        console.print(f"- {problem}", markup=False)
    versions = ", ".join(f"{name} {version}" for name, version in about["packages"].items())
    console.print(
        f"{about['cores']} cores, {about['memory_gb']} GB, Linux {about['kernel']}, "
        f"Python {about['python']}, load {about['load_before']:.2f} before; {versions}",
        highlight=False,
    )


def write_json(
    path: Path, rows: Iterable[Row], table: dict[str, Figures], about: dict[str, Any]
) -> None:
    """Write everything that was measured, each sample."""
    content = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": about,
        "rows": [_as_data(row, table) for row in rows],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n")


def _as_data(row: Row, table: dict[str, Figures]) -> dict[str, Any]:
    figures = table.get(row.key, {})
    measured: dict[str, Any] = {}
    for kind, figure in figures.items():
        summary = {"median": figure.median, "p99": figure.p99} if figure.samples else {}
        measured[kind] = {**summary, **asdict(figure)}
    reached = row.goal.reached(figures, table) if row.goal != Goal() else None
    return {
        "key": row.key,
        "what": row.what,
        "unit": row.unit,
        "goal": asdict(row.goal),
        "reached": reached,
        **measured,
    }


def _cell(row: Row, figure: Measurement | None) -> str:
    if figure is None:
        return "–"
    if not figure.samples:
        return "[dim]unknown[/]" if figure.unknown else "[red]failed[/]"
    text = amount(figure.median, row.unit)
    if row.show_p99:
        text += f" [dim]p99 {amount(figure.p99, row.unit)}[/]"
    text += f" [dim]n={len(figure.samples)}[/]"
    return text + (" [red]then failed[/]" if figure.problem and not figure.unknown else "")


def amount(value: float, unit: str) -> str:
    """Write a figure with its unit, three digits."""
    if unit == "s" and value < 1:
        return f"{value * 1000:.3g} ms"
    if unit == "s":
        return f"{value:.2f} s"
    return f"{value:.3g} {unit}" if abs(value) < 1000 else f"{value:.0f} {unit}"


def _ratio(figures: Figures) -> str:
    ours, reference = figures.get(OURS), figures.get(REFERENCE)
    if not (ours and ours.samples and reference and reference.samples):
        return "–"
    if not (ours.median and reference.median):
        return "–"
    return f"{reference.median / ours.median:.3g} ×"


def _goal(row: Row) -> str:
    goal, parts = row.goal, []
    if goal.median is not None:
        parts.append(f"≤ {amount(goal.median, row.unit)}")
    if goal.p99 is not None:
        parts.append(f"p99 ≤ {amount(goal.p99, row.unit)}")
    if goal.of_reference is not None:
        parts.append(f"≤ {goal.of_reference:.2f} of reference")
    if goal.times_row:
        parts.append(f"≤ {goal.times:g} × with 10")
    return ", ".join(parts) or "–"


def _verdict(goal: Goal, figures: Figures, table: dict[str, Figures]) -> str:
    if goal == Goal():
        return ""
    words = {True: "[green]yes[/]", False: "[red]NO[/]", None: "[dim]unknown[/]"}
    return words[goal.reached(figures, table)]


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"
