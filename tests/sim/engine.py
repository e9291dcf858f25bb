"""What happens at the Docker Engine in a day: others use it, and at times it does not answer."""

from collections.abc import Callable
from dataclasses import replace
from random import Random

from hostmanager.core.model import InstanceSpec, Kind
from hostmanager.core.record import STOPPING_STATES
from tests.unit.core.fake_engine import MixedWorld, foreign, service
from tests.unit.core.fakes import OBEYS, Behaviour

OUTAGE = 60.0
"""Mean length of an outage, seconds."""


class EngineDay:
    """The engine's side of a day.

    Args:
        world: Where it happens.
        random: Decides.
        behaviour: Chooses what a container does.
    """

    def __init__(
        self, world: MixedWorld, random: Random, behaviour: Callable[[str], Behaviour]
    ) -> None:
        self.world = world
        self.engine = world.engine
        self.random = random
        self.behaviour = behaviour
        self.engine.choose = behaviour
        self.outages = 0

    def _services(self) -> list[str]:
        known = self.world.supervisor.specs()
        return [name for name, spec in known.items() if spec.kind is Kind.DOCKER]

    def others_start(self) -> None:
        """Somebody starts one, or something that is none of ours any more."""
        name = self.random.choice(self._services() or ["service0"])
        self.engine.others_start(name, self.behaviour(name))

    def others_end(self) -> None:
        """Somebody, or the kernel, ends one."""
        if self.engine.containers:
            name = self.random.choice(list(self.engine.containers))
            self.engine.others_end(name, removed=self.random.random() < 0.5)

    def change_restart_policy(self) -> None:
        """The engine restarts one by itself from now on, or does not."""
        self.engine.restarting ^= {self.random.choice(self._services() or ["service0"])}

    def outage(self) -> None:
        """It freezes; that may be noticed; it comes back."""
        self.outages += 1
        length = self.random.expovariate(1 / OUTAGE)
        self.engine.freeze()
        self.world.clock.call_later(self.random.uniform(0.0, 5.0), self._notice)
        self.world.clock.call_later(length, self.engine.come_back)

    def _notice(self) -> None:
        if not self.engine.connected:
            self.engine.disconnect()

    def unblock(self) -> None:
        """A container that could not be ended ends."""
        for name, record in list(self.world.snapshot.items()):
            if record.unkillable and record.state in STOPPING_STATES:
                self.engine.others_end(name)

    def calm_down(self) -> None:
        """From now on, the engine answers, and containers do as they are told."""
        self.engine.restarting.clear()
        self.engine.come_back()
        for name, container in list(self.engine.containers.items()):
            if container.behaviour is not OBEYS:
                self.engine.others_end(name)


def with_service(entry: InstanceSpec, obstacle: bool) -> InstanceSpec:
    """Say of a docker entry whether a compose file has its service."""
    like = (foreign if obstacle else service)(entry.instance_id)
    return replace(entry, service=like.service, inoperable_reason=like.inoperable_reason)
