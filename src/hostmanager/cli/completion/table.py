"""Makes the table of all commands and options, from their parsers."""

import argparse
import json

from hostmanager.cli.completion.candidates import FILE_NAMES
from hostmanager.cli.main import ALIASES, COMMANDS, command_parser

SITE_WORDS = {
    "pattern": "instance-id",
    "--class": "agent-class",
    "--host": "host",
    "--site-host": "host",
}
"""Options and positional arguments whose values stand in the site config."""

FILE_ARGUMENTS = frozenset({"file", "--site-file", "--log-dir", "--working-dir", "--unit-dir"})


def make_table() -> str:
    """Make the table, as JSON with one option a line."""
    table = {name: _entry(name, summary) for name, summary in COMMANDS.items()}
    table |= {alias: table[name] for alias, name in ALIASES.items()}
    return _as_object({name: _as_object(entry) for name, entry in table.items()}) + "\n"


def _as_object(members: dict[str, str]) -> str:
    lines = ",\n".join(f"{json.dumps(name)}: {text}" for name, text in members.items())
    return f"{{\n{lines}\n}}"


def _entry(name: str, summary: str) -> dict[str, str]:
    actions = command_parser(name)._actions
    positional = [
        list(COMMANDS) if action.dest == "topic" else _values(action.dest, action)
        for action in actions
        if not action.option_strings and action.help != argparse.SUPPRESS
    ]
    options = {
        option: json.dumps([_summary(action), action.nargs != 0 and _values(option, action)])
        for action in actions
        for option in action.option_strings
    }
    return {
        "summary": json.dumps(summary),
        "positional": json.dumps(positional),
        "options": _as_object(options),
    }


def _values(name: str, action: argparse.Action) -> str | list[str] | None:
    if name in FILE_ARGUMENTS:
        return FILE_NAMES
    if name in SITE_WORDS:
        return SITE_WORDS[name]
    if isinstance(action.metavar, str) and action.metavar.startswith("{"):
        return action.metavar.strip("{}").split(",")
    return [str(choice) for choice in action.choices] if action.choices else None


def _summary(action: argparse.Action) -> str:
    text = " ".join((action.help or "").split()).partition(" (default")[0]
    return text.replace("%%", "%").partition(". ")[0]
