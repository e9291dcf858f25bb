"""The text of a site config without what sounds like a secret, for eyes that need not be the owner's.

Where the text can be parsed, values are found by their place: of keys and options that sound like a
secret, of every variable under ``environment``. Comments, and what stands behind an error of YAML, are
masked line by line, rather too much than too little. Lines and their numbers stay as they are.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from hostmanager.siteconfig.arguments import HIDDEN, SECRET_WORDS, is_secret_option
from hostmanager.util.yaml_loader import YAML_LOADER

MAX_SHOWN_CHARS = 2 * 1024 * 1024
"""Characters of a site config that are shown; 16 MiB may be one, but nobody reads it."""

_SECRET_KEY = re.compile(SECRET_WORDS, re.IGNORECASE)
_ENVIRONMENT = "environment"
_URL_PASSWORD = re.compile(r"(\w://[^\s/:@]*):[^\s/@]+@")
_OPTION_VALUE = re.compile(
    rf"(-[\w-]*(?:{SECRET_WORDS})[\w-]*['\"]?)([\s,=]+['\"]?)(?!--)[^\s,'\"\]}}]+", re.IGNORECASE
)
_KEY_VALUE = re.compile(rf"([\w.-]*(?:{SECRET_WORDS})[\w.-]*['\"]?\s*[:=]\s*)\S.*", re.IGNORECASE)
_OPTION_AT_END = re.compile(rf"-[\w-]*(?:{SECRET_WORDS})[\w-]*['\"]?[\s,]*$", re.IGNORECASE)
_ANCHORED = re.compile(r"(&[\w-]+\s+)\S.*")
_COMMENT = re.compile(r"(?:^|(?<=\s))#.*")
_ENVIRONMENT_LINE = re.compile(rf"^([\s-]*['\"]?{_ENVIRONMENT}['\"]?\s*:)(\s*[^#\s].*)?")


@dataclass(frozen=True, slots=True)
class MaskedText:
    """A text without secrets.

    Attributes:
        lines: As many as in the text.
        values: What was hidden where the text can be parsed.
        locations: Where each of these begins: line and column, from 1.
    """

    lines: list[str] = field(default_factory=list)
    values: frozenset[str] = field(default=frozenset(), repr=False)
    locations: frozenset[tuple[int, int]] = frozenset()

    def mask(self, message: str) -> str:
        """Hide the same in a message about the text, which may quote it."""
        for value in self.values:
            message = message.replace(repr(value), repr(HIDDEN))
        return _URL_PASSWORD.sub(rf"\1:{HIDDEN}@", _OPTION_VALUE.sub(rf"\1\2{HIDDEN}", message))


def mask_secrets(text: str) -> MaskedText:
    """Mask a site config."""
    starts = [0, *(match.end() for match in re.finditer("\n", text))]  # of the lines
    walk = _Walk()
    end = walk.run(text)
    values = frozenset(text[begin:after].strip("'\" \n") for begin, after in walk.ranges())
    locations = frozenset(_location(starts, begin) for begin, _ in walk.ranges())
    return MaskedText(
        _masked_lines(text, walk, walk.doubtful_lines(starts, end)), values - {""}, locations
    )


def _location(starts: list[int], index: int) -> tuple[int, int]:
    line = bisect_right(starts, index)
    return line, index - starts[line - 1] + 1


def _masked_lines(text: str, walk: "_Walk", doubtful: list[bool]) -> list[str]:
    shown, before = [], 0
    for begin, after in sorted(walk.ranges()):
        if begin < before:
            continue  # within one that is hidden already
        shown += [text[before:begin], HIDDEN, "\n" * text.count("\n", begin, after)]
        before = after
    shown.append(text[before:])
    lines = "".join(shown).split("\n")
    unparsed = _mask_unparsed(
        [line for line, is_doubtful in zip(lines, doubtful, strict=True) if is_doubtful]
    )
    masked = (
        next(unparsed) if is_doubtful else _mask_comment(line)
        for line, is_doubtful in zip(lines, doubtful, strict=True)
    )
    return [_URL_PASSWORD.sub(rf"\1:{HIDDEN}@", line.rstrip("\r")) for line in masked]


def _mask_comment(line: str) -> str:
    masked = _OPTION_VALUE.sub(rf"\1\2{HIDDEN}", line)
    return _COMMENT.sub(lambda comment: _KEY_VALUE.sub(rf"\1{HIDDEN}", comment[0]), masked)


def _mask_unparsed(lines: list[str]) -> Iterator[str]:
    """Mask lines of which nobody knows what they belong to."""
    environment: int | None = None  # the indent of the key above
    hide_next = False
    for line in lines:
        indent = len(line) - len(line.lstrip())
        if environment is not None and line.strip() and indent <= environment:
            environment = None
        match = _ENVIRONMENT_LINE.match(line)
        if environment is not None or hide_next:
            name, colon, _ = line.partition(":")
            masked = f"{name}{colon} {HIDDEN}" if colon else f"{line[:indent]}{HIDDEN}"
        elif match and match[2]:
            masked = f"{match[1]} {HIDDEN}"
        else:
            masked = _KEY_VALUE.sub(rf"\1{HIDDEN}", _OPTION_VALUE.sub(rf"\1\2{HIDDEN}", line))
        masked = _ANCHORED.sub(rf"\1{HIDDEN}", masked)  # it may be meant for any place
        if match and environment is None:
            environment = indent
        hide_next = bool(_OPTION_AT_END.search(line))
        yield masked if line.strip() else line


@dataclass(slots=True)
class _Frame:
    """A collection that the walk is in."""

    is_mapping: bool
    hidden: bool
    begin: int
    anchor: str | None = None
    key: str | None = None  # of a mapping, once it was read
    hide_next: bool = False  # of a sequence, behind an option that sounds like a secret


@dataclass(slots=True)
class _Walk:
    """Walks through the events of the text; what is anchored is hidden where its name is used as one."""

    _stack: list[_Frame] = field(default_factory=list)
    _hidden: list[tuple[int, int]] = field(default_factory=list)
    _texts: list[tuple[int, int]] = field(default_factory=list)  # of several lines
    _anchors: dict[str, tuple[int, int]] = field(default_factory=dict)
    _hidden_anchors: set[str] = field(default_factory=set)

    def ranges(self) -> Iterator[tuple[int, int]]:
        """What is to be hidden, as begin and end in the text."""
        yield from self._hidden
        for name in self._hidden_anchors & self._anchors.keys():
            yield self._anchors[name]

    def doubtful_lines(self, starts: list[int], end: int) -> list[bool]:
        """Which lines may be something else: behind the end, or of a text of several lines.

        A quotation mark too many makes a text of all lines up to the next one.
        """
        first = bisect_right(starts, end) - 1
        doubtful = [number >= first for number in range(len(starts))]
        for begin, after in self._texts:
            for number in range(bisect_right(starts, begin) - 1, bisect_right(starts, after)):
                doubtful[number] = True
        return doubtful

    def run(self, text: str) -> int:
        """Walk as far as the text can be parsed; returns where that ends."""
        end = 0
        try:
            event: Any  # each of these has its marks
            for event in yaml.parse(text, Loader=YAML_LOADER):
                self._take(event, text)
                end = event.end_mark.index
        except (yaml.YAMLError, ValueError):
            return end
        return len(text) + 1

    def _take(self, event: Any, text: str) -> None:
        begin, end = event.start_mark.index, event.end_mark.index
        match event:
            case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                outer = self._stack[-1] if self._stack else None
                hidden, hide_next = self._next_value(""), bool(outer and outer.hide_next)
                is_mapping = isinstance(event, yaml.MappingStartEvent)
                frame = _Frame(is_mapping, hidden, begin, event.anchor)
                frame.hide_next = hide_next and not is_mapping
                self._stack.append(frame)
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                frame = self._stack.pop()
                self._note_anchor(frame.anchor, frame.begin, end)
                if self._stack and not self._stack[-1].is_mapping and not frame.is_mapping:
                    self._stack[-1].hide_next = frame.hide_next
            case yaml.ScalarEvent():
                self._take_scalar(event, text, begin, end)
            case yaml.AliasEvent(anchor=str(name)):
                if self._next_value(""):
                    self._hidden_anchors.add(name)

    def _take_scalar(self, event: Any, text: str, begin: int, end: int) -> None:
        word = str(event.value)
        if "\n" in text[begin:end]:
            self._texts.append((begin, end))
        is_word = bool(self._stack) and not self._stack[-1].is_mapping
        hidden = self._next_value(word)
        self._note_anchor(event.anchor, begin, end)
        if hidden and begin < end:
            self._hidden.append((begin, end))
        elif is_word and is_secret_option(word):
            equals = text.find("=", begin, end)
            if equals >= 0:
                self._hidden.append((equals + 1, end))
            else:
                self._stack[-1].hide_next = True

    def _next_value(self, word: str) -> bool:
        """Go on by one node; whether it is to be hidden."""
        if not self._stack:
            return False
        frame = self._stack[-1]
        if not frame.is_mapping:
            hidden = frame.hidden or (frame.hide_next and bool(word) and not word.startswith("--"))
            frame.hide_next = frame.hide_next and not word
            return hidden
        if frame.key is None:
            frame.key = word
            return False  # the names of variables are no secrets
        key, frame.key = frame.key, None
        return frame.hidden or key == _ENVIRONMENT or bool(_SECRET_KEY.search(key))

    def _note_anchor(self, name: str | None, begin: int, end: int) -> None:
        if name is not None:
            self._anchors[name] = begin, end
