"""Pictures of bands: well-formed, without anything that a strict policy forbids, and nothing lost."""

import re
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from hostmanager.client.history.timeline_model import Band, Lane, Mark, TimeSpan
from hostmanager.client.status.model import StatusSeverity
from hostmanager.web.svg.bands import DOTS, axis_svg, lane_svg

DAY = TimeSpan(1_790_000_000.0, 1_790_086_400.0)
ERROR, OK = StatusSeverity.ERROR, StatusSeverity.OK


def rects(svg):
    return [
        (element.get("class"), element.find("title").text)
        for element in ElementTree.fromstring(svg).iter("rect")
    ]


def lane(*bands, marks=(), silences=()):
    return Lane("h", "a", bands, marks, silences)


def test_a_band_is_a_rectangle_with_its_words():
    up = Band(DAY.start, DAY.end, "up", OK, "launched")
    svg = lane_svg(lane(up), DAY, "no fault")
    ((name, title),) = rects(svg)
    assert name == "band-ok"
    assert re.fullmatch(r"up for 1 d 00 h from [\d :-]+: launched", title)
    assert ElementTree.fromstring(svg).get("aria-label") == "no fault"


def test_a_fault_of_a_second_is_seen_in_a_day_and_on_top():
    middle = DAY.start + 40_000
    bands = [
        Band(DAY.start, middle, "up"),
        Band(middle, middle + 1, "restarting", ERROR),
        Band(middle + 1, middle + 1.5, "starting", StatusSeverity.WARNING),
        Band(middle + 1.5, DAY.end, "up"),
    ]
    names = rects(lane_svg(lane(*bands), DAY, ""))
    assert [name for name, _ in names] == ["band-ok", "band-ok", "band-wrong"]
    assert names[-1][1].startswith("2 changes of state here, the worst: restarting for 1.0 s")


def test_a_loop_of_days_stays_a_small_picture():
    step = (DAY.end - DAY.start) / 50_000
    bands = [
        Band(
            DAY.start + n * step, DAY.start + (n + 1) * step, "up" if n % 2 else "restarting", ERROR
        )
        for n in range(50_000)
    ]
    marks = [Mark(band.start, "crash", "boom") for band in bands]
    svg = lane_svg(lane(*bands, marks=marks), DAY, "")
    assert len(rects(svg)) <= DOTS + 50
    assert svg.count("sign-crash") <= DOTS / 6 + 2


def test_what_was_not_managed_is_not_drawn_and_a_silence_is():
    silence = Band(DAY.start + 10, DAY.start + 5000, "silenced", StatusSeverity.INFO, "by ann")
    svg = lane_svg(lane(Band(DAY.start, DAY.end, ""), silences=[silence]), DAY, "")
    assert [name for name, _ in rects(svg)] == ["band-silenced"]


texts = st.text(max_size=20)
times = st.floats(DAY.start, DAY.end)
any_bands = st.lists(
    st.builds(
        lambda ends, state, severity, text: Band(
            min(ends), max(ends) + 0.001, state, severity, text
        ),
        st.tuples(times, times),
        texts,
        st.sampled_from(StatusSeverity),
        texts,
    ),
    max_size=5,
)
any_marks = st.lists(
    st.builds(Mark, times, st.sampled_from(["request", "crash", "start"]), texts), max_size=5
)


@given(any_bands, any_marks, any_bands, texts)
def test_whatever_agents_and_clients_write_is_text(bands, marks, silences, label):
    svg = lane_svg(Lane("h", "a", bands, marks, silences), DAY, label)
    root = ElementTree.fromstring(svg)
    allowed = {"svg", "rect", "title", "path", "circle", "g"}
    assert {element.tag for element in root.iter()} <= allowed
    assert not [
        name
        for element in root.iter()
        for name in element.attrib
        if name == "style" or name.startswith("on") or "href" in name
    ]


@given(st.floats(0, 1.8e9), st.floats(1, 4e7))
def test_an_axis_is_well_formed(start, seconds):
    root = ElementTree.fromstring(axis_svg(TimeSpan(start, start + seconds)))
    assert len(root.findall("text")) == len(root.findall("line")) <= 8
