"""A site for the engine: findings that a test puts there, a clock that it turns by hand."""

from dataclasses import dataclass, field

from hostmanager.alerts.engine import AlertEngine, EngineState
from hostmanager.alerts.model import Finding, Notice, NoticeKind, SiteObservation, Subject
from hostmanager.alerts.rules import DEFAULT_FINDINGS, Receiver, Rule, Rules
from hostmanager.util.secret import Secret

STEP = 5.0

ONCALL = Receiver("oncall", (Secret("json://oncall"),), silences=True)
CHIEF = Receiver("chief", (Secret("json://chief"),))
RULES = Rules((Rule(findings=DEFAULT_FINDINGS, notify=("oncall", "chief")),), (ONCALL, CHIEF))


def finding(agent="fake1", host="daq1", kind="agent", reason="it exited with code 3", **more):
    return Finding(Subject(host, agent), kind, reason, **more)


@dataclass
class AlarmSite:
    """An engine; `told` has each notice with its receiver and time."""

    rules: Rules = RULES
    now: float = 1_000_000.0
    told: list[tuple[float, str, Notice]] = field(default_factory=list)
    engine: AlertEngine = field(init=False)

    def __post_init__(self) -> None:
        self.engine = AlertEngine(self.rules, EngineState(), self.tell)

    def tell(self, receiver: str, notice: Notice) -> None:
        self.told.append((self.now, receiver, notice))

    def run(self, seconds: float, *findings: Finding, **seen: object) -> list[Notice]:
        """Let time pass with these findings; returns what was told meanwhile."""
        before, end = len(self.told), self.now + seconds
        while self.now < end:
            self.now += STEP
            self.engine.step(SiteObservation(findings, **seen), self.now)
        return [notice for _, _, notice in self.told[before:]]

    def kinds(self, receiver: str | None = None) -> list[NoticeKind]:
        return [n.kind for _, name, n in self.told if receiver in (None, name)]
