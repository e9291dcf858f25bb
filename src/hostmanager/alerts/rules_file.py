"""Reads the rules of the alarm service from their YAML file, each mistake with its line."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from hostmanager.alerts.model import FINDING_KINDS, AlertSeverity
from hostmanager.alerts.rule_values import SecretSource, UrlLocation, ValueReader
from hostmanager.alerts.rules import (
    DEFAULT_ESCALATE_AFTER,
    DEFAULT_FINDINGS,
    DEFAULT_REPEAT,
    Receiver,
    Rule,
    Rules,
)
from hostmanager.siteconfig.diagnostics import DiagnosticCollector, SiteFileError
from hostmanager.siteconfig.yaml.nodes import YamlNode, parse_nodes
from hostmanager.util.files import read_bounded
from hostmanager.util.secret import Secret
from hostmanager.util.text import quote_value

RULES_FILE = "alerts.yaml"
"""Name of the file beside the site config that is read unless another one is named."""

MAX_RULES_BYTES = 1024 * 1024

EXAMPLE = """\
receivers:
  oncall: {urls: ["mailto://USER:PASSWORD@mail.example.org?to=oncall@example.org"]}"""


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
    reader = ValueReader(path, collector, environ)
    reader.unread_secrets = unread_secrets
    text = _read_text(path, collector)
    if not any(line.partition("#")[0].strip(" -.") for line in text.splitlines()):
        raise collector.fatal(None, "there is nothing in it.", f"Write, for example:\n{EXAMPLE}")
    tags = {
        f"!{kind}": lambda name, kind=kind: SecretSource(kind, name) for kind in ("file", "env")
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


def _read_root(root: YamlNode, reader: ValueReader) -> Rules:
    node = root.get("receivers")
    receivers = _read_receivers(node, reader) if node is not None else {}
    if not receivers:
        reader.error(root, "there are no receivers, so nobody is notified.", f"Write:\n{EXAMPLE}")
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


def _rule_nodes(node: YamlNode, reader: ValueReader) -> list[YamlNode]:
    if not node.is_list:
        reader.wrong(node, "'rules'", "a list: '- agents: det*', say, on lines of their own")
        return []
    return node.items()


def _read_receivers(node: YamlNode, reader: ValueReader) -> dict[str, Receiver]:
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
        receivers[str(name)] = Receiver(str(name), **{"urls": (), **values})
    for name, (location, _) in node.fields().items():
        other, _, number = str(name).rpartition(" ")
        urls = receivers[other].urls if other in receivers else ()
        if len(urls) > 1 and number in map(str, range(1, len(urls) + 1)):
            what = f"receiver {quote_value(name)} is called as URL {number} of {quote_value(other)} is."
            reader.error(location, what, "Give it another name.")
    return receivers


def _read_rule(
    node: YamlNode,
    reader: ValueReader,
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
    if values.get("severity") is AlertSeverity.IGNORE:  # then of all findings, unless it says
        values = {"findings": (), **values}
    written = {key.replace("-", "_"): value for key, value in values.items() if key != "for"}
    return replace(default, wait=values.get("for", default.wait), **written)
