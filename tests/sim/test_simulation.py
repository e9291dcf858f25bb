"""A whole day of failures in seconds."""

import time

from tests.sim.simulation import DAY, Day
from tests.support.seeds import chosen_seed


def test_after_a_day_of_failures_every_agent_is_as_it_is_wanted():
    began = time.monotonic()
    day = Day(chosen_seed(7)).live()
    took = time.monotonic() - began
    print(", ".join(f"{count} {what}" for what, count in sorted(day.counts.items())))
    print(f"{DAY:.0f} s in {took:.1f} s")

    engine = day.world.engine
    records = {n: r for n, r in day.world.snapshot.items() if n not in day.one_shots}
    shown = {name: record.state.value for name, record in records.items()}
    passive = {name: "up" if engine.alive(name) else "down" for name in day.passive}
    expected = {name: target.value for name, target in day.wanted.items()}
    assert shown == expected | passive
    services = {name for name, record in records.items() if record.spec.kind == "docker"}
    alive = (set(day.world.driver.processes) - set(day.one_shots)) | (
        set(engine.containers) & services - set(passive)
    )
    assert alive == {name for name, target in expected.items() if target == "up"}
    assert day.counts["failures"] > 2000
    assert day.counts["requests"] > 1000
    assert day.counts["reloads"] > 50
    assert day.engine_day.outages > 30
    assert sum(map(len, engine.launches.values())) > 500


def test_everything_can_be_ended_at_any_time_of_the_day():
    day = Day(chosen_seed(7), length=3600.0)
    day.quiet_from = float("inf")  # nothing calms down
    engine = day.world.engine
    for n in range(20):
        day.world.clock.advance(173.0)
        if n % 3 == 2:
            engine.disconnect()
        called = []
        day.world.supervisor.stop_all()
        day.world.supervisor.when_idle(lambda called=called: called.append(True))
        day.world.clock.advance(60.0)
        assert called == [True]
        alive = set(day.world.driver.processes) | day.world.driver.in_flight
        managed = {name for name in engine.containers if name not in day.passive}
        assert alive | managed <= set(day.world.snapshot.unkillable_ids)
        engine.come_back()
        for name in day.wanted:
            day.ask(name, day.world.snapshot[name].spec.initial_target)


def test_the_same_seed_gives_the_same_day():
    hour = 3600.0
    first, again, other = (Day(seed, length=hour).live() for seed in (7, 7, 8))
    assert first.story.digest() == again.story.digest()
    assert first.counts == again.counts
    assert first.story.digest() != other.story.digest()
