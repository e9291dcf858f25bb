"""What is legal in a site config but probably mistyped: keys, where they stand, and options.

Unknown keys are legal and kept (contract, section 3), so a manager does not report them. A key
that is nearly a known one is a likely error: `argumnets:` starts an agent without arguments.
Only `hostmanager check` uses this.
"""

from collections.abc import Mapping, Sequence

from hostmanager.siteconfig.diagnostics import DiagnosticCollector, SourceLocation
from hostmanager.siteconfig.settings import SETTINGS, SETTINGS_KEY
from hostmanager.siteconfig.yaml.nodes import YamlNode
from hostmanager.util.text import closest_match, did_you_mean, quote_value

WARNING_SIMILARITY = 0.8
"""How alike a legal word must be to a known one for a warning: more than for a suggestion."""

KNOWN_KEYS: Mapping[str, Mapping[str, bool]] = {
    "top": {"hub": True, "hosts": True},
    "hub": {
        **dict.fromkeys(("wamp_server", "wamp_realm", "address_root"), True),
        **dict.fromkeys(("wamp_http", "access_policy"), False),
        **dict.fromkeys(("registry_address", "registry_agent"), False),
    },
    "host": {
        "agent-instances": True,
        **dict.fromkeys(("agent-paths", "crossbar", "log-dir"), False),
        **dict.fromkeys(("crossbar_timeout", "crossbar-timeout"), False),
        **dict.fromkeys(("wamp_server", "wamp_http", "wamp_realm"), False),
    },
    "crossbar": {"bin": False, "config-dir": False},
    "entry": {
        **dict.fromkeys(("instance-id", "agent-class"), True),
        **dict.fromkeys(("arguments", "manage", SETTINGS_KEY), False),
    },
}
"""The known keys of each section, and whether each is required."""

_OTHER_NAMES = {
    "args": "arguments",
    "argument": "arguments",
    "managed": "manage",
    "logdir": "log-dir",
}

_SETTING_WORDS = frozenset(name.partition(".")[0] for name in SETTINGS)


def missing_key_hint(node: YamlNode, key: str) -> str:
    """Ask ``Is it here as 'instance_id'?`` about a missing key, or give an empty text."""
    known = {name for section in KNOWN_KEYS.values() for name in section}
    names = [name for name in node.value if isinstance(name, str) and name not in known]
    return did_you_mean(key, names).replace("Did you mean", "Is it here as")


def check_misplaced_hosts(root: YamlNode, collector: DiagnosticCollector) -> None:
    """Find host blocks that are not below `hosts`, where nobody reads them."""
    for name, (location, node) in root.fields().items():
        if name not in KNOWN_KEYS["top"] and node.get("agent-instances") is not None:
            text = (
                f"{quote_value(name)} has agents but is not below 'hosts', so nothing starts them."
            )
            collector.error(location, text, "Indent it as the other hosts are.")


def warn_misspelled_keys(node: YamlNode, section: str, collector: DiagnosticCollector) -> None:
    """Warn of each key that is nearly a known one.

    Args:
        node: A mapping; anything else is reported elsewhere.
        section: Which of `KNOWN_KEYS` it is.
        collector: Gets the warnings.
    """
    if not node.is_mapping:
        return
    known, fields = KNOWN_KEYS[section], node.fields()
    for key, (location, _) in fields.items():
        if not isinstance(key, str) or key in known:
            continue
        if section == "entry" and key in _SETTING_WORDS:
            text = f"nothing reads the key {quote_value(key)} here."
            collector.warning(location, text, f"Write it below {SETTINGS_KEY!r}.")
            continue
        suggestion = closest_match(key, known, WARNING_SIMILARITY) or (
            _OTHER_NAMES.get(key) if _OTHER_NAMES.get(key) in known else None
        )
        if suggestion is None or (known[suggestion] and suggestion not in fields):
            continue  # the missing key is reported, with this name
        text = f"nothing reads the key {quote_value(key)}."
        collector.warning(location, text, f"Did you mean {suggestion!r}?")


def warn_repeated_options(
    argv: Sequence[tuple[str, SourceLocation]], collector: DiagnosticCollector
) -> None:
    """Warn of options that are given more than once: OCS keeps only the last one."""
    seen: set[str] = set()
    for word, location in argv:
        name = word.partition("=")[0]
        if not name.startswith("-") or not name.lstrip("-")[:1].isalpha():
            continue
        if word in seen:
            collector.warning(
                location,
                f"the argument {quote_value(word)} is here a second time; OCS keeps only the last one, with "
                "what follows it.",
                "Keep one. An option of several values takes them after each other.",
            )
        seen.add(word)
