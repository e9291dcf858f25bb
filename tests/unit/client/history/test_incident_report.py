"""A report says what did not work, for how long, and what was done; and Markdown sees only text."""

from hypothesis import given
from hypothesis import strategies as st

from hostmanager.client.history.incident_report import MAX_ROWS, make_report, report_markdown
from hostmanager.client.history.timeline_model import Band, Lane, Mark, TimeSpan
from hostmanager.client.history.timeline_summary import summarize_lane
from hostmanager.client.status.model import StatusSeverity

SPAN = TimeSpan(1_790_000_000.0, 1_790_003_600.0)
ERROR = StatusSeverity.ERROR


def lane(name, *parts, marks=()):
    when, bands = SPAN.start, []
    for seconds, state, severity, text in parts:
        bands.append(Band(when, when + seconds, state, severity, text))
        when += seconds
    return summarize_lane(Lane("daq1", name, bands, marks))


UP = "up", StatusSeverity.OK, ""
GOOD = lane("good", (3600, *UP))
BAD = lane(
    "bad",
    (600, *UP),
    (90, "restarting", ERROR, "exited with code 1"),
    (2910, *UP),
    marks=[
        Mark(SPAN.start + 600, "crash", "exited with code 1"),
        Mark(SPAN.start + 650, "request", "restart: bad (ann@desk, level 1): stuck"),
    ],
)
MANAGER = lane(
    "",
    (100, "running", StatusSeverity.OK, ""),
    (30, "router away", StatusSeverity.WARNING, "the router went"),
    (20, "not running", ERROR, "it was killed"),
)


def output(when, *lines, name="bad"):
    return {"host": "daq1", "instance_id": name, "time": when, "data": {"lines": list(lines)}}


def report(**more):
    given_parts = {"managers": [MANAGER], "agents": [BAD, GOOD], **more}
    return make_report("the site", SPAN, **given_parts)


def test_sentences_say_how_often_and_how_long():
    assert report().sentences == [
        "Of 2 agents, 1 did not work at some time.",
        "bad on daq1: did not work once, for 1 m 30 s; exited unexpectedly once.",
        "The manager of daq1: did not run once, for 20 s.",
        "The manager of daq1 had no router 1 time, for 30 s in all.",
    ]
    assert make_report("good", SPAN, managers=[], agents=[GOOD]).sentences == [
        "good on daq1 had no fault."
    ]


def test_faults_outages_and_requests_are_listed_with_their_reasons():
    found = report()
    assert [(row.subject, row.text) for row in found.faults] == [
        ("bad on daq1", "restarting: exited with code 1")
    ]
    assert [row.text for row in found.outages] == [
        "router away: the router went",
        "not running: it was killed",
    ]
    assert [row.text for row in found.requests] == ["restart: bad (ann@desk, level 1): stuck"]


def test_the_last_output_is_that_before_unexpected_exits_and_repeats_are_counted():
    crash = SPAN.start + 600
    outputs = [
        output(crash - 500, "of a requested stop"),
        output(crash + 0.1, "boom"),
        output(crash + 0.2, "boom"),
        output(crash + 0.2, "well", name="good"),
    ]
    (row,) = report(outputs=outputs).outputs
    assert (row.lines, row.count) == (("boom",), 2)


def test_a_report_has_a_bound_and_says_so():
    marks = [Mark(SPAN.start + n, "request", f"request {n}") for n in range(MAX_ROWS + 5)]
    found = report(agents=[lane("a", (3600, *UP), marks=marks)])
    assert len(found.requests) == MAX_ROWS
    assert found.requests[-1].text == f"request {MAX_ROWS + 4}"
    assert found.notes == [f"Only the newest {MAX_ROWS} of {MAX_ROWS + 5} requests are listed."]


def test_markdown_has_all_parts():
    text = report_markdown(
        report(outputs=[output(SPAN.start + 600, "boom", "# bang")], notes=["x"])
    )
    parts = [line for line in text.splitlines() if line.startswith("#")]
    assert parts == [
        "# Report: the site",
        "## Summary",
        "## Not certain",
        "## Faults",
        "## Outages of managers and the router",
        "## Requests",
        "## Last output before unexpected exits",
    ]
    assert "    boom\n    # bang\n" in text


@given(st.text(max_size=30), st.text(max_size=30))
def test_whatever_agents_and_clients_write_begins_no_line_of_markdown(name, text):
    marks = [
        Mark(SPAN.start + 1, "request", text),
        Mark(SPAN.start + 2, "crash", text),
    ]
    found = report(
        agents=[lane(name, (3600, *UP), marks=marks)],
        outputs=[output(SPAN.start + 2, text, name=name)],
        notes=[text],
    )
    for line in report_markdown(found).splitlines():
        assert line == "" or line.startswith(("#", "- ", "    ", "From ", "20")), line
