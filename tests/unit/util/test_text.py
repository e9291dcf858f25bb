"""Several sentences on one line."""

import pytest

from hostmanager.util.text import end_sentence, format_bytes, join_sentences


def test_sentences_on_one_line_have_one_mark_between_them():
    assert join_sentences(["a: no. Mend it.", "", "b: no.", "c"]) == "a: no. Mend it; b: no; c"
    assert join_sentences(["Mend it."]) == "Mend it."
    assert join_sentences([]) == ""


@pytest.mark.parametrize(
    ("text", "ended"), [("it is up", "it is up."), ("Is it?", "Is it?"), ("It is.", "It is.")]
)
def test_a_sentence_ends_with_one_mark(text, ended):
    assert end_sentence(text) == ended


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 bytes"), (1, "1 byte"), (999, "999 bytes"), (1000, "1.0 kB"), (999_950, "1.0 MB")],
)
def test_a_size_has_one_decimal_of_its_unit(size, text):
    assert format_bytes(size) == text
