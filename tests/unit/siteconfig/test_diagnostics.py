from hostmanager.siteconfig.diagnostics import Diagnostic, Severity, SiteFileError
from hostmanager.siteconfig.source import Location
from hostmanager.util.text import closest_match, join_names, pluralize, quote_value, summarize


def test_a_problem_is_one_line_for_people():
    problem = Diagnostic(Severity.ERROR, "It is wrong.", "Mend it.", "site.yaml", 14, 7, "data1")
    assert str(problem) == "site.yaml:14:7: data1: It is wrong. Mend it."


def test_a_warning_says_that_it_is_one():
    problem = Diagnostic(Severity.WARNING, "It is odd.", file="site.yaml")
    assert str(problem) == "site.yaml: warning: It is odd."


def test_an_error_is_its_problems_one_a_line():
    error = SiteFileError([Diagnostic(Severity.ERROR, "A."), Diagnostic(Severity.WARNING, "B.")])
    assert str(error) == "A.\nwarning: B."
    assert error.summary() == (False, "A.")


def test_values_are_shown_short_and_printable():
    assert quote_value("a\n\ud800") == r"'a\n\ud800'"
    assert len(quote_value("x" * 1000)) < 70
    assert len(quote_value(10**200)) < 70
    assert [quote_value(None), quote_value([]), quote_value({}), quote_value(True)] == [
        "empty",
        "a list",
        "a mapping",
        "yes",
    ]


def test_the_nearest_word_does_not_depend_on_case():
    assert closest_match("HOST/UP", ["host/up", "docker/up"]) == "host/up"
    assert closest_match("zzz", ["host/up"]) is None
    assert closest_match(["host"], ["host"]) is None


def test_long_lists_are_cut():
    assert join_names([str(number) for number in range(25)]).endswith("and 5 more")
    assert summarize([Diagnostic(Severity.ERROR, "A.")] * 7).endswith("and 2 more")
    assert (pluralize(1, "error"), pluralize(0, "error")) == ("1 error", "0 errors")


def test_a_spot_counts_from_one():
    assert (Location(1, 2).line, Location(1, 2).column) == (1, 2)
