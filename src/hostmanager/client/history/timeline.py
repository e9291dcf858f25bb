"""What the agents of a host were at each moment, from the journal of its manager. Pure.

Bands tile a range of time. While the manager was not there, nobody watched: nothing is claimed of
that time. A manager that was killed is known to have been alive until its last sign of life. Before
its journal begins, nothing is known either. Times are those of the manager's clock.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from hostmanager.client.history.journal_event import JournalEvent, in_order
from hostmanager.client.history.timeline_model import (
    ABSENT,
    NOT_RUNNING,
    ROUTER_AWAY,
    RUNNING,
    UNKNOWN,
    Band,
    Lane,
    Mark,
    TimeSpan,
    clip,
    joined,
    judge_state,
)
from hostmanager.client.status.model import StatusSeverity
from hostmanager.util.grouping import group_pairs

START_TIME = 60.0
"""Seconds after a start of the manager in which it names all its agents in the journal."""

_STATE_KINDS = frozenset({"launch", "exit", "state"})


@dataclass(frozen=True, slots=True)
class CurrentState:
    """What a manager reports of an agent now, where its journal has nothing of it."""

    next_action: str
    target: str
    health: str | None = None


@dataclass(frozen=True, slots=True)
class HostEvents:
    """What is known of a host, as long as its journal reaches back.

    Attributes:
        events: In their order.
        begins: Unix time since which they are complete.
        now: Until when they are: when the manager answered last, by its clock.
        current: The present states by id.
        present: The time now by that clock, if the manager has not answered since; else None.
    """

    events: Sequence[JournalEvent]
    begins: float
    now: float
    current: Mapping[str, CurrentState] = field(default_factory=dict)
    present: float | None = None


def make_lanes(host: str, known: HostEvents, span: TimeSpan) -> list[Lane]:
    """The manager of a host, then each of its agents, by id."""
    events = in_order(known.events, known.now)
    begins = min(known.begins, known.now, *(event.time for event in events[:1]))
    builder = _HostBuilder(begins)
    for event in events:
        builder.add(event)
    tracks = builder.finish(known)
    marks = group_pairs(pair for pair in builder.marks if span.start <= pair[1].time <= span.end)
    lanes = []
    for name in sorted(tracks):
        bands = joined(clip(_bounded(tracks[name], begins, known, span), span))
        silences = clip(builder.silences.get(name, ()), span)
        if name in marks or any(band.state != ABSENT for band in bands) or not name:
            lanes.append(Lane(host, name, bands, marks.get(name, ()), silences))
    return lanes


def _bounded(
    bands: Sequence[Band], begins: float, known: HostEvents, span: TimeSpan
) -> Iterable[Band]:
    """Bands, and before the journal begins and after its manager fell silent that nothing is known."""
    if begins > span.start:
        text = "before the journal begins"
        yield Band(span.start, min(begins, known.now), UNKNOWN, StatusSeverity.UNKNOWN, text)
    yield from bands
    if known.present is not None:
        text = "its manager has not answered since"
        yield Band(known.now, known.present, UNKNOWN, StatusSeverity.UNKNOWN, text)


@dataclass(slots=True)
class _Track:
    """What is known of one agent at the moment that has been read."""

    state: str = UNKNOWN
    target: str | None = None
    health: str | None = None
    failing: bool = False
    begins: list[tuple[float, str, StatusSeverity, str]] = field(default_factory=list)

    def change(self, when: float, state: str, text: str, health: str | None = None) -> None:
        """From now on it is in this state, with `target` and `failing` as they were set before."""
        self.state, self.health = state, health
        word, severity = judge_state(state, self.target, health, failing=self.failing)
        self._begin(when, word, severity, text)

    def _begin(self, when: float, word: str, severity: StatusSeverity, text: str) -> None:
        begins = self.begins
        if begins and begins[-1][0] >= when:
            begins.pop()  # it lasted no time
        if not begins or begins[-1][1:3] != (word, severity):
            begins.append((when, word, severity, text))

    def bands(self, now: float) -> list[Band]:
        """All bands, up to this time, none of them empty."""
        ends = [*(begin[0] for begin in self.begins[1:]), now]
        return [
            Band(start, end, word, severity, text)
            for (start, word, severity, text), end in zip(self.begins, ends, strict=False)
            if end > start
        ]


class _HostBuilder:
    """Takes the events of a host in their order."""

    def __init__(self, begins: float) -> None:
        self.marks: list[tuple[str, Mark]] = []
        self.silences: dict[str, list[Band]] = {}
        self._begins = begins
        self._tracks: dict[str, _Track] = {}
        self._manager = _Track()
        self._manager.change(begins, RUNNING, "")
        self._started: float | None = None
        self._unnamed: set[str] = set()  # agents that the present manager has not named yet
        self._last = begins

    def add(self, event: JournalEvent) -> None:
        """Take one event."""
        fact = event.fact
        if event.instance_id is None:
            self._host_event(event)
        elif fact.kind in _STATE_KINDS:
            self._state_event(event.instance_id, event)
        elif fact.kind == "health":
            track = self._track(event.instance_id, event, "up", fact.before)
            if track.state == "up":
                track.change(event.time, "up", event.text, fact.after)
        if fact.operation == "silence" and fact.kind == "request":
            self._silence(event.instance_id or "", event)
        if kind := _mark_kind(event):
            self.marks.append((event.instance_id or "", Mark(event.time, kind, event.text)))
        self._last = max(self._last, event.time)

    def finish(self, known: HostEvents) -> dict[str, list[Band]]:
        """The bands of each agent, and of the manager under an empty id."""
        for name in list(self._unnamed):
            self._forget(name)
        for name, state in known.current.items():
            if name not in self._tracks:
                track = self._tracks[name] = _Track(target=state.target)
                track.change(self._begins, _of_action(state.next_action), "", state.health)
        tracks = {"": self._manager, **self._tracks}
        return {name: track.bands(known.now) for name, track in tracks.items()}

    def _state_event(self, name: str, event: JournalEvent) -> None:
        fact = event.fact
        track = self._track(name, event, fact.before, None)
        if fact.after is None:  # removed
            track.change(event.time, ABSENT, event.text)
            return
        if fact.kind == "exit":
            track.failing = not fact.expected
        if fact.after == "up":
            track.failing = False
        track.target = fact.target
        # A change of the target alone says nothing of its health.
        health = track.health if fact.kind == "state" and track.state == fact.after else None
        track.change(event.time, fact.after, event.text, health)

    def _track(
        self, name: str, event: JournalEvent, before: str | None, health: str | None
    ) -> _Track:
        """Get what is known of an agent just before an event."""
        track = self._tracks.get(name)
        if track is None:
            return self._new_track(name, event, before, health)
        if name in self._unnamed:
            if self._started is not None and event.time - self._started > START_TIME:
                self._forget(name)
            self._unnamed.discard(name)
        return track

    def _new_track(
        self, name: str, event: JournalEvent, before: str | None, health: str | None
    ) -> _Track:
        track = self._tracks[name] = _Track(target=event.fact.target)
        if before is not None:
            track.change(self._begins, before, "", health)
            return track
        # Its manager names it for the first time; what was before its start, nobody knows.
        known_since = self._begins if self._started is None else self._started
        is_named_late = self._started is None or event.time - known_since > START_TIME
        track.change(self._begins, UNKNOWN, "")
        if is_named_late:
            track.change(known_since, ABSENT, "")
        return track

    def _forget(self, name: str) -> None:
        """The present manager does not know it."""
        self._unnamed.discard(name)
        if self._started is not None:
            self._tracks[name].change(self._started, ABSENT, "")

    def _host_event(self, event: JournalEvent) -> None:
        fact = event.fact
        match fact.kind, fact.event:
            case "manager", "started":
                self._lost(self._last, "the end of the manager was not recorded")
                self._started = event.time
                self._unnamed = {n for n, track in self._tracks.items() if track.state == UNKNOWN}
                self._manager.change(event.time, RUNNING, event.text)
            case "manager", "ended":
                self._lost(event.time, event.text)
            case "manager", "vanished":
                alive_until = min(event.time, fact.alive_until or 0.0)
                self._lost(max(self._last, alive_until), event.text)
            case "router", "went" if self._manager.state == RUNNING:
                self._manager.change(event.time, ROUTER_AWAY, event.text)
            case "router", "came" if self._manager.state == ROUTER_AWAY:
                self._manager.change(event.time, RUNNING, event.text)

    def _lost(self, when: float, text: str) -> None:
        """Nobody watches from now on."""
        if self._manager.state == NOT_RUNNING:
            return
        self._manager.change(when, NOT_RUNNING, text)
        for track in self._tracks.values():
            if track.state != ABSENT:
                track.failing = False
                track.change(when, UNKNOWN, "the manager did not run")

    def _silence(self, name: str, event: JournalEvent) -> None:
        silences = self.silences.setdefault(name, [])
        if silences and silences[-1].end > event.time:
            silences[-1] = silences[-1]._replace(end=event.time)
        seconds = event.fact.seconds
        if seconds is not None and seconds > 0:
            silences.append(
                Band(event.time, event.time + seconds, "silenced", StatusSeverity.INFO, event.text)
            )


def _mark_kind(event: JournalEvent) -> str:
    """The kind of the mark for an event; empty: none."""
    fact = event.fact
    match fact.kind:
        case "exit":
            return "" if fact.expected else "crash"
        case "launch":
            return "start" if fact.launched else ""
        case "result":
            return "failure" if fact.ok is False else ""
        case "request" | "reload" | "manager" | "router" | "journal" as kind:
            return kind
    return ""


def _of_action(next_action: str) -> str:
    """The state of the journal that clients get as this."""
    actions = {"start": "starting", "wait_start": "starting", "wait_dead": "stopping"}
    return {**actions, "start_at": "waiting", "?": "unseen"}.get(next_action, next_action)
