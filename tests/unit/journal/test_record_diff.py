"""Two lives of an instance compared: what there is to write down."""

from hostmanager.core.events import ExitStatus
from hostmanager.core.model import Target
from hostmanager.journal import Entry, EntryKind, entries_for_change, subscribe
from tests.unit.core.fakes import (
    CRASHES,
    IGNORES_SIGINT,
    LEAVES_SOME,
    NO_PROGRAM,
    UNKILLABLE,
    World,
    spec,
)


class Watched(World):
    """A world of fakes whose snapshot is followed."""

    def __init__(self) -> None:
        super().__init__()
        self.entries: list[Entry] = []
        subscribe(self.snapshot, self.entries.append, lambda: self.clock.wall)

    def up(self, **more: object) -> None:
        self.supervisor.add(spec(initial_target=Target.UP, **more))
        self.clock.advance(0)

    def story(self) -> list[tuple[str, str]]:
        return [(entry.kind.value, entry.text) for entry in self.entries]


def test_a_life_from_its_tracking_to_its_end():
    world = Watched()
    world.up()
    world.clock.advance(5)
    world.supervisor.stop_all()
    world.clock.advance(5)
    world.supervisor.remove("a")
    assert world.story() == [
        ("state", "tracked, class FakeAgent"),
        ("state", "starting (target up)"),
        ("launch", "launched (pid 100)"),
        ("state", "stopping (target down)"),
        ("exit", "exited with code 0 after 5.0 s"),
        ("output", "last words of 100"),
        ("state", "removed"),
    ]
    assert {entry.instance_id for entry in world.entries} == {"a"}
    _, _, launch, _, ended, output, _ = world.entries
    assert launch.data == {
        **{"from": "starting", "to": "up", "target": "up"},
        **{"pid": 100, "launched": True, "restarts": 0},
    }
    assert ended.data == {
        **{"from": "stopping", "to": "down", "target": "down", "pid": 100},
        **{"code": 0, "signal": None, "expected": True, "ran_for": 5.0},
    }
    assert output.data == {"lines": ["last words of 100"]}


def test_a_crash_and_what_follows():
    world = Watched()
    world.up()
    world.clock.advance(70)
    world.entries.clear()
    world.driver.let_die("a", ExitStatus(signal=9))
    world.clock.advance(1)
    assert world.story()[:3] == [
        ("exit", "was ended by SIGKILL after 1 m 10 s, unexpectedly"),
        ("output", "last words of 100"),
        ("launch", "launched (pid 101)"),
    ]
    assert world.entries[0].data["signal"] == "SIGKILL"
    assert (world.entries[0].data["from"], world.entries[0].data["to"]) == ("up", "starting")
    assert world.entries[2].data["restarts"] == 1


def test_each_launch_that_fails_is_written_down_with_its_reason():
    world = Watched()
    world.driver.default_behaviour["a"] = NO_PROGRAM
    world.up()
    world.clock.advance(3.5)
    failures = [e for e in world.entries if e.kind is EntryKind.EXIT]
    assert len(failures) == len(world.driver.launches["a"]) >= 3
    for entry in failures:
        assert entry.text == "Launch failed at the program: it is not there."
        assert entry.data["launched"] is False
    assert not [e for e in world.entries if e.kind is EntryKind.LAUNCH]


def test_what_an_agent_leaves_behind_is_named():
    world = Watched()
    world.driver.default_behaviour["a"] = LEAVES_SOME
    world.up()
    world.clock.advance(5)
    ended = next(e for e in world.entries if e.kind is EntryKind.EXIT)
    assert ended.text.startswith("exited with code 1 after 5.0 s, unexpectedly. It exited")
    assert "left processes behind (pid 1000: child, pid 1001: child)" in ended.text


def test_each_means_to_end_it_is_a_change_of_state():
    world = Watched()
    world.driver.default_behaviour["a"] = IGNORES_SIGINT
    world.up()
    world.supervisor.stop_all()
    world.clock.advance(60)
    states = [e.data["to"] for e in world.entries if e.data.get("to")]
    assert states == ["down", "starting", "up", "stopping", "terminating", "down"]
    assert any("SIGTERM" in e.text for e in world.entries if e.kind is EntryKind.STATE)


def test_one_that_cannot_be_killed_is_reported_once_not_at_each_attempt():
    world = Watched()
    world.driver.default_behaviour["a"] = UNKILLABLE
    world.up()
    world.supervisor.stop_all()
    world.clock.advance(3600)
    assert len(world.entries) < 10
    assert "uninterruptible" in world.entries[-1].text


def test_the_end_of_one_that_is_replaced_is_not_missed():
    world = Watched()
    world.up()
    world.clock.advance(1)
    world.entries.clear()
    world.supervisor.replace(spec(agent_class="Other", initial_target=Target.UP))
    world.clock.advance(1)
    assert world.story() == [
        ("state", "stopping (target up)"),
        ("exit", "ended (pid 100); replaced"),
        ("output", "last words of 100"),
        ("launch", "launched (pid 101)"),
    ]


def test_a_process_that_was_not_launched_was_taken_over():
    world = Watched()
    world.up()
    record = world.record()
    (entry,) = entries_for_change(None, record, 5.0)
    assert (entry.kind, entry.text) == (EntryKind.LAUNCH, "adopted, runs as pid 100")
    assert (entry.data["launched"], entry.time) == (False, 5.0)


def test_nothing_is_written_down_when_nothing_happened():
    world = Watched()
    world.up()
    record = world.record()
    assert entries_for_change(record, record, 0.0) == []
    assert entries_for_change(None, None, 0.0) == []
    count = len(world.entries)
    world.supervisor.update(spec(initial_target=Target.UP, fingerprint="other"))
    world.clock.advance(3600)
    assert len(world.entries) == count


def test_a_day_of_crashes_is_reported_in_pairs_not_in_ticks():
    world = Watched()
    world.driver.default_behaviour["a"] = CRASHES
    world.up()
    world.clock.advance(600)
    launches = len(world.driver.launches["a"])
    kinds = [e.kind for e in world.entries]
    assert launches - 1 <= kinds.count(EntryKind.EXIT) <= launches
    assert kinds.count(EntryKind.LAUNCH) == launches
    assert len(kinds) <= 4 * launches + 2
