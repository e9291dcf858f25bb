"""The tables of a simulated site, in Markdown, as docs/scale.md has them."""

from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any

Size = Mapping[str, Any]
Row = tuple[str, Callable[[Size], str]]


def ms(seconds: float) -> str:
    return f"{seconds * 1000:.3g} ms" if seconds < 1 else f"{seconds:.2f} s"


def percent(share: float) -> str:
    return f"{share:.2f} %" if share < 1 else f"{share:.0f} %"


def _middle(runs: Sequence[Mapping[str, Any]], key: str) -> float:
    return median(run[key] for run in runs)


def _runs(runs: Sequence[Mapping[str, Any]]) -> str:
    """Median, worst and number; with what failed."""
    times = [run["time"] for run in runs]
    failed = sum(run["code"] != 0 for run in runs)
    text = f"{ms(median(times))} (worst {ms(max(times))}, n {len(times)})"
    return text + (f", **{failed} failed**" if failed else "")


def _rate(size: Size, part: str, *keys: str) -> str:
    return f"{sum(size[part][key] for key in keys):.0f}"


def _loads(size: Size) -> str:
    return f"{size['load_before']:.1f}, {size['browsed']['load']:.1f}"


def _started(size: Size) -> str:
    return f"{size['start']['managers']} in {ms(size['start']['seconds'])}"


def _pair(size: Size, part: str, *keys: str) -> str:
    return ", ".join(ms(size[part][key]) for key in keys)


def _sizes(size: Size, *keys: str) -> str:
    return ", ".join(f"{size['memory_after'][key]:.0f} MB" for key in keys)


def _kb(*sizes: float) -> str:
    return ", ".join(f"{size / 1e3:.0f} kB" for size in sizes)


def _wamp(size: Size) -> str:
    """Heartbeats, and of each call: CALL, INVOCATION, YIELD, RESULT."""
    heartbeats, calls = size["listened"]["events_per_second"], size["browsed"]["calls_per_second"]
    return f"{heartbeats + 4 * calls:.0f}"


SEGMENTS = ("segments_from_managers", "segments_to_managers")

ROWS: tuple[Row, ...] = (
    ("agents", lambda s: str(s["agents"])),
    ("begun", lambda s: str(s["begun"])[11:]),
    ("load average before, while browsed", _loads),
    ("managers started, four at a time", _started),
    ("`status`", lambda s: _runs(s["status"])),
    ("… of that computing, by the command", lambda s: ms(_middle(s["status"], "cpu"))),
    ("`down --all --yes`", lambda s: _runs(s["down"])),
    ("`up --all`", lambda s: _runs(s["up"])),
    ("… of that computing, by the command", lambda s: ms(_middle(s["up"], "cpu"))),
    ("… router meanwhile, of a core", lambda s: percent(_middle(s["up"], "router_cpu"))),
    ("idle: router, of a core", lambda s: percent(s["idle"]["router_cpu"])),
    ("idle: each manager", lambda s: percent(s["idle"]["manager_cpu"])),
    ("idle: segments/s, managers ↔ router", lambda s: _rate(s, "idle", *SEGMENTS)),
    ("heartbeats/s that a subscriber gets", lambda s: _rate(s, "listened", "events_per_second")),
    ("browser: calls/s", lambda s: _rate(s, "browsed", "calls_per_second")),
    ("browser: WAMP messages/s at the router", _wamp),
    ("browser: one answer, median, p99", lambda s: _pair(s, "browsed", "wait_median", "wait_p99")),
    (
        "browser: a round of all, median, worst",
        lambda s: _pair(s, "browsed", "round_median", "round_worst"),
    ),
    ("browser: errors", lambda s: str(s["browsed"]["errors"])),
    ("browser: router, of a core", lambda s: percent(s["browsed"]["router_cpu"])),
    ("browser: each manager", lambda s: percent(s["browsed"]["manager_cpu"])),
    ("browser: segments/s, managers ↔ router", lambda s: _rate(s, "browsed", *SEGMENTS)),
    ("browser: from managers, kB/s", lambda s: f"{s['browsed']['bytes_from_managers'] / 1e3:.0f}"),
    ("heartbeats of all agents: sent/s", lambda s: _rate(s, "crowded", "publishes_per_second")),
    ("… router, of a core", lambda s: percent(s["crowded"]["router_cpu"])),
    ("… of these, the subscriber gets", lambda s: _rate(s, "crowded", "events_per_second")),
    ("… router: RSS", lambda s: f"{s['crowded']['router_rss']:.0f} MB"),
    ("router killed, answers again → all managers do", lambda s: ms(s["restarted"]["back"])),
    ("manager: RSS, PSS", lambda s: _sizes(s, "manager_rss", "manager_pss")),
    ("router: RSS", lambda s: _sizes(s, "router_rss")),
)


def _watched(sizes: Sequence[Size]) -> list[Row]:
    rows: list[Row] = []
    for key in sizes[0] if sizes else ():
        if key.startswith("watched_"):
            who = f"`{key.removeprefix('watched_').replace(' ×', '` ×')}"
            rows += [
                (f"{who}: router, of a core", lambda s, key=key: percent(s[key]["router_cpu"])),
                (f"{who}: each command", lambda s, key=key: percent(s[key]["command_cpu"])),
                (f"{who}: each manager", lambda s, key=key: percent(s[key]["manager_cpu"])),
                (f"{who}: looks/s at all managers", lambda s, key=key: _looks(s, key)),
            ]
    return rows


def _looks(size: Size, key: str) -> str:
    """Each look is one invocation to a manager; heartbeats go the other way."""
    return f"{size[key]['segments_to_managers'] - size['idle']['segments_to_managers']:.0f}"


RENDERING: tuple[tuple[str, Callable[[Size], str]], ...] = (
    ("the session data", lambda r: ms(r["render"])),
    ("the same within half a second", lambda r: ms(r["render_again"])),
    ("with what OCS does with it (`encoded`)", lambda r: ms(r["encoded"])),
    ("into JSON, msgpack", lambda r: f"{ms(r['json'])}, {ms(r['msgpack'])}"),
    ("bytes, JSON, msgpack", lambda r: _kb(r["json_bytes"], r["msgpack_bytes"])),
)


def print_tables(results: Mapping[str, Any]) -> None:
    """Print them."""
    sizes = results["sizes"]
    _print("hosts", [str(size["hosts"]) for size in sizes], [*ROWS, *_watched(sizes)], sizes)
    print()
    looks = results["rendering"]
    _print("one look, agents:", [str(look["agents"]) for look in looks], RENDERING, looks)


def _print(what: str, heads: Sequence[str], rows: Sequence[Row], columns: Sequence[Size]) -> None:
    print(f"| {what} | {' | '.join(heads)} |")
    print(f"| --- |{' --- |' * len(heads)}")
    for name, show in rows:
        print(f"| {name} | {' | '.join(show(column) for column in columns)} |")
