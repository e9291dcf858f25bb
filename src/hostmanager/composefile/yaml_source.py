"""A compose file as it is written: its syntax, its lines, and the files that it refers to.

The compose command says what a file means, but not which other files it depends on, and
seldom in which line an error is. Both come from the YAML nodes here.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import yaml

from hostmanager.composefile.model import ComposeFileError
from hostmanager.util.files import FileTooLargeError, read_bounded
from hostmanager.util.numbers import parse_number
from hostmanager.util.yaml_loader import YAML_LOADER

MAX_COMPOSE_FILE_BYTES = 4 * 1024 * 1024
"""No compose file is that large, and parsing something else could take minutes."""

MAX_INCLUDE_DEPTH = 10
"""Levels of files that include files."""

Node = yaml.Node


def parse_yaml(path: Path, name: str = "") -> Node:
    """Parse the YAML of a compose file.

    Args:
        path: The file.
        name: Its name in errors; default: its path.

    Returns:
        Its root node.

    Raises:
        ComposeFileError: It cannot be read, or is not YAML; names the line.
    """
    name = name or str(path)
    try:
        data = read_bounded(path, MAX_COMPOSE_FILE_BYTES)
    except FileNotFoundError:
        raise ComposeFileError(f"{name} does not exist.") from None
    except FileTooLargeError:
        text = f"{name} is larger than 4 MiB, so it cannot be a compose file."
        raise ComposeFileError(text) from None
    except OSError as error:
        raise ComposeFileError(f"{name} cannot be read: {error.strerror}.") from None
    try:
        root = yaml.compose(data, Loader=YAML_LOADER)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise ComposeFileError(f"{name}{_syntax_error_text(error)}") from None
    if not isinstance(root, yaml.MappingNode):
        raise ComposeFileError(
            f"{name}: not a compose file: it has no section `services:` at its top level."
        )
    return root


def _syntax_error_text(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error).splitlines()[0]
    location = f", line {mark.line + 1}, column {mark.column + 1}" if mark is not None else ""
    context = getattr(error, "context", None)
    return f"{location}: not valid YAML: {problem}{f' ({context})' if context else ''}."


def child_node(node: Node | None, key: str) -> Node | None:
    """The value of a key; for a list, ``0``, ``1`` … are keys."""
    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            if name.value == key:
                return _as_node(value)
    number = parse_number(key)
    if isinstance(node, yaml.SequenceNode) and number is not None and number < len(node.value):
        return _as_node(node.value[number])
    return None


def _as_node(node: object) -> Node | None:
    return node if isinstance(node, yaml.Node) else None


def key_line(root: Node, dotted: str) -> int | None:
    """The line (from 1) of ``services.web.image``, or of the part of that path that exists.

    Returns:
        None if not even the first part exists.
    """
    line: int | None = None
    node: Node | None = root
    for part in dotted.split("."):
        if isinstance(node, yaml.MappingNode):
            for name, _ in node.value:
                if name.value == part:
                    line = name.start_mark.line + 1
        node = child_node(node, part)
        if node is None:
            break
    return line


def error_line(root: Node, message: str) -> int | None:
    """The line that an error message of the compose command is about, if it names a key."""
    dotted = re.search(r"services?\.([\w.-]+)", message)
    if dotted is not None:
        key = re.search(r"(?:property|additional properties|option for \S+:) '?([\w-]+)", message)
        path = f"services.{dotted[1].rstrip('.')}" + (f".{key[1]}" if key else "")
        if (line := key_line(root, path)) is not None:
            return line
    for name in re.findall(r"[Ss]ervice ['\"]?([\w.-]+)", message):
        if child_node(child_node(root, "services"), name) is not None:
            return key_line(root, f"services.{name}")
    return None


def source_files(path: Path) -> frozenset[Path]:
    """All files that a compose file depends on: itself, `.env`, env files, included ones.

    Also those that do not exist yet.
    """
    sources = {path, path.parent / ".env"}
    _collect_sources(path, sources, MAX_INCLUDE_DEPTH)
    return frozenset(sources)


def _collect_sources(path: Path, sources: set[Path], depth: int) -> None:
    try:
        root = parse_yaml(path)
    except ComposeFileError:
        return
    for name, is_compose in _named_files(root):
        other = path.parent / name
        if other in sources:
            continue
        sources.add(other)
        if is_compose:
            sources.add(other.parent / ".env")
            if depth:
                _collect_sources(other, sources, depth - 1)


def included_files(path: Path, root: Node) -> list[Path]:
    """The compose files that a compose file includes or extends."""
    return [path.parent / name for name, is_compose in _named_files(root) if is_compose]


def _named_files(root: Node | None) -> Iterator[tuple[str, bool]]:
    """The files that a compose file names, and whether each is a compose file itself."""
    for entry in _as_list(child_node(root, "include")):
        for part in (entry, *_as_list(child_node(entry, "path"))):
            yield from ((name, True) for name in _literal_name(part))
        for part in _as_list(child_node(entry, "env_file")):
            yield from ((name, False) for name in _literal_name(part))
    services = child_node(root, "services")
    for _, service in services.value if isinstance(services, yaml.MappingNode) else ():
        yield from (
            (name, True)
            for name in _literal_name(child_node(child_node(service, "extends"), "file"))
        )
        for entry in _as_list(child_node(service, "env_file")):
            for part in (entry, child_node(entry, "path")):
                yield from ((name, False) for name in _literal_name(part))


def _as_list(node: Node | None) -> list[Node | None]:
    if isinstance(node, yaml.SequenceNode):
        return list(node.value)
    return [] if node is None else [node]


def _literal_name(node: Node | None) -> list[str]:
    """A file's name, unless it contains variables, which only compose knows."""
    if isinstance(node, yaml.ScalarNode) and node.value and "$" not in node.value:
        return [node.value]
    return []
