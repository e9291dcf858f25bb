"""The setting ``after`` in the whole site: what cannot be waited for, and cycles.

A manager knows its own instances. Of those of other hosts it hears the heartbeats, no more: whether
a one-shot there is done, and whether a program without heartbeats runs, only their manager knows.
"""

from collections.abc import Iterator, Mapping

from hostmanager.core.model import InstanceSettings, InstanceSpec, RemoteInstance, Target
from hostmanager.siteconfig.diagnostics import Diagnostic, DiagnosticCollector
from hostmanager.siteconfig.entry import AgentEntry
from hostmanager.siteconfig.given_settings import GivenSettings
from hostmanager.util.text import closest_match, quote_value

Entries = Mapping[str, AgentEntry]
"""The entries of a host, by instance-id."""


class SiteOrder:
    """The order of starts in a site.

    Args:
        hosts: The entries of each host, and the settings that its manager gives to all of them.
        file: The site config, as it is named in diagnostics.
    """

    def __init__(self, hosts: Mapping[str, tuple[Entries, GivenSettings]], file: str) -> None:
        self._hosts, self._file = hosts, file
        self._host_of: dict[str, str] = {}
        for host, (entries, _) in hosts.items():
            for name in entries:
                self._host_of.setdefault(name, host)

    def check(self, host: str) -> tuple[Diagnostic, ...]:
        """Say what is wrong with the order on a host; an instance starts without that part of it."""
        entries, _ = self._hosts[host]
        collector = DiagnosticCollector(self._file)
        if not any(_after(entry) for entry in entries.values()):
            return ()
        from hostmanager.core.start_order import find_cycle  # noqa: PLC0415 - it imports asyncio

        graph = self._graph(host)
        for name, entry in entries.items():
            location = entry.settings.locations.get("after")
            for message, hint in self._problems(host, entry):
                collector.error(location, f"the setting 'after' names {message}", hint, name)
            if cycle := find_cycle(graph, name):
                text = " after ".join(self._named(host, each) for each in cycle)
                hint = "Take one of them out; until then none of them waits for another."
                collector.error(location, f"'after' forms a circle: {text}.", hint, name)
        return tuple(collector.diagnostics)

    def remote(self, host: str) -> dict[str, RemoteInstance]:
        """The instances of the other hosts, if the order of this host names one of them."""
        entries, _ = self._hosts[host]
        if all(other in entries for entry in entries.values() for other in _after(entry)):
            return {}
        found = {}
        for name, other_host in self._host_of.items():
            entry, settings = self._hosts[other_host][0][name], self._settings(name)
            if name not in entries and entry.managed_as is not None:
                spec = InstanceSpec(name, "", initial_target=entry.managed_as[1], settings=settings)
                started = spec.default_target is Target.UP
                is_awaited = started and not self._unknowable(name)
                found[name] = RemoteInstance(
                    other_host, settings.after, settings.ready_timeout, is_awaited
                )
        return found

    def _problems(self, host: str, entry: AgentEntry) -> Iterator[tuple[str, str]]:
        entries, _ = self._hosts[host]
        for other in _after(entry):
            if other not in self._host_of:
                meant = closest_match(other, entries) or closest_match(other, self._host_of)
                hint = f"Did you mean {meant!r}? " if meant else ""
                hint += "Name instances of this site; the others are not waited for."
                yield f"{quote_value(other)}, which no host of this site has.", hint
            elif other not in entries and (why := self._unknowable(other)):
                text = f"{quote_value(other)} of host {quote_value(self._host_of[other])}, {why}."
                hint = "Name an agent with heartbeats there; this one is not waited for."
                yield text, hint

    def _unknowable(self, name: str) -> str:
        """Why another host cannot know whether an instance is ready; empty: it can."""
        settings = self._settings(name)
        if settings.one_shot:
            return "a one-shot: only the manager of its host knows when it is done"
        if settings.heartbeat_timeout <= 0:
            return "which has no heartbeats: only the manager of its host knows whether it runs"
        return ""

    def _settings(self, name: str) -> InstanceSettings:
        entries, defaults = self._hosts[self._host_of[name]]
        entry = entries[name]
        if entry.managed_as is None:
            return entry.settings.settings()
        return entry.settings.with_defaults(defaults, entry.managed_as[0]).settings()

    def _graph(self, host: str) -> dict[str, tuple[str, ...]]:
        """After whom each is started; where two hosts have an id, that of this one counts."""
        return {
            name: _after(entry)
            for entries, _ in (*self._hosts.values(), self._hosts[host])
            for name, entry in entries.items()
        }

    def _named(self, host: str, name: str) -> str:
        entries, _ = self._hosts[host]
        return name if name in entries else f"{name} (host {self._host_of[name]})"


def _after(entry: AgentEntry) -> tuple[str, ...]:
    after: tuple[str, ...] = entry.settings.values.get("after", ())
    return after
