"""Several sentences on one line."""

import pytest

from hostmanager.util.text import joined, sentence


def test_sentences_on_one_line_have_one_mark_between_them():
    assert joined(["a: no. Mend it.", "", "b: no.", "c"]) == "a: no. Mend it; b: no; c"
    assert joined(["Mend it."]) == "Mend it."
    assert joined([]) == ""


@pytest.mark.parametrize(
    ("text", "ended"), [("it is up", "it is up."), ("Is it?", "Is it?"), ("It is.", "It is.")]
)
def test_a_sentence_ends_with_one_mark(text, ended):
    assert sentence(text) == ended
