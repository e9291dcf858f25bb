"""What operators said is kept over every end, with who said it and why."""

import json
from dataclasses import replace
from unittest.mock import patch

import pytest
from tests.unit.agent.targets.conftest import flushed

from hostmanager.core.model import Target
from hostmanager.core.request_origin import RequestOrigin


async def test_targets_are_loaded(path, make):
    store = make()
    store.set_targets({"a": Target.DOWN, "b": Target.UP})
    store.set_targets({"b": Target.DOWN})
    await flushed(store)
    assert make().load() == {"a": Target.DOWN, "b": Target.DOWN}


@pytest.fixture
def clean_end(make):
    """Make a file of a manager that was told `a down` and has ended cleanly."""

    async def write() -> None:
        store = make()
        store.set_targets({"a": Target.DOWN})
        store.mark_clean_end()
        await flushed(store)

    return write


async def test_a_clean_end_changes_no_target(path, make, clean_end):
    await clean_end()
    assert make().load() == {"a": Target.DOWN}


async def test_a_target_for_all_on_the_command_line_counts_more_after_a_clean_end(
    path, make, clean_end
):
    await clean_end()
    assert make().load(forced=True) == {}


async def test_and_less_after_an_unclean_one(path, make, clean_end):
    await clean_end()
    store = make()
    store.load()  # it begins, and is killed
    await flushed(store)
    assert make().load(forced=True) == {"a": Target.DOWN}


async def test_what_it_overrode_does_not_come_back_after_an_unclean_end(path, make, clean_end):
    await clean_end()
    store = make()
    store.load(forced=True)
    await flushed(store)
    assert make().load() == {}


async def test_nothing_is_written_at_the_end_without_a_request(path, make):
    store = make()
    store.load()
    store.mark_clean_end()
    await flushed(store)
    assert not path.exists()


@pytest.mark.parametrize("stopped", [False, True])
def test_a_file_of_version_0_1_is_read_but_a_stop_is_no_target(path, make, stopped):
    path.parent.mkdir()
    path.write_text(json.dumps({"stopped": stopped, "targets": {"a": "down"}}))
    assert make().load(forced=True) == {"a": Target.DOWN}


async def test_a_reset_forgets_earlier_targets(path, make):
    store = make()
    store.set_targets({"a": Target.DOWN})
    store.reset()
    await flushed(store)
    assert make().load() == {}


ANN = RequestOrigin("ann@control", "pump exchange", 1, 1000.0)
BOB = RequestOrigin("bob@lab", "", 2, 2000.0)


async def test_who_set_a_target_and_why_is_loaded_with_it(path, make):
    store = make()
    store.set_targets({"a": Target.DOWN, "b": Target.DOWN}, ANN)
    store.set_targets({"b": Target.UP}, BOB)
    store.set_targets({"c": Target.DOWN})
    await flushed(store)
    loaded = make()
    loaded.load()
    assert [loaded.origin(name) for name in "abc"] == [ANN, BOB, None]


async def test_a_repeated_request_without_a_reason_leaves_the_origin(make):
    store = make()
    store.set_targets({"a": Target.DOWN}, ANN)
    store.set_targets({"a": Target.DOWN}, BOB)
    assert store.origin("a") == ANN
    why = replace(BOB, reason="water on the floor")
    store.set_targets({"a": Target.DOWN}, why)
    assert store.origin("a") == why
    store.set_targets({"a": Target.UP}, BOB)
    assert store.origin("a") == BOB


async def test_an_origin_goes_with_its_target(path, make):
    store = make()
    store.set_targets({"a": Target.DOWN, "b": Target.DOWN}, ANN)
    store.remove("a")
    assert (store.origin("a"), store.origin("b")) == (None, ANN)
    store.reset()
    await flushed(store)
    assert store.origin("b") is None
    assert "origins" not in json.loads(path.read_text())


@pytest.mark.parametrize(
    "origins",
    [
        "text",
        [1, None, {}],
        [{"instances": "a"}],
        [{"instances": ["a"], "reason": 7}],
        [{"instances": ["a"], "reason": "x\n\x1b[2J"}],
        [{"instances": ["a"], "requested_by": "x" * 10_000}],
    ],
)
def test_an_unreadable_origin_costs_no_target(path, make, origins):
    path.parent.mkdir()
    path.write_text(json.dumps({"targets": {"a": "down"}, "origins": origins}))
    store = make()
    assert store.load() == {"a": Target.DOWN}
    assert store.origin("a") is None


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999", "true", '"now"'])
def test_numbers_of_an_origin_that_are_none_are_left_out(path, make, number):
    path.parent.mkdir()
    entry = f'{{"instances": ["a"], "reason": "why", "at": {number}, "level": {number}}}'
    path.write_text(f'{{"targets": {{"a": "down"}}, "origins": [{entry}]}}')
    store = make()
    store.load()
    assert store.origin("a") == RequestOrigin("", "why", None, None)


async def test_origins_never_make_the_file_too_large_to_be_read(path, make):
    store = make()
    targets = {f"agent{n}": Target.DOWN for n in range(50)}
    with patch("hostmanager.agent.targets.store.MAX_TARGETS_FILE_BYTES", 2_000):
        for name in targets:
            store.set_targets({name: Target.DOWN}, replace(ANN, reason=name * 10))
        await flushed(store)
        loaded = make()
        assert loaded.load() == targets
    assert loaded.origin("agent0") is None


async def test_the_version_before_reads_the_targets(path, make):
    store = make()
    store.set_targets({"a": Target.DOWN}, ANN)
    await flushed(store)
    written = json.loads(path.read_text())
    assert written["targets"] == {"a": "down"}  # all that it looks at, beside `ended`
    assert written["origins"] == [
        {
            "at": 1000.0,
            "requested_by": "ann@control",
            "level": 1,
            "reason": "pump exchange",
            "instances": ["a"],
        }
    ]


async def test_loaded_targets_are_saved_again(path, make):
    first = make()
    first.set_targets({"a": Target.DOWN})
    await flushed(first)
    second = make()
    second.load()
    second.set_targets({"b": Target.UP})
    await flushed(second)
    assert make().load() == {"a": Target.DOWN, "b": Target.UP}
