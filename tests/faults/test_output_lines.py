"""The count of lines itself: it finds what is lost, and nothing else."""

import gzip

import pytest

from tests.faults.output_lines import Lines

RUN = "123-1000"


class Followed:
    """One instance `a`, its output and its counts, by hand."""

    def __init__(self, directory):
        self.output, self.counts = directory / "output", directory / "counts"
        (self.counts / "a").mkdir(parents=True)
        self.output.mkdir()
        self.messages: list[str] = []
        self.lines = Lines(self.output, self.counts, "a", self.messages.append)

    def write(self, *numbers, run=RUN, text=""):
        with (self.output / "a.out").open("a") as file:
            file.write("".join(f"{run} {number:09} ....\n" for number in numbers) + text)

    def count(self, number, run=RUN):
        (self.counts / "a" / run).write_text(f"{number:012}")

    def missing(self, alive=True):
        self.lines.note(alive)
        return self.lines.missing()


@pytest.fixture
def followed(tmp_path):
    return Followed(tmp_path)


def test_all_lines_are_there(followed):
    followed.count(3)
    followed.write(0, 1, 2)
    assert followed.missing() is None
    followed.count(5)
    assert "line 3 of 5" in followed.missing()
    followed.write(3, 4, 5)
    assert followed.missing() is None
    assert followed.messages == []


def test_a_line_lost_in_between_is_found(followed):
    followed.write(0, 1, 3)
    followed.count(4)
    followed.missing()
    assert followed.messages == [f"a: lines 2 to 2 of {RUN} are lost"]


def test_a_line_kept_twice_is_found(followed):
    followed.write(0, 1, 1)
    followed.missing()
    assert followed.messages == [f"a: line 1 of {RUN} was kept twice"]


def test_the_last_lines_of_a_run_that_ended_are_missed(followed):
    followed.write(0, 1)
    followed.count(4)
    followed.write(0, run="124-2000")
    followed.count(1, run="124-2000")
    assert f"line 2 of 4 of {RUN}" in followed.missing()


def test_bytes_given_up_are_no_loss_if_it_is_reported(followed):
    followed.write(0, 1, text="[hostmanager: 300 bytes lost between T1 and T2: No space]\n")
    followed.write(5, 6)
    followed.count(7)
    assert followed.missing() is None
    assert followed.messages == []
    assert followed.lines.given_up == 3
    followed.write(8)
    followed.missing()
    assert len(followed.messages) == 1, "one remark is good for one gap"


def test_what_nobody_could_keep_is_excused_once(followed):
    followed.count(2)
    followed.lines.excuse()
    followed.write(1)
    followed.write(3)
    followed.count(4)
    followed.missing()
    assert followed.messages == [f"a: lines 2 to 2 of {RUN} are lost"]


def test_lines_are_followed_over_rotation_and_compression(followed):
    first, old = followed.output / "a.out", followed.output / "a.out.1"
    followed.write(0, 1)
    followed.missing()
    followed.write(2)
    first.rename(old)
    followed.write(3)
    assert followed.missing() is None
    with gzip.open(followed.output / "a.out.2.gz", "wb") as packed:
        packed.write(old.read_bytes())
    first.rename(old)
    followed.write(4)
    followed.count(5)
    assert followed.missing() is None
    assert followed.messages == []
