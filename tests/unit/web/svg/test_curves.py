"""Curves: scale, gaps, words, and that the picture is well-formed whatever the numbers are."""

import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostmanager.client.history.resource_history import ResourceHistory, parse_resources
from hostmanager.web.svg.curves import HEIGHT, WIDTH, curves, nice_ceiling, split_at_gaps

DATA = {
    "columns": ["time", "cpu", "memory", "threads", "open_files"],
    "interval": 30.0,
    "samples": {
        "a/1": [
            [1000.0, -1, 50e6, 7, -1],
            [1030.0, 0.05, 52e6, 7, -1],
            [1060.0, 0.5, 52e6, 7, -1],
        ]
    },
}


def test_a_curve_says_in_words_what_it_shows() -> None:
    cpu, memory, threads = curves(parse_resources(DATA, "a/1"))

    assert cpu.text == "CPU, of one core: 50.0 % now; 5.0 % to 50.0 %, in the last 30 s"
    assert memory.text == "memory: 52.0 MB now; 50.0 MB to 52.0 MB, in the last 1 m 00 s"
    assert threads.text == "threads: 7 now; 7 all the time, in the last 1 m 00 s"
    assert (cpu.now, cpu.top) == ("50.0 %", "50.0 %")
    assert ET.fromstring(cpu.svg).attrib["aria-label"] == cpu.text


def test_the_newest_value_is_at_the_right_edge_and_the_largest_within_the_picture() -> None:
    cpu = curves(parse_resources(DATA, "a/1"))[0]

    line = next(e for e in ET.fromstring(cpu.svg) if e.tag == "polyline")

    assert line.attrib["points"].split() == ["238.0,42.8", "240.0,0.5"]


def test_an_unknown_value_and_a_pause_are_gaps() -> None:
    samples = [(0.0, 1.0), (30.0, None), (60.0, 2.0), (90.0, 3.0), (200.0, 4.0)]

    pieces = list(split_at_gaps(samples, 75.0))

    assert pieces == [[(0.0, 1.0)], [(60.0, 2.0), (90.0, 3.0)], [(200.0, 4.0)]]


def test_what_is_not_known_has_no_curve() -> None:
    assert curves(ResourceHistory()) == []
    assert curves(parse_resources(DATA, "another")) == []


@pytest.mark.parametrize(
    ("value", "top"), [(0.1, 0.1), (0.11, 0.2), (3.0, 5.0), (5.01, 10.0), (1e9, 1e9), (52e6, 1e8)]
)
def test_the_scale_ends_at_a_round_number(value: float, top: float) -> None:
    assert nice_ceiling(value) == pytest.approx(top)


@given(
    st.lists(
        st.tuples(
            st.floats(0, 1e5), st.one_of(st.none(), st.floats(0, 1e13, allow_subnormal=False))
        ),
        max_size=30,
    )
)
def test_any_samples_give_a_picture_within_its_frame(samples: list) -> None:
    history = ResourceHistory(30.0, {"memory": tuple(sorted(samples, key=lambda s: s[0]))})
    for curve in curves(history):
        for element in ET.fromstring(curve.svg):
            for point in element.attrib.get("points", "").split():
                x, y = map(float, point.split(","))
                assert x <= WIDTH + 1
                assert 0 <= y <= HEIGHT
