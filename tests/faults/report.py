"""What came of one or more campaigns: the table of faults, and figures."""

import statistics
from collections import Counter
from collections.abc import Sequence

from tests.faults.campaign import Campaign
from tests.faults.fault_registry import KINDS


def report(campaigns: Sequence[Campaign]) -> str:
    """The table: how many of each fault were injected and survived."""
    first = campaigns[0]
    injected = sum((c.injected for c in campaigns), Counter())
    survived = sum((c.survived for c in campaigns), Counter())
    width = max(map(len, KINDS))
    lines = [f"{'fault':{width}}  injected  survived"]
    for kind in KINDS.values():
        if first.only and kind.name not in first.only:
            continue
        why = kind.impossible(first.world)
        row = f"{injected[kind.name]:8}  {survived[kind.name]:8}"
        lines.append(f"{kind.name:{width}}  " + (f"skipped: {why}" if why else row))
    lines.append(f"{'total':{width}}  {injected.total():8}  {survived.total():8}")
    return "\n".join([*lines, "", *_figures(campaigns)])


def _figures(campaigns: Sequence[Campaign]) -> list[str]:
    worlds = [campaign.world for campaign in campaigns]
    seconds = max(c.begun + c.seconds for c in campaigns) - min(c.begun for c in campaigns)
    injected = sum(campaign.injected.total() for campaign in campaigns)
    lines = [
        f"{injected} faults, {sum(bool(c.problem) for c in campaigns)} violations",
        f"seed {campaigns[0].seed}, {seconds:.0f} s, {len(worlds)} site(s), "
        f"{sum(world.runs for world in worlds)} managers started, "
        f"{sum(world.process_observer.launched for world in worlds)} launches of agents seen",
    ]
    lines += _spread("rounds settled in", [s for c in campaigns for s in c.settling])
    adoptions = [adoption for world in worlds for adoption in world.adoptions]
    most = max((count for count, _ in adoptions), default=0)
    lines += _spread(f"manager started → up to {most} agents adopted", [s for _, s in adoptions])
    counted = [lines for world in worlds for lines in world.status_observer.lines.values()]
    lines.append(
        f"lines of output followed: {sum(c.read_lines for c in counted)}; given up, and said "
        f"(full disk) or nobody left to keep them: {sum(c.given_up for c in counted)}"
    )
    seen = sum((world.seen for world in worlds), Counter())
    lines += [f"{what}: {number}" for what, number in seen.items()]
    lines += [f"reached late: {what}"[:200] for world in worlds for what in world.slow[:10]]
    return lines


def _spread(what: str, values: list[float]) -> list[str]:
    if not values:
        return []
    middle, worst = statistics.median(values), max(values)
    return [f"{what}: median {middle:.2f} s, worst {worst:.2f} s, n = {len(values)}"]
