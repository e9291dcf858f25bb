"""Arguments that do not reach the agent as they were written, or hardly as they were meant.

A site config is YAML 1.1, and OCS passes `str(value)` of each argument: `0017` is the octal number
15, `1:30` is 90 (base 60), `no` is `False`. Other arguments arrive as written, but were probably
meant otherwise: `--port 8001` as one word, a dash or quotes of a word processor.
"""

import re
from collections.abc import Sequence
from datetime import date

from yaml.nodes import ScalarNode

from hostmanager.siteconfig.diagnostics import DiagnosticCollector
from hostmanager.siteconfig.yaml.nodes import YamlNode
from hostmanager.util.text import quote_value

_DASHES = "–—−‒‐‑"  # noqa: RUF001 - what word processors make of hyphens
_QUOTES = "‘’‚“”„«»"  # noqa: RUF001
_OPTION_WITH_VALUE = re.compile(r"(--?[A-Za-z][\w-]*)\s+(\S.*)")
_VARIABLE = re.compile(r"\$(?:[A-Z_][A-Z0-9_]*|\{\w+\})(?:/|$)")
_NUMBER_FORMS = (
    (re.compile(r"[-+]?0[xX]"), "a hexadecimal number"),
    (re.compile(r"[-+]?0[bB]"), "a binary number"),
    (re.compile(r".*:"), "a number to base 60"),
    (re.compile(r"[-+]?0[0-7_]+$"), "an octal number"),
)


def check_written_arguments(
    argv: Sequence[tuple[str, YamlNode]], collector: DiagnosticCollector
) -> None:
    """Report the arguments of an agent that it gets otherwise than they stand in the file.

    An error if it gets something else; a warning if it is the same number in other digits, and if a
    word arrives as written that was probably not meant so.

    Args:
        argv: The arguments as OCS passes them, each with its node.
        collector: Gets what is wrong.
    """
    for word, node in argv:
        written = node.text or ""
        is_plain = isinstance(node.yaml_node, ScalarNode) and not node.yaml_node.style
        if is_plain and not isinstance(node.value, str) and not _is_equivalent(written, word):
            what = f"YAML reads {written} as {_kind(written, node.value)}"
            text = f"{what}, so the agent gets {word!r}."
            if _is_same_number(written, node.value):
                hint = f'Write {word}, or put it in quotes: "{written}".'
                collector.warning(node, text, hint)
            else:
                collector.error(node, text, f'Put it in quotes: "{written}".')
        elif text_and_hint := _warning(word):
            collector.warning(node, *text_and_hint)


def _is_equivalent(written: str, passed: str) -> bool:
    """Whether no agent cares: ``true`` as `True`, ``1.`` as `1.0`, ``.inf`` as `inf`."""
    return passed.lower() in (written.lower(), f"{written}0", written.lower().replace(".", "", 1))


def _is_same_number(written: str, value: object) -> bool:
    """Whether the value is the number that people read there, in other digits."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and not re.match(r"[-+]?0[0-9_]|.*:", written)


def _kind(written: str, value: object) -> str:
    if isinstance(value, bool):
        return "a truth value"
    if isinstance(value, date):
        return "a date"
    forms = (name for pattern, name in _NUMBER_FORMS if pattern.match(written))
    return next(forms, "a number")


def _warning(word: str) -> tuple[str, str] | None:
    quoted = quote_value(word)
    if word[:1] in _DASHES:
        plain = "--" + word.lstrip(_DASHES + "-")
        return (
            f"the argument {quoted} begins with a dash that is not '-', so it is no option.",
            f"Write {quote_value(plain)}.",
        )
    if word[:1] in _QUOTES or word[-1:] in _QUOTES:
        return (
            f"the quotes of the argument {quoted} are not those of YAML, so they are part of it.",
            "Use ' or \".",
        )
    if match := _OPTION_WITH_VALUE.fullmatch(word):
        return (
            f"the argument {quoted} is an option and its value in one word.",
            f"Write two: {quote_value(match[1])}, {quote_value(match[2])}.",
        )
    if _VARIABLE.match(word):
        text = f"OCS expands no variables: the agent gets {quoted} as it stands."
        return text, "Write the value."
    return None
