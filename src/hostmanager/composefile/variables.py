"""Variables that a compose file uses and that nobody sets: compose puts nothing in their place.

So `${DATA}/log:/log` becomes `/log:/log`, without an error. Compose says which variable it was, but
not where; the manager, `check` and `install-systemd` name file and line.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

import yaml

from hostmanager.composefile.model import ComposeFileError, UnsetVariable
from hostmanager.composefile.yaml_source import MAX_COMPOSE_FILE_BYTES, included_files, parse_yaml
from hostmanager.util.files import FileTooLargeError, read_bounded

MAX_VARIABLES_NAMED = 5
"""Uses of unset variables that one message names."""

SET_BY_COMPOSE = frozenset({"COMPOSE_PROJECT_NAME"})
"""Variables that compose itself sets while it reads a file."""

_TOKEN = re.compile(r"\$\$|\$(?P<plain>[A-Za-z_]\w*)|\$\{(?P<braced>[A-Za-z_]\w*):?|[{}]", re.ASCII)
_ASSIGNMENT = re.compile(r"^\s*(?:export\s+)?([A-Za-z_][\w.-]*)\s*[=:]", re.ASCII | re.MULTILINE)


def unset_variables(path: Path, environ: Mapping[str, str], name: str = "") -> list[UnsetVariable]:
    """Find the variables that a compose file, and what it includes or extends, uses unset.

    Args:
        path: The file.
        environ: The environment of the compose command; `.env` beside the file adds to it.
        name: The file's name in what is returned; default: its path.

    Returns:
        Each use once for each line; nothing of a file that cannot be read.
    """
    return list(
        dict.fromkeys(_of_file(path, {*environ, *SET_BY_COMPOSE}, name or str(path), {path}))
    )


def describe_unset(unset: Sequence[UnsetVariable]) -> str:
    """Say where which variables are not set, and what to do; empty if there are none."""
    if not unset:
        return ""
    more = (
        f" (and {len(unset) - MAX_VARIABLES_NAMED} more)"
        if len(unset) > MAX_VARIABLES_NAMED
        else ""
    )
    listed = "; ".join(str(each) for each in unset[:MAX_VARIABLES_NAMED])
    return (
        f"{listed}{more}. Compose puts nothing in its place. Set it in the file .env beside the "
        "compose file or in the environment of the manager, or write a default: ${NAME:-default}."
    )


def _of_file(
    path: Path, known: Collection[str], name: str, visited: set[Path]
) -> Iterator[UnsetVariable]:
    try:
        root = parse_yaml(path)
    except ComposeFileError:
        return
    known = {*known, *_env_file_names(path.parent / ".env")}
    for node, service in _scalars(root):
        for offset, variable in _unset_in(node.value, known):
            yield UnsetVariable(variable, name, _line(node, offset), service)
    for other in included_files(path, root):
        if other not in visited:
            visited.add(other)
            yield from _of_file(other, known, str(other), visited)


def _env_file_names(path: Path) -> list[str]:
    try:
        text = read_bounded(path, MAX_COMPOSE_FILE_BYTES).decode("utf-8", "replace")
    except (OSError, FileTooLargeError):
        return []
    return _ASSIGNMENT.findall(text)


def _scalars(root: yaml.Node) -> Iterator[tuple[yaml.ScalarNode, str]]:
    """All values, each with the service that it is for; keys are not replaced by compose."""
    pending: list[tuple[yaml.Node, tuple[str, ...]]] = [(root, ())]
    visited: set[int] = set()
    while pending:
        node, path = pending.pop()
        if id(node) in visited:
            continue
        visited.add(id(node))
        if isinstance(node, yaml.ScalarNode):
            yield node, path[1] if len(path) > 1 and path[0] == "services" else ""
        elif isinstance(node, yaml.MappingNode):
            pairs = [(value, (*path, str(key.value))[:2]) for key, value in node.value]
            pending.extend(reversed(pairs))
        elif isinstance(node, yaml.SequenceNode):
            pending.extend((value, path) for value in reversed(node.value))


def _unset_in(text: str, known: Collection[str]) -> Iterator[tuple[int, str]]:
    """The variables without value and default in a text, each with its position."""
    braces: list[bool] = []  # those that are open: whether what is in them does not count
    hidden = 0  # how many of them
    for token in _TOKEN.finditer(text):
        name, following = token["plain"] or token["braced"], text[token.end() : token.end() + 1]
        if name and name not in known and not hidden and (token["plain"] or following == "}"):
            yield token.start(), name
        if token[0] == "}":
            hidden -= braces.pop() if braces else 0
        elif token[0] == "{" or token["braced"]:
            # After `-` is its default; `+` needs none, and compose itself refuses at `?`.
            braces.append(bool(name) and (name in known or following != "-"))
            hidden += braces[-1]


def _line(node: yaml.ScalarNode, offset: int) -> int:
    """The line of a position in a value; of folded text, the line where it begins."""
    first = int(node.start_mark.line) + 1
    return first + 1 + node.value[:offset].count("\n") if node.style == "|" else first
