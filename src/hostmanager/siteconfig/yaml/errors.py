"""What PyYAML says of a text that is not YAML, with a hint for what people usually did."""

import re

import yaml

from hostmanager.siteconfig.source import Location

_MAPPING_HINT = "Is the line indented as its neighbours, and a value with ': ' in it in quotes?"
_BLOCK_HINT = (
    "Is the line indented as its neighbours, with nothing after a closing quote or bracket?"
)
_HINTS = (
    # a part of what PyYAML says, what it was doing, what was usually done
    ("mapping values are not allowed", "", _MAPPING_HINT),
    ("expected ',' or", "", "Is a comma or a closing bracket missing?"),
    ("expected node content", "", "Is there a comma too many?"),
    ("expected key", "", _BLOCK_HINT),
    ("expected <block end>", "", _BLOCK_HINT),
    ("expected '-' indicator", "", "Is the line indented as its neighbours, with '- ' before it?"),
    ("block sequence entries are not allowed", "", "The first '- ' of a list begins a line."),
    ("cannot start any token", "", "A value that begins with this character must be in quotes."),
    ("unknown escape", "", "In single quotes, a backslash is a backslash."),
    ("", "scanning an alias", "A value that begins with '*' must be in quotes."),
    ("", "scanning an anchor", "A value that begins with '&' must be in quotes."),
    ("", "scanning a tag", "A value that begins with '!' must be in quotes."),
    ("constructor for the tag", "", "A value that begins with '!' must be in quotes."),
    ("", "scanning a quoted scalar", "Is a closing quote missing?"),
    ("could not find expected ':'", "", "Is a colon missing, or the space after it?"),
    (
        "undefined alias",
        "",
        "Write '&NAME' where it is defined, before this line; or put it in quotes.",
    ),
)
_CONFLICT = re.compile(r"^(?:<{7}|={7}|>{7})(?: |$)", re.MULTILINE)


def explain_yaml_error(error: yaml.MarkedYAMLError, text: str) -> tuple[Location | None, str, str]:
    """Give the location, what is wrong, and a hint."""
    if conflict := _CONFLICT.search(text):
        line = text.count("\n", 0, conflict.start()) + 1
        message = "git left a conflict here, with both versions of some lines."
        return Location(line, 1), message, "Keep one version, and delete the lines of marks."
    mark = error.problem_mark or error.context_mark
    if mark is None:
        return None, f"this is not YAML: {error}.", ""
    problem, context = error.problem or error.context or "", error.context or ""
    message = f"the YAML cannot be read: {problem}"
    if error.context and error.context_mark and error.problem:
        message += f" ({context}, which begins on line {error.context_mark.line + 1})"
    location = Location(mark.line + 1, mark.column + 1)
    return location, f"{message}.", _hint(problem, context, text.splitlines()[mark.line :][:1])


def _hint(problem: str, context: str, lines: list[str]) -> str:
    line = lines[0] if lines else ""
    if "\t" in line[: len(line) - len(line.lstrip())]:
        return "Indent with spaces; there is a tab here."
    if "\u00a0" in line:
        return (
            "There is a no-break space in this line, as copied from a web page; write a plain one."
        )
    hints = (hint for said, doing, hint in _HINTS if said in problem and doing in context)
    return next(hints, "")
