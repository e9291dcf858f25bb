"""Draw the dashboards from what real Prometheus and InfluxDB answer; into dashboard-*.svg.

Run it with ``python docs/make_panels.py`` where Prometheus, Alertmanager and InfluxDB are installed:
the site of tests/integration/monitoring is started, and an agent of it breaks. Grafana draws finer;
place, title, queries and codes are those of the dashboards in the package.
"""

import json
import math
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.integration.monitoring import scenario

from hostmanager.integrations import INTEGRATIONS

COLUMN, ROW, GAP = 50, 26, 4  # pixels of Grafana's grid
PALETTE = ("#3274d9", "#e0752d", "#2ca02c", "#a352cc", "#c4162a", "#8f8f8f", "#b8860b", "#17a2b8")
COLORS = {"green": "#4caf50", "text": "#c8c8c8", "blue": "#6ea6ff", "orange": "#ff9830"}
COLORS |= {"red": "#e02f44", "purple": "#a352cc"}
PLAIN_MAPPINGS = {"0": {"text": "no", "color": "red"}, "1": {"text": "yes", "color": "green"}}

Series = dict[str, list[tuple[float, float]]]
"""Times and values by legend."""


def legend(template: str, labels: dict[str, str], column: str = "") -> str:
    """Fill in a legend as Grafana does."""
    for name, value in labels.items():
        template = template.replace(f"{{{{{name}}}}}", value).replace(f"$tag_{name}", value)
    return template.replace("$col", column)


def from_prometheus(world: Any, target: dict[str, Any], begin: float) -> Series:
    """The answer to a query of the dashboard for Prometheus."""
    found = scenario.ask_range(world, target["expr"], begin, time.time())
    return {
        legend(target["legendFormat"], series["metric"]): [
            (at, float(v)) for at, v in series["values"] if math.isfinite(float(v))
        ]
        for series in found
    }


def from_influxdb(world: Any, target: dict[str, Any], begin: float) -> Series:
    """The answer to a query of the dashboard for InfluxDB."""
    answer: Series = {}
    for series in scenario.select_range(world, target["query"], begin):
        for number, column in enumerate(series["columns"][1:], start=1):
            name = legend(target["alias"], series.get("tags", {}), column)
            rows = [(_seconds(row[0]), row[number]) for row in series["values"]]
            answer[name] = [(at, float(v)) for at, v in rows if v is not None]
    return answer


def _seconds(text: str) -> float:
    from datetime import datetime  # noqa: PLC0415

    return datetime.fromisoformat(text[:19] + "+00:00").timestamp()


def draw(board: dict[str, Any], ask: Callable[[dict[str, Any]], Series], begin: float) -> str:
    """Draw a dashboard."""
    end = time.time()
    height = max(p["gridPos"]["y"] + p["gridPos"]["h"] for p in board["panels"])
    root = ET.Element(
        "svg",
        {"xmlns": "http://www.w3.org/2000/svg", "font-family": "sans-serif", "font-size": "10"},
        viewBox=f"0 0 {24 * COLUMN} {height * ROW}",
    )
    for panel in board["panels"]:
        place = panel["gridPos"]
        at = f"translate({place['x'] * COLUMN + GAP},{place['y'] * ROW + GAP})"
        group = ET.SubElement(root, "g", transform=at)
        width, high = place["w"] * COLUMN - 2 * GAP, place["h"] * ROW - 2 * GAP
        if panel["type"] == "row":
            text(group, 0, 14, panel["title"].replace("$host", "").replace("$agent", ""), bold=True)
            continue
        rect(group, (0, 0, width, high), "white", stroke="#d0d0d0")
        text(group, 6, 14, panel["title"], bold=True)
        series: Series = {}
        for target in panel["targets"]:
            series |= ask(target)
        mappings = panel["fieldConfig"]["defaults"]["mappings"]
        words = mappings[0]["options"] if mappings else PLAIN_MAPPINGS
        draw_series(group, panel["type"], series, (width, high, begin, end), words)
    return ET.tostring(root, encoding="unicode") + "\n"


def draw_series(group: Any, kind: str, series: Series, area: Any, words: dict[str, Any]) -> None:
    """Draw what is in a panel."""
    width, high, begin, end = area
    if kind == "stat":
        values = [points[-1][1] for points in series.values() if points]
        text(group, width / 2 - 10, high / 2 + 20, f"{sum(values):g}", size=28)
        return
    names = sorted(series)
    if kind == "state-timeline":
        step = (high - 40) / max(1, len(names))
        for number, name in enumerate(names):
            top = 24 + number * step
            text(group, 6, top + step / 2 + 4, name)
            for left, right, value in bands(series[name], end):
                x, right_x = (
                    130 + (t - begin) / (end - begin) * (width - 140) for t in (left, right)
                )
                word = words.get(f"{value:g}", {"text": f"{value:g}", "color": "red"})
                color = COLORS.get(word["color"], "#e02f44")
                rect(group, (x, top + 2, max(1, right_x - x), step - 4), color)
                if right_x - x > 6 * len(word["text"]):
                    text(group, x + 3, top + step / 2 + 4, word["text"])
        return
    points = [value for name in names for _, value in series[name]]
    top_value = max([*points, 1e-9]) * 1.05
    bottom = high - 14 - 11 * math.ceil(len(names) / 3)
    for number, name in enumerate(names):
        line = " ".join(
            f"{40 + (at - begin) / (end - begin) * (width - 50):.1f},"
            f"{bottom - value / top_value * (bottom - 26):.1f}"
            for at, value in series[name]
        )
        color = PALETTE[number % len(PALETTE)]
        ET.SubElement(
            group, "polyline", {"stroke-width": "1.5"}, points=line, fill="none", stroke=color
        )
        text(
            group,
            8 + number % 3 * width / 3,
            bottom + 14 + number // 3 * 11,
            name[:28],
            color=color,
        )
    text(group, 4, 32, short(top_value))
    text(group, 4, bottom, "0")


def bands(points: list[tuple[float, float]], end: float) -> Iterator[tuple[float, float, float]]:
    """Times in which a value stays: begin, end, value."""
    for number, (at, value) in enumerate(points):
        if number and points[number - 1][1] == value:
            continue
        later = [t for t, v in points[number:] if v != value]
        yield at, later[0] if later else end, value


def short(value: float) -> str:
    """A number in few characters."""
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:.3g}{unit}"
    return f"{value:.2g}"


def rect(group: Any, area: tuple[float, ...], fill: str, stroke: str = "none") -> None:
    """A rectangle."""
    names = ("x", "y", "width", "height")
    place = {name: f"{value:.1f}" for name, value in zip(names, area, strict=True)}
    ET.SubElement(group, "rect", place, fill=fill, stroke=stroke)


def text(
    group: Any,
    x: float,
    y: float,
    words: str,
    *,
    bold: bool = False,
    size: int = 10,
    color: str = "#202020",
) -> None:
    """A text."""
    style = {"font-size": f"{size}", "font-weight": "bold" if bold else "normal"}
    ET.SubElement(group, "text", style, x=f"{x:.1f}", y=f"{y:.1f}", fill=color).text = words


def main() -> None:
    """Start the site, have an agent break, draw what is seen."""
    with scenario.watched(Path(tempfile.mkdtemp())) as world:
        begin = time.time()
        scenario.break_and_mend(world)
        time.sleep(5)  # a little more to see
        for name, ask in (("grafana", from_prometheus), ("influxdb", from_influxdb)):
            board = json.loads(INTEGRATIONS[name].read())
            path = Path(__file__).with_name(INTEGRATIONS[name].file).with_suffix(".svg")
            path.write_text(
                draw(board, lambda t, a=ask: a(world, t, begin), begin), encoding="utf-8"
            )
            print(f"{path} written", file=sys.stderr)


if __name__ == "__main__":
    main()
