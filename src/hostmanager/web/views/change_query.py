"""Which change an address or a form asks for: read, checked, written again. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from hostmanager.client.change.plan import Selection
from hostmanager.client.change.timeouts import TIMEOUTS
from hostmanager.client.managers.request_origin import reason_problem
from hostmanager.util.numbers import parse_number
from hostmanager.util.text import parse_time_span
from hostmanager.web.errors import PageError

ACTION_TEXTS = {
    "up": "Start",
    "down": "Stop",
    "restart": "Restart",
    "silence": "Silence",
    "unsilence": "End silence",
    "reload": "Reload the site config",
    "pull": "Pull images",
    "orphans": "Remove orphans",
    "ack": "Acknowledge",
}
"""What buttons say, by action."""

AGENT_ACTIONS = ("up", "down", "restart", "silence", "unsilence")
HOST_ACTIONS = ("reload", "pull", "orphans")

DEFAULT_SILENCE = "1h"

MAX_INCIDENT = 10**9


class Fields(Protocol):
    """A query or a form: names may be repeated."""

    def getall(self, key: str, default: list[Any], /) -> Any:
        """All values of a name."""


@dataclass(frozen=True, slots=True)
class ChangeQuery:
    """What somebody asks for.

    Attributes:
        action: What is to be done; empty: not chosen yet.
        agents: Exactly these: host and instance-id.
        ids: Exactly these, on whatever host.
        patterns: As on the command line.
        hosts: Only on these; may be patterns. Alone: all of their agents.
        classes: Only of these; may be patterns.
        whole: Whether all agents (of the hosts) are meant.
        selection: Which of the selected agents are changed.
        incidents: Numbers, to acknowledge.
        duration: How long a silence lasts, as it was typed.
        reason: Why, as it was typed.
        confirmed: Whether it was confirmed that agents may be stopped.
        shown: `PreparedChange.shown` of what was confirmed.
    """

    action: str = ""
    agents: Sequence[tuple[str, str]] = ()
    ids: Sequence[str] = ()
    patterns: Sequence[str] = ()
    hosts: Sequence[str] = ()
    classes: Sequence[str] = ()
    whole: bool = False
    selection: Selection = Selection.ALL
    incidents: Sequence[int] = ()
    duration: str = DEFAULT_SILENCE
    reason: str = ""
    confirmed: bool = field(default=False, compare=False)
    shown: str = field(default="", compare=False)

    @property
    def selects(self) -> bool:
        """Whether it says for which agents."""
        return bool(self.agents or self.ids or self.patterns or self.hosts or self.whole) or bool(
            self.classes or self.selection is not Selection.ALL
        )

    @property
    def is_complete(self) -> bool:
        """Whether it can be prepared."""
        return bool(self.action) and (self.selects or self.action not in AGENT_ACTIONS)

    def fields(self) -> list[tuple[str, str]]:
        """What names the change: for the address of its form, and hidden in it."""
        lists = {
            "agent": ["/".join(pair) for pair in self.agents],
            "id": self.ids,
            "pattern": self.patterns,
            "host": self.hosts,
            "class": self.classes,
            "incident": [str(number) for number in self.incidents],
        }
        fields = [("action", self.action)] if self.action else []
        fields += [(name, value) for name, values in lists.items() for value in values]
        fields += [("all", "yes")] if self.whole else []
        if self.selection is not Selection.ALL:
            fields.append(("selection", self.selection.value))
        return fields

    def typed(self) -> list[tuple[str, str]]:
        """What somebody typed besides."""
        typed = [("reason", self.reason)] if self.reason else []
        return typed + ([("duration", self.duration)] if self.action == "silence" else [])

    def problem(self) -> str:
        """What is wrong with what was typed; empty: nothing."""
        if self.reason and (problem := reason_problem(self.reason)):
            return f"The reason cannot be kept: {problem}."
        if self.action == "silence":
            try:
                parse_time_span(self.duration)
            except ValueError as error:
                return f"How long? {error}"
        return ""

    def options(self) -> dict[str, Any]:
        """The same as options of a command line, for `prepare_change`."""
        exact = [*self.agents, *((host, name) for host in self.hosts for name in self.ids)]
        names = [name for _, name in self.agents] + [*self.ids]
        named_hosts = list(dict.fromkeys(host for host, _ in self.agents)) or [*self.hosts]
        is_silence = self.action == "silence" and not self.problem()
        whole = not (names or self.patterns or self.classes) and self.selection is Selection.ALL
        return {
            "exact": frozenset(exact),
            "pattern": list(dict.fromkeys([*names, *self.patterns])),
            "host": named_hosts or None,
            "agent_class": [*self.classes] or None,
            "all": self.whole or (whole and bool(named_hosts)),
            "selection": self.selection,
            "incident": [*self.incidents],
            "duration": parse_time_span(self.duration) if is_silence else None,
            "reason": self.reason or None,
        }


def read_change(fields: Fields) -> ChangeQuery:
    """Read a query, or a form.

    Raises:
        PageError: It makes no sense.
    """

    def words(name: str) -> list[str]:
        return [text for value in fields.getall(name, []) if (text := str(value).strip())]

    def last(name: str, default: str = "") -> str:
        return next(reversed(words(name)), default)

    action = last("action")
    if action and action not in TIMEOUTS:
        raise PageError(f"There is no action {action!r:.60}; there are {', '.join(TIMEOUTS)}.")
    selection = last("selection", Selection.ALL.value)
    if selection not in set(Selection):
        raise PageError(f"There is no selection {selection!r:.60}.")
    return ChangeQuery(
        action,
        tuple(map(_agent, words("agent"))),
        tuple(words("id")),
        tuple(word for text in words("pattern") for word in text.replace(",", " ").split()),
        tuple(words("host")),
        tuple(word for text in words("class") for word in text.replace(",", " ").split()),
        bool(words("all")),
        Selection(selection),
        tuple(map(_incident, words("incident"))),
        last("duration", DEFAULT_SILENCE),
        last("reason"),
        bool(words("confirmed")),
        last("shown"),
    )


def _agent(text: str) -> tuple[str, str]:
    host, slash, instance_id = text.partition("/")  # ids may have slashes, too
    if not slash or not host or not instance_id:
        raise PageError(f"{text!r:.100} names no agent; write HOST/INSTANCE-ID.")
    return host, instance_id


def _incident(text: str) -> int:
    number = parse_number(text, MAX_INCIDENT)
    if number is None:
        raise PageError(f"{text!r:.60} is not the number of an incident.")
    return number
