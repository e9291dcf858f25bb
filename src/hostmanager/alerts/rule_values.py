"""Reads the values of the alarm service's rules, each mistake with its line.

Secrets are never shown: a message names the receiver and the number of its URL.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import time
from pathlib import Path
from typing import Any

from hostmanager.alerts.model import AlertSeverity
from hostmanager.alerts.rules import QuietHours
from hostmanager.siteconfig.diagnostics import DiagnosticCollector, SourceLocation
from hostmanager.siteconfig.yaml.nodes import YamlNode
from hostmanager.util.files import read_bounded
from hostmanager.util.secret import Secret
from hostmanager.util.text import did_you_mean, join_names, parse_time_span, quote_value

MAX_SECRET_BYTES = 4096
MAX_WAIT = 86_400.0
"""Seconds; a finding that has to last longer than a day is never reported in time."""

URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,30}://\S+")
_HOURS = re.compile(r"(\d{1,2}):(\d\d)\s*-\s*(\d{1,2}):(\d\d)")


@dataclass(frozen=True, slots=True)
class UrlLocation:
    """A URL of a receiver, for messages: never the URL itself.

    Attributes:
        receiver: The receiver.
        number: Which of its URLs, from 1.
        line: In the file.
        column: In the file.
    """

    receiver: str
    number: int
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class SecretSource:
    """Where a URL is, as `!file NAME` or `!env NAME` says."""

    kind: str
    name: str


class ValueReader:
    """Reads values, and collects what is wrong with them."""

    def __init__(
        self, path: Path, collector: DiagnosticCollector, environ: Mapping[str, str]
    ) -> None:
        self._path = path
        self._collector = collector
        self._environ = environ
        self.unread_secrets: list[str] | None = None
        self.urls: list[tuple[UrlLocation, Secret]] = []

    def fields(
        self, node: YamlNode, what: str, readers: Mapping[str, Callable[[YamlNode, str], Any]]
    ) -> dict[str, Any]:
        """Read the keys of a mapping; those that are wrong are left out."""
        if not node.is_mapping:
            self.wrong(node, what, f"a mapping with the keys {join_names(list(readers))}")
            return {}
        values = {}
        for key, (location, value) in node.fields().items():
            if key not in readers:
                hint = did_you_mean(key, readers) or f"The keys are: {join_names(list(readers))}."
                self._collector.error(location, f"{what} has no key {quote_value(key)}.", hint)
                continue
            read = readers[key](value, f"'{key}' of {what}")
            if read is not None:
                values[key] = read
        return values

    def wrong(self, node: YamlNode, what: str, right: str, *, secret: bool = False) -> None:
        """Report a value that makes no sense."""
        value = "" if secret else f" is {quote_value(node.value)}, which"
        message = f"{what}{value} makes no sense." if value else f"{what} makes no sense."
        self._collector.error(node, message, f"Write {right}.")

    def error(self, location: SourceLocation, message: str, hint: str) -> None:
        """Report something else."""
        self._collector.error(location, message, hint)

    # --- kinds of values --------------------------------------------------------------------

    def seconds(self, node: YamlNode, what: str) -> float | None:
        """A duration from 0 to a day."""
        value = node.value
        if not isinstance(value, bool) and isinstance(value, int | float | str):
            try:
                seconds = parse_time_span(str(value)) if value != 0 else 0.0
            except (ValueError, OverflowError):
                seconds = -1.0
            if 0 <= seconds <= MAX_WAIT:
                return seconds
        self.wrong(node, what, "a duration of at most a day: 30s, 10m or 2h")
        return None

    def intervals(self, node: YamlNode, what: str) -> tuple[float, ...] | None:
        """A list of durations above 0."""
        values = [self.seconds(each, what) for each in node.items()] if node.is_list else [0.0]
        if not all(values):
            if 0.0 in values:
                self.wrong(node, what, "a list of durations, such as [15m, 1h, 4h]; [] for never")
            return None
        return tuple(value for value in values if value)

    def words(self, node: YamlNode, what: str) -> tuple[str, ...] | None:
        """One word, or a list of them."""
        nodes = node.items() if node.is_list else [node]
        if not nodes:  # nobody would be notified, or the rule would be for everything
            self.error(node, f"{what} is empty.", "Name at least one, or leave out the key.")
            return None
        if not all(isinstance(each.value, str) and each.value for each in nodes):
            self.wrong(node, what, "a word, or a list of words such as ['det*', cam1]")
            return None
        return tuple(each.value for each in nodes)

    def one_of(self, known: Mapping[str, Any]) -> Callable[[YamlNode, str], tuple[str, ...] | None]:
        """Words out of some known ones."""

        def read(node: YamlNode, what: str) -> tuple[str, ...] | None:
            words = self.words(node, what)
            for word in words or ():
                if word not in known:
                    hint = did_you_mean(word, known) or f"There are: {join_names(list(known))}."
                    self.error(node, f"{what} names {quote_value(word)}, which is unknown.", hint)
                    return None
            return words

        return read

    def severity(self, node: YamlNode, what: str) -> AlertSeverity | None:
        """A severity."""
        if node.value in list(AlertSeverity):
            return AlertSeverity(node.value)
        self.wrong(node, what, "critical, warning or ignore")
        return None

    def limit(self, node: YamlNode, what: str) -> int | None:
        """A number of messages."""
        if type(node.value) is int and 1 <= node.value <= 1000:
            return node.value
        self.wrong(node, what, "a whole number from 1 to 1000: messages in ten minutes")
        return None

    def flag(self, node: YamlNode, what: str) -> bool | None:
        """True or false."""
        if isinstance(node.value, bool):
            return node.value
        self.wrong(node, what, "true or false")
        return None

    def quiet(self, node: YamlNode, what: str) -> QuietHours | None:
        """Hours of a day."""
        match = _HOURS.fullmatch(node.text or "")
        if match:
            try:
                begin, end = (time(int(match[n]), int(match[n + 1])) for n in (1, 3))
            except ValueError:
                begin = end = time()
            if begin != end:
                return QuietHours(begin, end)
        self.wrong(node, what, 'the hours of this machine in quotes: "22:00-07:00"')
        return None

    def url_list(self, receiver: str) -> Callable[[YamlNode, str], tuple[Secret, ...] | None]:
        """The URLs of a receiver."""

        def read(node: YamlNode, what: str) -> tuple[Secret, ...] | None:
            nodes = node.items() if node.is_list else [node]
            urls = [self._url(each, receiver, n) for n, each in enumerate(nodes, 1)]
            if not nodes:
                self.error(
                    node, f"{what} is empty, so nobody is notified.", "Write a URL of apprise."
                )
            return tuple(url for url in urls if url is not None)

        return read

    def _url(self, node: YamlNode, receiver: str, number: int) -> Secret | None:
        what = f"URL {number} of receiver {quote_value(receiver)}"
        text, value = "", node.value
        if isinstance(value, SecretSource):
            text = self._secret(value, node, what)
        elif isinstance(value, str):
            text = value
        if isinstance(value, SecretSource) and not text:
            return None
        if not URL.fullmatch(text):
            right = "SCHEME://…, such as mailto://USER:PASSWORD@HOST?to=ADDRESS, or !file PATH, or !env NAME"
            self.wrong(node, what, right, secret=True)
            return None
        self.urls.append((UrlLocation(receiver, number, node.line, node.column), Secret(text)))
        return Secret(text)

    def _secret(self, source: SecretSource, node: YamlNode, what: str) -> str:
        """The text of `!file` or `!env`; empty if there is none, which is reported."""
        problem = hint = text = ""
        if source.kind == "env":
            text = self._environ.get(source.name, "").strip()
            problem = f"the variable {source.name} is not set"
            hint = "Set it for the service: `Environment=` or `EnvironmentFile=` of its unit."
        else:
            path = self._path.parent / source.name
            problem = f"{path} is empty"
            hint = "It must have the URL in it, and be readable for the user of the service."
            try:
                text = read_bounded(path, MAX_SECRET_BYTES).decode().strip()
            except (OSError, UnicodeDecodeError, ValueError) as error:
                reason = getattr(error, "strerror", None) or "it is no text of one line"
                problem = f"{path} cannot be read: {reason}"
        if not text and self.unread_secrets is not None:
            self.unread_secrets.append(f"{what}: {problem}")
        elif not text:
            self.error(node, f"{what}: {problem}.", hint)
        return text
