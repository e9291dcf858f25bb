"""Reads the rules of the alarm service from their YAML file, each mistake with its line.

Secrets are never shown: a message names the receiver and the number of its URL.
"""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import time
from pathlib import Path
from typing import Any

from hostmanager.alerts.model import FINDING_KINDS, AlertSeverity
from hostmanager.alerts.rules import (
    DEFAULT_ESCALATE_AFTER,
    DEFAULT_FINDINGS,
    DEFAULT_LIMIT,
    DEFAULT_REPEAT,
    QuietHours,
    Receiver,
    Rule,
    Rules,
)
from hostmanager.siteconfig.diagnostics import DiagnosticCollector, SiteFileError, SourceLocation
from hostmanager.siteconfig.yaml_nodes import YamlNode, parse_nodes
from hostmanager.util.files import read_bounded
from hostmanager.util.secret import Secret
from hostmanager.util.text import did_you_mean, join_names, parse_time_span, quote_value

RULES_FILE = "alerts.yaml"
"""Name of the file beside the site config that is read unless another one is named."""

MAX_RULES_BYTES = 1024 * 1024
MAX_SECRET_BYTES = 4096
MAX_WAIT = 86_400.0
"""Seconds; a finding that has to last longer than a day is never told in time."""

EXAMPLE = """\
receivers:
  oncall: {urls: ["mailto://USER:PASSWORD@mail.example.org?to=oncall@example.org"]}"""

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
class RulesFile:
    """What is in the file.

    Attributes:
        path: The file.
        rules: The rules.
        urls: Where each URL is.
    """

    path: Path
    rules: Rules
    urls: tuple[tuple[UrlLocation, Secret], ...]


@dataclass(frozen=True, slots=True)
class _SecretSource:
    kind: str
    name: str


class _Reader:
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
        if not nodes:  # nobody would be told, or the rule would be for everything
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
                self.error(node, f"{what} is empty, so nobody is told.", "Write a URL of apprise.")
            return tuple(url for url in urls if url is not None)

        return read

    def _url(self, node: YamlNode, receiver: str, number: int) -> Secret | None:
        what = f"URL {number} of receiver {quote_value(receiver)}"
        text, value = "", node.value
        if isinstance(value, _SecretSource):
            text = self._secret(value, node, what)
        elif isinstance(value, str):
            text = value
        if isinstance(value, _SecretSource) and not text:
            return None
        if not URL.fullmatch(text):
            right = "SCHEME://…, such as mailto://USER:PASSWORD@HOST?to=ADDRESS, or !file PATH, or !env NAME"
            self.wrong(node, what, right, secret=True)
            return None
        self.urls.append((UrlLocation(receiver, number, node.line, node.column), Secret(text)))
        return Secret(text)

    def _secret(self, source: _SecretSource, node: YamlNode, what: str) -> str:
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


def read_rules(
    path: Path,
    environ: Mapping[str, str] = os.environ,
    unread_secrets: list[str] | None = None,
) -> RulesFile:
    """Read the rules.

    Args:
        path: The file.
        environ: For `!env`.
        unread_secrets: Gets, as sentences, which secrets cannot be read here, for a check by
            another user or elsewhere; None: that is an error.

    Raises:
        SiteFileError: Something is wrong; all of it, with lines.
    """
    collector = DiagnosticCollector(str(path))
    reader = _Reader(path, collector, environ)
    reader.unread_secrets = unread_secrets
    text = _read_text(path, collector)
    if not any(line.partition("#")[0].strip(" -.") for line in text.splitlines()):
        raise collector.fatal(None, "there is nothing in it.", f"Write, for example:\n{EXAMPLE}")
    tags = {
        f"!{kind}": lambda name, kind=kind: _SecretSource(kind, name) for kind in ("file", "env")
    }
    root = parse_nodes(text, collector, duplicate_keys_are_errors=True, tags=tags)
    rules = _read_root(root, reader)
    if collector.has_errors:
        raise SiteFileError(collector.diagnostics)
    return RulesFile(path, rules, tuple(reader.urls))


def _read_text(path: Path, collector: DiagnosticCollector) -> str:
    try:
        return read_bounded(path, MAX_RULES_BYTES).decode()
    except UnicodeDecodeError:
        raise collector.fatal(None, "it is not UTF-8.", "Save it as UTF-8.") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        hint = "The alarm service needs a file with at least one receiver. "
        raise collector.fatal(None, f"{reason}.", f"{hint}Write, for example:\n{EXAMPLE}") from None


def _read_root(root: YamlNode, reader: _Reader) -> Rules:
    node = root.get("receivers")
    receivers = _read_receivers(node, reader) if node is not None else {}
    if not receivers:
        reader.error(root, "there are no receivers, so nobody is told.", f"Write:\n{EXAMPLE}")
    names = reader.one_of(dict.fromkeys(receivers))
    values = reader.fields(
        root,
        "the file",
        {
            "receivers": lambda *_: None,
            "notify": names,
            "repeat": reader.intervals,
            "escalate-after": reader.seconds,
            "rules": lambda node, _: _rule_nodes(node, reader),
        },
    )
    notify = values.get("notify", tuple(receivers)[:1])
    repeat = values.get("repeat", DEFAULT_REPEAT)
    after = values.get("escalate-after", DEFAULT_ESCALATE_AFTER)
    default = Rule(findings=DEFAULT_FINDINGS, notify=notify, repeat=repeat, escalate_after=after)
    written = [_read_rule(each, reader, names, default) for each in values.get("rules", ())]
    return Rules((*written, default), tuple(receivers.values()))


def _rule_nodes(node: YamlNode, reader: _Reader) -> list[YamlNode]:
    if not node.is_list:
        reader.wrong(node, "'rules'", "a list: '- agents: det*', say, on lines of their own")
        return []
    return node.items()


def _read_receivers(node: YamlNode, reader: _Reader) -> dict[str, Receiver]:
    if not node.is_mapping:
        reader.wrong(node, "'receivers'", f"names with URLs:\n{EXAMPLE}")
        return {}
    receivers = {}
    for name, (_, value) in node.fields().items():
        values = reader.fields(
            value,
            f"receiver {quote_value(name)}",
            {
                "urls": reader.url_list(str(name)),
                "quiet": reader.quiet,
                "limit": reader.limit,
                "silences": reader.flag,
            },
        )
        if value.is_mapping and value.get("urls") is None:
            reader.error(
                value, f"receiver {quote_value(name)} has no 'urls'.", f"Write:\n{EXAMPLE}"
            )
        receivers[str(name)] = Receiver(
            str(name),
            values.get("urls", ()),
            values.get("quiet"),
            values.get("limit", DEFAULT_LIMIT),
            values.get("silences", False),
        )
    for name, (location, _) in node.fields().items():
        other, _, number = str(name).rpartition(" ")
        urls = receivers[other].urls if other in receivers else ()
        if len(urls) > 1 and number in map(str, range(1, len(urls) + 1)):
            what = f"receiver {quote_value(name)} is called as URL {number} of {quote_value(other)} is."
            reader.error(location, what, "Give it another name.")
    return receivers


def _read_rule(
    node: YamlNode,
    reader: _Reader,
    names: Callable[[YamlNode, str], tuple[str, ...] | None],
    default: Rule,
) -> Rule:
    values = reader.fields(
        node,
        f"the rule on line {node.line}",
        {
            "findings": reader.one_of(FINDING_KINDS),
            "agents": reader.words,
            "hosts": reader.words,
            "classes": reader.words,
            "severity": reader.severity,
            "for": reader.seconds,
            "over-after": reader.seconds,
            "notify": names,
            "repeat": reader.intervals,
            "escalate-after": reader.seconds,
        },
    )
    severity = values.get("severity", default.severity)
    every = () if severity is AlertSeverity.IGNORE else DEFAULT_FINDINGS
    return Rule(
        findings=values.get("findings", every),
        agents=values.get("agents", ()),
        hosts=values.get("hosts", ()),
        classes=values.get("classes", ()),
        severity=severity,
        wait=values.get("for", default.wait),
        over_after=values.get("over-after", default.over_after),
        notify=values.get("notify", default.notify),
        repeat=values.get("repeat", default.repeat),
        escalate_after=values.get("escalate-after", default.escalate_after),
    )
