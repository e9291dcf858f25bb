"""From YAML text to plain data that knows its locations.

OCS reads a site config with `yaml.safe_load`, which forgets line numbers and silently lets the
second of two equal keys win. The same data is built here, beside the YAML nodes that it came
from, so that each later check can name a line and a column. What YAML allows and no site
config needs is refused before it can do harm: aliases that grow without bound or contain
themselves, very deep nesting, unknown tags, numbers with thousands of digits.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import yaml
from yaml.composer import Composer
from yaml.constructor import ConstructorError, SafeConstructor
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from yaml.reader import Reader
from yaml.resolver import Resolver

from hostmanager.siteconfig.diagnostics import DiagnosticCollector, SourceLocation
from hostmanager.siteconfig.source import Location
from hostmanager.siteconfig.yaml.errors import explain_yaml_error
from hostmanager.util.text import join_names, quote_value
from hostmanager.util.yaml_loader import YAML_LOADER

MAX_NODES = 200_000
"""Nodes (values, keys, lists, mappings) in one file, with every alias written out."""

MAX_DEPTH = 100
"""Levels of nesting, with every alias written out."""

_MAX_BITS = 1000
_STR = "tag:yaml.org,2002:str"
_MERGE = "tag:yaml.org,2002:merge"


@dataclass(frozen=True, slots=True)
class YamlNode:
    """A piece of plain data, and the YAML node that it was made from."""

    value: Any
    yaml_node: Node

    @property
    def line(self) -> int:
        """The line where it begins, from 1."""
        return int(self.yaml_node.start_mark.line) + 1

    @property
    def column(self) -> int:
        """The column where it begins, from 1."""
        return int(self.yaml_node.start_mark.column) + 1

    @property
    def text(self) -> str | None:
        """A scalar as it was written, without quotes; None for lists and mappings."""
        return str(self.yaml_node.value) if isinstance(self.yaml_node, ScalarNode) else None

    @property
    def is_mapping(self) -> bool:
        """Whether it has `fields`."""
        return isinstance(self.yaml_node, MappingNode) and isinstance(self.value, dict)

    @property
    def is_list(self) -> bool:
        """Whether it has `items`."""
        return isinstance(self.yaml_node, SequenceNode) and isinstance(self.value, list)

    def fields(self) -> dict[Any, tuple[SourceLocation, "YamlNode"]]:
        """Give a mapping's entries: key to (location of the key, value). The last key wins."""
        fields: dict[Any, tuple[SourceLocation, YamlNode]] = {}
        for key_node, value_node in self.yaml_node.value:
            key = _Constructor().construct_object(key_node, deep=True)
            fields[key] = (YamlNode(key, key_node), YamlNode(self.value[key], value_node))
        return fields

    def get(self, key: str) -> "YamlNode | None":
        """Give the value of a key; None when this is no mapping, or has no such key."""
        if not self.is_mapping:
            return None
        for key_node, value_node in reversed(self.yaml_node.value):
            if key_node.tag == _STR and key_node.value == key:
                return YamlNode(self.value[key], value_node)
        return None

    def items(self) -> list["YamlNode"]:
        """Give a list's items."""
        return [YamlNode(*pair) for pair in zip(self.value, self.yaml_node.value, strict=True)]


def parse_nodes(
    text: str,
    collector: DiagnosticCollector,
    *,
    duplicate_keys_are_errors: bool = False,
    tags: Mapping[str, Callable[[str], object]] | None = None,
) -> YamlNode:
    """Parse a YAML text into plain data with locations.

    Args:
        text: The text.
        collector: Gets what is wrong.
        duplicate_keys_are_errors: Else they are warnings, since OCS takes the last of them.
        tags: What makes the value of a scalar with a tag such as ``!file``; others are refused.

    Raises:
        SiteFileError: `yaml.safe_load` would refuse it (so would every agent that is
            launched), or it is unreasonably big.
    """
    _require_printable(text, collector)
    try:
        root = _Composer(_limited_events(text, collector)).get_single_node()
        if root is None:
            raise collector.fatal(
                None,
                "the file has nothing in it but comments.",
                "It must have the sections 'hub' and 'hosts'.",
            )
        _expanded_size(root, {}, collector)
        _report_duplicate_keys(root, set(), collector, as_errors=duplicate_keys_are_errors)
        return YamlNode(_constructor(tags or {}).construct_document(root), root)
    except yaml.MarkedYAMLError as error:
        raise collector.fatal(*explain_yaml_error(error, text)) from error
    except yaml.YAMLError as error:
        raise collector.fatal(None, f"this is not YAML: {error}.") from error


def _require_printable(text: str, collector: DiagnosticCollector) -> None:
    match = Reader.NON_PRINTABLE.search(text)
    if match is None:
        return
    at = match.start()
    at_character = Location(text.count("\n", 0, at) + 1, at - (text.rfind("\n", 0, at) + 1) + 1)
    raise collector.fatal(
        at_character,
        f"the character U+{ord(match.group()):04X} is not allowed in YAML.",
        "Delete it; it is probably not visible in the editor.",
    )


def _limited_events(text: str, collector: DiagnosticCollector) -> Iterator[yaml.Event]:
    """Give the events of one document; refuse what would be too much for later steps."""
    depth = nodes = documents = 0
    for event in yaml.parse(text, Loader=YAML_LOADER):
        nodes += isinstance(event, yaml.NodeEvent)
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        documents += isinstance(event, yaml.DocumentStartEvent)
        mark: Any = event.start_mark
        location = Location(mark.line + 1, mark.column + 1)
        if depth > MAX_DEPTH:
            raise collector.fatal(location, f"the nesting is deeper than {MAX_DEPTH} levels.")
        if nodes > MAX_NODES:
            raise collector.fatal(location, f"the file has more than {MAX_NODES} values.")
        if documents > 1:
            raise collector.fatal(
                location,
                "a second YAML document begins here; OCS reads files of one document.",
                "Delete the '---' line.",
            )
        yield event


class _Composer(Composer, Resolver):
    """PyYAML's composer on a stream of parsed events."""

    def __init__(self, events: Iterator[yaml.Event]) -> None:
        Composer.__init__(self)
        Resolver.__init__(self)
        self._events = events
        self._next: yaml.Event | None = None

    def peek_event(self) -> yaml.Event | None:
        if self._next is None:
            self._next = next(self._events, None)
        return self._next

    def get_event(self) -> yaml.Event | None:
        event, self._next = self.peek_event(), None
        return event

    def check_event(self, *choices: type[yaml.Event]) -> bool:
        return isinstance(self.peek_event(), choices)


class _Constructor(SafeConstructor):
    """PyYAML's safe constructor, with a location for each value that it cannot make."""

    def construct_object(self, node: Node, deep: bool = False) -> Any:
        try:
            value = super().construct_object(node, deep=deep)
        except (ValueError, TypeError, ArithmeticError, LookupError, AttributeError) as error:
            written = node.value if isinstance(node, ScalarNode) else []
            raise ConstructorError(
                None,
                None,
                f"{quote_value(written)} is not a valid value: {error}",
                node.start_mark,
            ) from error
        if isinstance(value, int) and value.bit_length() > _MAX_BITS:
            raise ConstructorError(None, None, "this number is far too large", node.start_mark)
        return value


def _constructor(tags: Mapping[str, Callable[[str], object]]) -> _Constructor:
    class Tagged(_Constructor):
        """Has constructors of its own: PyYAML keeps them in the class."""

    for tag, make in tags.items():
        Tagged.add_constructor(tag, partial(_construct_tagged, make))
    return Tagged()


def _construct_tagged(make: Callable[[str], object], loader: _Constructor, node: Any) -> object:
    return make(str(loader.construct_scalar(node)))


def _children(node: Node) -> list[Node]:
    if isinstance(node, MappingNode):
        return [child for pair in node.value for child in pair]
    return list(node.value) if isinstance(node, SequenceNode) else []


def _expanded_size(
    node: Node, known: dict[int, tuple[int, int] | None], collector: DiagnosticCollector
) -> tuple[int, int]:
    """Give the (number of nodes, depth) that a node has when every alias is written out.

    An anchor stands before its aliases, so it has been measured before they are met, and
    the recursion is never deeper than the text is nested.
    """
    key = id(node)
    location = YamlNode(None, node)
    if key in known:
        measured = known[key]
        if measured is None:
            raise collector.fatal(
                location, "this list or mapping contains itself through an alias."
            )
        return measured
    known[key] = None
    nodes, depth = 1, 0
    for child in _children(node):
        child_nodes, child_depth = _expanded_size(child, known, collector)
        nodes, depth = nodes + child_nodes, max(depth, child_depth)
        if nodes > MAX_NODES or depth >= MAX_DEPTH:
            raise collector.fatal(
                location,
                f"its aliases make this more than {MAX_NODES} values or {MAX_DEPTH} levels deep.",
                "Use fewer aliases ('*name').",
            )
    known[key] = (nodes, depth + 1)
    return nodes, depth + 1


def _report_duplicate_keys(
    node: Node, seen: set[int], collector: DiagnosticCollector, *, as_errors: bool
) -> None:
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, MappingNode):
        first: dict[tuple[str, str], tuple[ScalarNode, Node]] = {}
        for key, value in node.value:
            if isinstance(key, ScalarNode) and key.tag != _MERGE:
                earlier, lost = first.setdefault((key.tag, key.value), (key, value))
                if earlier is not key:
                    report = collector.error if as_errors else collector.warning
                    report(YamlNode(key.value, key), *_duplicate_key(key, earlier, lost))
    for child in _children(node):
        _report_duplicate_keys(child, seen, collector, as_errors=as_errors)


def _duplicate_key(key: ScalarNode, earlier: ScalarNode, lost: Node) -> tuple[str, str]:
    line = YamlNode(earlier.value, earlier).line
    text = f"the key {quote_value(key.value)} is here a second time (first on line {line}); "
    ids = list(_ids_below(lost))
    if ids:
        agents = "agent" if len(ids) == 1 else f"{len(ids)} agents"
        text += f"the last one counts, and the first one's {agents} would not exist: "
        return f"{text}{join_names(ids, _MAX_LOST)}.", "Put all into one of the two."
    dash = "Is a '-' missing before this entry? " if key.value in _ENTRY_KEYS else ""
    return f"{text}the last one counts.", f"{dash}Keep one of the two."


def _ids_below(node: Node) -> Iterator[str]:
    """The ids of all agents in a part of the file. Aliases have been bounded before."""
    if isinstance(node, MappingNode):
        for key, value in node.value:
            if key.value == "instance-id" and isinstance(value, ScalarNode):
                yield value.value
    for child in _children(node):
        yield from _ids_below(child)


_ENTRY_KEYS = frozenset({"instance-id", "agent-class"})
_MAX_LOST = 10
