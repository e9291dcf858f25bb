"""The setting ``after`` of all entries of a host: ids that nobody has, and cycles."""

from collections.abc import Mapping

from hostmanager.siteconfig.diagnostics import Diagnostic, DiagnosticCollector
from hostmanager.siteconfig.entry import AgentEntry
from hostmanager.util.text import closest_match, quote_value


def check_start_order(
    host: str, entries: Mapping[str, AgentEntry], file: str
) -> tuple[Diagnostic, ...]:
    """Say what is wrong with the order of starts on a host; an instance starts without it then.

    Args:
        host: Its name.
        entries: Its entries by instance-id.
        file: The site config, as it is named in diagnostics.
    """
    collector = DiagnosticCollector(file)
    graph = {name: entry.settings.values.get("after", ()) for name, entry in entries.items()}
    if not any(graph.values()):
        return ()
    from hostmanager.core.start_order import find_cycle  # noqa: PLC0415 - it imports asyncio

    for name, others in graph.items():
        location = entries[name].settings.locations.get("after")
        for other in others:
            if other not in entries:
                message = f"the setting 'after' names {quote_value(other)}, which this host does not have."
                meant = closest_match(other, entries)
                hint = f"Did you mean {meant!r}? " if meant else ""
                hint += (
                    f"Name instances of host {quote_value(host)}; the others are not waited for."
                )
                collector.error(location, message, hint, name)
        if cycle := find_cycle(graph, name):
            text = " after ".join(cycle)
            hint = "Take one of them out; until then none of them waits for another."
            collector.error(location, f"'after' leads in a circle: {text}.", hint, name)
    return tuple(collector.diagnostics)
