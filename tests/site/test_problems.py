from hostmanager.siteconfig.diagnostics import (
    Problem,
    Severity,
    SiteFileError,
    counted,
    listed,
    nearest,
    shown,
    tell,
)
from hostmanager.siteconfig.source import Spot


def test_a_problem_is_one_line_for_people():
    problem = Problem(Severity.ERROR, "It is wrong.", "Mend it.", "site.yaml", 14, 7, "data1")
    assert str(problem) == "site.yaml:14:7: data1: It is wrong. Mend it."


def test_a_warning_says_that_it_is_one():
    problem = Problem(Severity.WARNING, "It is odd.", file="site.yaml")
    assert str(problem) == "site.yaml: warning: It is odd."


def test_an_error_is_its_problems_one_a_line():
    error = SiteFileError([Problem(Severity.ERROR, "A."), Problem(Severity.WARNING, "B.")])
    assert str(error) == "A.\nwarning: B."
    assert error.summary() == (False, "A.")


def test_values_are_shown_short_and_printable():
    assert shown("a\n\ud800") == r"'a\n\ud800'"
    assert len(shown("x" * 1000)) < 70
    assert len(shown(10**200)) < 70
    assert [shown(None), shown([]), shown({}), shown(True)] == [
        "empty",
        "a list",
        "a mapping",
        "yes",
    ]


def test_the_nearest_word_does_not_depend_on_case():
    assert nearest("HOST/UP", ["host/up", "docker/up"]) == "host/up"
    assert nearest("zzz", ["host/up"]) is None
    assert nearest(["host"], ["host"]) is None


def test_long_lists_are_cut():
    assert listed([str(number) for number in range(25)]).endswith("and 5 more")
    assert tell([Problem(Severity.ERROR, "A.")] * 7).endswith("and 2 more")
    assert (counted(1, "error"), counted(0, "error")) == ("1 error", "0 errors")


def test_a_spot_counts_from_one():
    assert (Spot(1, 2).line, Spot(1, 2).column) == (1, 2)
