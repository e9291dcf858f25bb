"""What is legal in a site file but probably not what was meant: keys and words mistyped.

Unknown keys are legal and kept (contract, section 3), so a manager says nothing of them. One
that is nearly a known one is another matter: `argumnets:` starts an agent without arguments.
Only `hostmanager check` asks this.
"""

from collections.abc import Mapping, Sequence

from hostmanager.siteconfig.diagnostics import DiagnosticCollector, SourceLocation
from hostmanager.siteconfig.yaml_nodes import YamlNode
from hostmanager.util.text import closest_match, quote_value

WARNING_SIMILARITY = 0.8
"""How alike a legal word must be to a known one for a warning: more than for a suggestion."""

TOP: Mapping[str, bool] = {"hub": True, "hosts": True}
HUB: Mapping[str, bool] = {
    "wamp_server": True,
    "wamp_realm": True,
    "address_root": True,
    "wamp_http": False,
    "access_policy": False,
    "registry_address": False,
    "registry_agent": False,
}
HOST: Mapping[str, bool] = {
    "agent-instances": True,
    "agent-paths": False,
    "crossbar": False,
    "log-dir": False,
    "crossbar_timeout": False,
    "crossbar-timeout": False,
    "wamp_server": False,
    "wamp_http": False,
    "wamp_realm": False,
}
CROSSBAR: Mapping[str, bool] = {"bin": False, "config-dir": False}
ENTRY: Mapping[str, bool] = {
    "instance-id": True,
    "agent-class": True,
    "arguments": False,
    "manage": False,
}
"""Known keys of each section, and whether it must have them."""

_ALSO = {"args": "arguments", "argument": "arguments", "managed": "manage", "logdir": "log-dir"}


def warn_misspelled_keys(
    node: YamlNode,
    known: Mapping[str, bool],
    collector: DiagnosticCollector,
    instance_id: str | None = None,
) -> None:
    """Warn of each key that is nearly a known one.

    Args:
        node: A mapping; anything else has been told of already.
        known: The known keys, and whether they are required.
        collector: Get the warnings.
        instance_id: Whose it is.
    """
    if not node.is_mapping:
        return
    fields = node.fields()
    for key, (location, _) in fields.items():
        if not isinstance(key, str) or key in known:
            continue
        suggestion = closest_match(key, known, WARNING_SIMILARITY) or (
            _ALSO.get(key) if _ALSO.get(key) in known else None
        )
        if suggestion is None or (known[suggestion] and suggestion not in fields):
            continue  # that one which is required is missing has been told, with this name
        collector.warning(
            location,
            f"nothing reads the key {quote_value(key)}.",
            f"Did you mean {suggestion!r}?",
            instance_id,
        )


def warn_repeated_options(
    words: Sequence[tuple[str, SourceLocation]],
    collector: DiagnosticCollector,
    instance_id: str | None,
) -> None:
    """Warn of options that are given more than once: OCS keeps the last one alone."""
    seen: set[str] = set()
    for word, location in words:
        name = word.partition("=")[0]
        if not name.startswith("-") or not name.lstrip("-")[:1].isalpha():
            continue
        if word in seen:
            collector.warning(
                location,
                f"the argument {quote_value(word)} is here a second time; OCS keeps only the last one, "
                "with what follows it.",
                "Keep one. An option of several values takes them after each other.",
                instance_id,
            )
        seen.add(word)
