"""A crash loop is one line of the history; whatever else happened keeps its own."""

from itertools import count

import pytest

from hostmanager.client.history.crash_loops import fold_cycles

NOW = {"h": 10_000.0}


class Story:
    """Entries of a journal, ten seconds apart."""

    def __init__(self) -> None:
        self.entries: list[dict] = []
        self._ids = count(1)

    def add(self, kind: str, text: str, instance_id: str | None = "a", **data) -> None:
        number = next(self._ids)
        self.entries.append(
            {
                "host": "h",
                "id": number,
                "time": number * 10.0,
                "kind": kind,
                "instance_id": instance_id,
                "text": text,
                "data": data,
            }
        )

    def crash(self, how: str = "exited with code 1", **data) -> None:
        self.add("launch", "launched (pid 7)")
        self.add("exit", f"{how} after 0.4 s, unexpectedly", expected=False, **data)
        self.add("output", "no device", lines=["no device"])

    def texts(self) -> list[str]:
        return [entry["text"] for entry in fold_cycles(self.entries, NOW)]


@pytest.fixture
def story():
    return Story()


def test_a_crash_loop_is_one_line_with_number_outcome_and_age(story):
    for _ in range(424):
        story.crash()
    (line,) = fold_cycles(story.entries, {"h": 424 * 30 - 10 + 3.0})
    assert line["text"] == (
        "launched 424 times in 3 h 31 m, exited with code 1 each time, last 3.0 s ago"
    )
    assert line["data"] == {"folded": 3 * 424, "lines": ["no device"]}
    assert line["kind"] == "exit"


def test_two_crashes_are_shown_as_they_are(story):
    story.crash()
    story.crash()
    assert len(story.texts()) == 6


def test_another_outcome_is_another_line(story):
    for how in ("exited with code 1", "was ended by SIGSEGV"):
        for _ in range(3):
            story.crash(how)
    first, second = story.texts()
    assert "launched 3 times" in first
    assert "exited with code 1 each time" in first
    assert "was ended by SIGSEGV each time" in second


def test_a_request_in_between_begins_anew_and_keeps_its_place(story):
    for _ in range(3):
        story.crash()
    story.add("request", "update: a up (ann@control, level 1)")
    for _ in range(4):
        story.crash()
    first, request, second = story.texts()
    assert "launched 3 times" in first
    assert request.startswith("update: a up")
    assert "launched 4 times" in second


def test_what_happens_to_others_meanwhile_does_not_end_the_loop(story):
    for _ in range(3):
        story.crash()
        story.add("launch", "launched (pid 9)", "b")
        story.add("router", "the router went", None)
    texts = story.texts()
    assert len([text for text in texts if text.startswith("launched 3 times")]) == 1
    assert texts.count("the router went") == 3
    assert texts.count("launched (pid 9)") == 3


def test_the_run_that_goes_on_and_the_stop_on_request_keep_their_lines(story):
    for _ in range(3):
        story.crash()
    story.add("launch", "launched (pid 8)")
    story.add("exit", "exited with code 0 after 9 s", expected=True)
    assert story.texts()[1:] == ["launched (pid 8)", "exited with code 0 after 9 s"]


def test_launches_that_fail_are_folded_too(story):
    for _ in range(3):
        story.add("state", "starting (wanted up)")
        story.add("exit", "could not be launched: no such directory", launched=False)
    assert story.texts() == [
        "tried 3 times in 50 s, could not be launched: no such directory each time, "
        "last 2 h 45 m ago"
    ]


def test_everything_is_in_the_order_of_time(story):
    story.add("request", "update: all up", None)
    for _ in range(3):
        story.crash()
    story.add("manager", "host manager ended", None)
    times = [entry["time"] for entry in fold_cycles(story.entries, NOW)]
    assert times == sorted(times)
