"""What there was before the manager: agents that run, targets and restarts that were requested.

A start after a crash only repeats the command line, so what operators requested counts more.
"""

from collections.abc import Mapping, Set
from dataclasses import dataclass, field

from hostmanager.agent.targets.store import TargetStore
from hostmanager.core.model import InstanceSpec, Kind, ObservedRun, Target
from hostmanager.core.protocols import Driver
from hostmanager.core.record import ANY_RUN


@dataclass(frozen=True, slots=True)
class StartupState:
    """What there was before the program was started.

    Attributes:
        discovered: What an earlier manager launched and is still alive.
        saved_targets: The targets that operators had set, by instance-id.
        initial_state: The target that the command line forces on all.
        restarts: The runs that operators wanted restarted and that may still be alive.
        once: The instances whose target was requested once, since they were left alone.
    """

    discovered: Mapping[str, ObservedRun] = field(default_factory=dict)
    saved_targets: Mapping[str, Target] = field(default_factory=dict)
    initial_state: str | None = None
    restarts: Mapping[str, str] = field(default_factory=dict)
    once: Set[str] = frozenset()

    def target(self, spec: InstanceSpec) -> Target | None:
        """The target of an instance; None: what its entry names.

        An operator's request counts more than a command line that is always the same. What was
        requested before it was left alone, or while it was, does not count any more.
        """
        is_valid = (spec.instance_id in self.once) is spec.is_passive
        saved = self.saved_targets.get(spec.instance_id) if is_valid else None
        if saved is not None or spec.is_passive or self.initial_state is None:
            return saved
        return Target(self.initial_state)

    def restart_of(self, spec: InstanceSpec) -> str | None:
        """The run of an instance that is to be restarted, unless it is known to be gone."""
        run_id = self.restarts.get(spec.instance_id)
        if spec.kind is Kind.DOCKER or run_id is None:
            return run_id  # the engine will report what runs
        observed = self.discovered.get(spec.instance_id)
        return run_id if observed is not None and run_id in (observed.run_id, ANY_RUN) else None


def load_startup_state(
    driver: Driver, target_store: TargetStore, initial_state: str | None
) -> StartupState:
    """Discover agents that run, and read the saved targets and restarts. Blocks."""
    saved_targets = target_store.load(forced=initial_state is not None)
    restarts = dict(target_store.restarts)
    once = frozenset(target_store.once)
    return StartupState(driver.discover(), saved_targets, initial_state, restarts, once)
