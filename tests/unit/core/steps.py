"""What tests of services do again and again."""

from hostmanager.core.model import InstanceSpec, Target
from hostmanager.core.requests import Request
from tests.unit.core.fake_engine import MixedWorld
from tests.unit.core.fakes import Behaviour


def start(world: MixedWorld, *specs: InstanceSpec, behaviour: Behaviour | None = None) -> None:
    """Track instances, and let a second pass; the behaviour is that of their first launch."""
    for each in specs:
        if behaviour is not None:
            world.engine.plan[each.instance_id].append(behaviour)
        world.supervisor.add(each)
    world.clock.advance(1)


def ask(world: MixedWorld, *pairs: tuple[str, Target]) -> None:
    """Make requests, in this order."""
    world.supervisor.apply_requests([Request(name, target) for name, target in pairs])


def shown(world: MixedWorld, instance_id: str = "a") -> tuple[str, str]:
    """What a person sees: the state and the target."""
    record = world.record(instance_id)
    return record.state.value, record.target.value
