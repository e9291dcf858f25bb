"""Changes of the site as messages for browsers: each is made once, however many look.

A message says what has changed since the version that a browser has, so one that was away, or is
slow, gets what it missed in one piece.
"""

import asyncio
import json
import math
import secrets
import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from typing import Any

from hostmanager.client.status.problems import find_notes, find_problems
from hostmanager.client.watch.live_site import LiveSite
from hostmanager.web.views.site import AgentGroup, SiteQuery, groups_of

KEEPALIVE_INTERVAL = 5.0
"""Seconds after which a browser gets the ages of what it shows, if nothing happens."""

GATHER_INTERVAL = 0.2
"""Seconds between two messages to a browser: what changes in between is sent together."""

LISTED_PROBLEMS = 50
"""Problems that the page lists; the table has all."""

KEPT_MESSAGES = 8
"""Messages that are kept for browsers that need the same."""


@dataclass(slots=True)
class SiteFeed:
    """Makes the messages.

    Attributes:
        live: The site.
        templates: The macros of ``site_parts.html``.
        epoch: Makes versions of this server different from those of the one before it.
    """

    live: LiveSite
    templates: Any
    epoch: str = field(default_factory=lambda: secrets.token_hex(4))
    _parts: dict[bool, tuple[int, dict[str, str]]] = field(default_factory=dict)
    _messages: dict[tuple[int, int, bool], str] = field(default_factory=dict)

    @property
    def version(self) -> str:
        """The present version, for the page."""
        return f"{self.epoch}-{self.live.version}"

    async def messages(self, since: str, *, full: bool) -> AsyncGenerator[str, None]:
        """Yield messages of server-sent events, without an end.

        Args:
            since: The version that the browser has.
            full: Whether it shows the whole site, and takes parts of the page.
        """
        epoch, _, number = since.partition("-")
        if epoch != self.epoch or not number.isdecimal():
            yield _event("reload", self.version, {})
            number = str(self.live.version)
        version = int(number[:18])
        if version == self.live.version:
            # A browser that comes back knows at once that it is: it would try again before long.
            yield self._ages_event(version)
        while True:
            try:
                async with asyncio.timeout(KEEPALIVE_INTERVAL):
                    new, hosts = await self.live.changes(version)
            except TimeoutError:
                yield self._ages_event(version)
                continue
            yield self._message(version, new, hosts, full=full)
            version = new
            await asyncio.sleep(GATHER_INTERVAL)

    def _ages_event(self, version: int) -> str:
        return _event("ages", f"{self.epoch}-{version}", {"ages": self._ages()})

    def _message(self, since: int, version: int, hosts: set[str], *, full: bool) -> str:
        key = since, version, full
        if key not in self._messages:
            while len(self._messages) >= KEPT_MESSAGES:
                del self._messages[next(iter(self._messages))]
            self._messages[key] = self._make(since, version, hosts, full=full)
        return self._messages[key]

    def _make(self, since: int, version: int, hosts: set[str], *, full: bool) -> str:
        groups = groups_of(self.live.hosts(), SiteQuery()) if full else []
        parts = self._changed_parts(since, version, groups, full=full)
        for group in groups:
            if group.key in hosts:
                parts[str(self.templates.group_id(group))] = str(
                    self.templates.group_section(group)
                )
        data = {"hosts": sorted(hosts), "ages": self._ages(), "parts": parts}
        return _event("change", f"{self.epoch}-{version}", data)

    def _changed_parts(
        self, since: int, version: int, groups: Sequence[AgentGroup], *, full: bool
    ) -> dict[str, str]:
        """The parts that are not about one host, without those that are known to be the same."""
        made_for, before = self._parts.get(full, (-1, {}))
        parts = self._make_parts(groups, full=full)
        self._parts[full] = version, parts
        if made_for != since:  # what there was in between, nobody has kept
            return dict(parts)
        return {name: html for name, html in parts.items() if before.get(name) != html}

    def _make_parts(self, groups: Sequence[AgentGroup], *, full: bool) -> dict[str, str]:
        templates, hosts = self.templates, self.live.hosts()
        parts = {"router": templates.router_banner(self.live.router_error)}
        if full:
            parts |= {
                "summary": templates.summary(hosts),
                "problems": templates.problem_list(**site_context(self.live)),
                "hosts": templates.host_strip(hosts),
                "order": " ".join(str(templates.group_id(group)) for group in groups),
            }
        return {name: str(part) for name, part in parts.items()}

    def _ages(self) -> dict[str, float | None]:
        """Seconds; None: there was no answer yet."""
        return {
            host: round(age, 1) if math.isfinite(age := self.live.age(host)) else None
            for host in self.live.site.hosts
        }


def site_context(live: LiveSite) -> dict[str, Any]:
    """What is wrong, and what is worth a note."""
    hosts, now = live.hosts(), time.time()
    problems = list(find_problems(hosts, now))
    return {
        "problems": problems[:LISTED_PROBLEMS],
        "omitted": len(problems[LISTED_PROBLEMS:]),
        "notes": list(find_notes(agent for host in hosts for agent in host.agents)),
        "unmanaged": list(live.unmanaged()),
    }


def _event(name: str, version: str, data: dict[str, Any]) -> str:
    # `at` shows which messages were on their way for longer than others.
    message = {"version": version, "at": round(time.monotonic(), 2), **data}
    content = json.dumps(message, separators=(",", ":"))
    return f"event: {name}\nid: {version}\ndata: {content}\n\n"
