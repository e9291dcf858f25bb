"""The words that can stand in place of the one that is being typed.

Runs at each Tab, so it imports nothing but what it needs; `cli.entry_point` comes here directly.
"""

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence

FILE_NAMES = ":files"
"""The only candidate where the shell itself is to complete the name of a file."""

TABLE_FILE = os.path.join(os.path.dirname(__file__), "table.json")  # noqa: PTH118, PTH120 - pathlib is slow

SITE_KEYS = frozenset({"instance-id", "host", "agent-class"})
"""Values that stand in the site config."""

SHELL_CHARACTERS = frozenset(" \t\r\n'\"\\$`;&|<>()*?[]{}!#~")
"""Words with one of these are not offered: a shell would expand or execute them."""

NOT_AN_AGENT = "HostManager"
"""Its entries are no agents; `siteconfig.entry` would have to be imported for it."""

Value = str | list[str] | bool | None
"""What follows: a kind of name, a choice, (None) nothing known here, (False) no value."""


def main(typed: Sequence[str]) -> None:
    """Print the candidates, each with its description after a tab."""
    try:
        pairs = dict(candidates(typed))
        print(*(f"{word}\t{text}" if text else word for word, text in pairs.items()), sep="\n")
        sys.stdout.flush()
    except (BrokenPipeError, KeyboardInterrupt):  # the shell does not want them any more
        os._exit(0)


def candidates(typed: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Give the words that can stand in place of the last one, each with its description."""
    with open(TABLE_FILE, encoding="utf-8") as file:  # noqa: PTH123
        table = json.load(file)
    *before, current = _join_equal_signs(typed) or [""]
    if not before:
        yield from ((name, entry["summary"]) for name, entry in table.items())
        return
    entry = table.get(before[0])
    if entry is None:
        return
    options: Mapping[str, tuple[str, Value]] = entry["options"]
    path = _site_config_path(before)
    option, equal_sign, _ = current.partition("=")
    takes_value = before[-1] in options and options[before[-1]][1] is not False
    if equal_sign and option in options:
        # Bash takes the equal sign as a word of its own and completes what follows it alone.
        prefix = f"{option}=" if typed[-1] == current else ""
        for value in _values(options[option][1], path):
            yield (value if value == FILE_NAMES else prefix + value), ""
    elif takes_value:
        yield from ((value, "") for value in _values(options[before[-1]][1], path))
    elif current.startswith("-"):
        yield from ((name, summary) for name, (summary, _) in options.items())
    else:
        for kind in entry["positional"]:
            yield from ((value, "") for value in _values(kind, path))


def _join_equal_signs(typed: Sequence[str]) -> list[str]:
    words: list[str] = []
    for word in typed:
        if words and (word == "=" or words[-1].endswith("=")) and words[-1].startswith("--"):
            words[-1] += word
        else:
            words.append(word)
    return words


def _values(kind: object, path: str | None) -> Iterator[str]:
    if isinstance(kind, list):
        yield from kind
    elif kind == FILE_NAMES:
        yield FILE_NAMES
    elif kind in SITE_KEYS:
        yield from sorted(set(site_words(str(kind), path)))


def _site_config_path(words: Sequence[str]) -> str | None:
    """The site config that the words before name, else that of the environment."""
    given = {"--site-file": "", "--site": "default"}
    for word, following in zip(words, (*words[1:], None), strict=True):
        option, equal_sign, value = word.partition("=")
        if option in given:
            given[option] = value if equal_sign else following or given[option]
    if given["--site-file"]:
        return os.path.expanduser(given["--site-file"])  # noqa: PTH111
    directory = os.environ.get("OCS_CONFIG_DIR")
    return f"{directory}/{given['--site']}.yaml" if directory else None


def site_words(key: str, path: str | os.PathLike[str] | None) -> Iterator[str]:
    """Give the hosts of a site config, or the value of a key of each of its agents.

    A file that cannot be read gives nothing; the command itself says what is wrong with it.
    """
    import yaml  # noqa: PLC0415 - only when these are asked for

    from hostmanager.util.yaml_loader import YAML_LOADER  # noqa: PLC0415

    try:
        with open(path or os.devnull, "rb") as file:  # noqa: PTH123
            hosts = dict(yaml.load(file, YAML_LOADER)["hosts"])
    except Exception:  # nobody wants a traceback at the prompt
        return
    for host, block in hosts.items():
        if key == "host":
            yield str(host)
            continue
        entries = block.get("agent-instances") if isinstance(block, dict) else None
        for entry in entries if isinstance(entries, list) else ():
            if isinstance(entry, dict) and entry.get("agent-class") != NOT_AN_AGENT:
                word = entry.get(key)
                if isinstance(word, str) and not SHELL_CHARACTERS & set(word):
                    yield word
