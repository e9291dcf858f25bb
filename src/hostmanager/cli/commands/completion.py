"""`hostmanager completion`: what shells need to complete the command, agents' ids included.

The script for a shell is a few lines: at each Tab it calls ``hostmanager completion candidates``
with the words that are typed, the unfinished one last. The candidates come from the parser of
the subcommand and, for ids, hosts and classes, from the site config.
"""

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hostmanager.siteconfig.entry import MANAGER_CLASS

DESCRIPTION = """\
Print a script with which the shell completes this command: subcommands, options, ids of agents,
hosts and agent classes, as the site config has them ($OCS_CONFIG_DIR, or the --site-file or
--site that is typed already)."""

EPILOG = """\
exit status:
  0  done
  2  usage error

examples:
  source <(hostmanager completion bash)                  in ~/.bashrc
  source <(hostmanager completion zsh)                   in ~/.zshrc, after compinit
  hostmanager completion fish > ~/.config/fish/completions/hostmanager.fish
"""

CANDIDATES = "candidates"
"""What the scripts ask for, in place of a shell's name."""

FILE_NAMES = ":files"
"""The only candidate where the shell itself is to complete the name of a file."""

SITE_WORDS = {
    "pattern": "instance-id",
    "--class": "agent-class",
    "--host": "host",
    "--site-host": "host",
}
"""Options and positional arguments whose values stand in the site config."""

FILE_ARGUMENTS = frozenset({"file", "--site-file", "--log-dir", "--working-dir", "--unit-dir"})

SHELL_CHARACTERS = frozenset(" \t\r\n'\"\\$`;&|<>()*?[]{}!#~")
"""Words with one of these are not offered: a shell would expand or execute them."""

SCRIPTS = {
    "bash": """\
_hostmanager() {
    local IFS=$'\\n' current=${COMP_WORDS[COMP_CWORD]} found
    [[ $current == "=" ]] && current=
    found=$(hostmanager completion candidates "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null | cut -f1)
    if [[ $found == :files ]]; then
        compopt -o filenames 2>/dev/null
        COMPREPLY=($(compgen -f -- "$current"))
    else
        COMPREPLY=($(compgen -W "$found" -- "$current"))
    fi
}
complete -F _hostmanager hostmanager
""",
    "zsh": """\
#compdef hostmanager
_hostmanager() {
    local -a found
    found=(${(f)"$(hostmanager completion candidates "${(@)words[2,CURRENT]}" 2>/dev/null)"})
    if [[ $found == :files ]]; then
        _files
    else
        found=("${(@)found//:/\\\\:}")
        found=("${(@)found/$'\\t'/:}")
        _describe hostmanager found
    fi
}
if [ "$funcstack[1]" = "_hostmanager" ]; then
    _hostmanager "$@"
else
    compdef _hostmanager hostmanager
fi
""",
    "fish": """\
function __hostmanager
    set -l found (hostmanager completion candidates (commandline -opc)[2..-1] \\
        (commandline -ct) 2>/dev/null)
    if test "$found" = :files
        __fish_complete_path (commandline -ct)
    else
        printf '%s\\n' $found
    end
end
complete -c hostmanager -f -a '(__hostmanager)'
""",
}


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser("completion", description=DESCRIPTION, epilog=EPILOG)
    parser.add_argument("shell", type=_shell, metavar="{bash,zsh,fish}", help="the shell")
    parser.add_argument("words", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)


def _shell(text: str) -> str:
    if text not in (*SCRIPTS, CANDIDATES):
        raise argparse.ArgumentTypeError(f"{text!r} is none of the shells {', '.join(SCRIPTS)}")
    return text


def run(args: argparse.Namespace) -> int:
    """Print the script, or the candidates that it asks for."""
    if args.shell == CANDIDATES:
        pairs = dict(candidates(args.words))
        print(*(f"{word}\t{text}" if text else word for word, text in pairs.items()), sep="\n")
    else:
        sys.stdout.write(SCRIPTS[args.shell])
    return 0


def candidates(typed: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Give the words that can stand in place of the last one, each with its description."""
    from hostmanager.cli.main import COMMANDS  # noqa: PLC0415 - it imports this module

    *before, current = _join_equal_signs(typed) or [""]
    if not before:
        yield from ((name, summary) for name, (_, summary) in COMMANDS.items())
        return
    if before[0] not in COMMANDS:
        return
    actions = _parser(before[0])._actions
    options = {name: action for action in actions for name in action.option_strings}
    path = _site_config_path(before)
    option, equal_sign, _ = current.partition("=")
    if equal_sign and option in options:
        # Bash takes the equal sign as a word of its own and completes what follows it alone.
        prefix = f"{option}=" if typed[-1] == current else ""
        for value, _ in _values(option, options[option], path):
            yield (value if value == FILE_NAMES else prefix + value), ""
    elif before[-1] in options and options[before[-1]].nargs != 0:
        yield from _values(before[-1], options[before[-1]], path)
    elif current.startswith("-"):
        for name, action in options.items():
            if action.help != argparse.SUPPRESS:
                yield name, _summary(action)
    else:
        for action in actions:
            if not action.option_strings and action.help != argparse.SUPPRESS:
                yield from _values(action.dest, action, path)


def _join_equal_signs(typed: Sequence[str]) -> list[str]:
    words: list[str] = []
    for word in typed:
        if words and (word == "=" or words[-1].endswith("=")) and words[-1].startswith("--"):
            words[-1] += word
        else:
            words.append(word)
    return words


def _parser(command: str) -> argparse.ArgumentParser:
    if command == "run":  # its words go to the manager as they are
        from ocs.site_config import add_arguments  # noqa: PLC0415

        from hostmanager.agent.options import make_manager_parser  # noqa: PLC0415

        parser = make_manager_parser()
        add_arguments(parser)
        return parser
    from hostmanager.cli.main import command_parser  # noqa: PLC0415 - it imports this module

    return command_parser(command)


def _values(name: str, action: argparse.Action, path: Path | None) -> Iterator[tuple[str, str]]:
    if name in FILE_ARGUMENTS:
        yield FILE_NAMES, ""
    elif name in SITE_WORDS:
        yield from ((word, "") for word in sorted(set(site_words(SITE_WORDS[name], path))))
    elif isinstance(action.metavar, str) and action.metavar.startswith("{"):
        yield from ((word, "") for word in action.metavar.strip("{}").split(","))
    else:
        yield from ((str(choice), "") for choice in action.choices or ())


def _summary(action: argparse.Action) -> str:
    text = " ".join((action.help or "").split()).partition(" (default")[0]
    return text.replace("%%", "%").partition(". ")[0]


def _site_config_path(words: Sequence[str]) -> Path | None:
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--site-file")
    parser.add_argument("--site", default="default")
    try:
        args, _ = parser.parse_known_args(words)
    except argparse.ArgumentError:  # an option without its value
        return None
    if args.site_file:
        return Path(args.site_file).expanduser()
    directory = os.environ.get("OCS_CONFIG_DIR")
    return Path(directory, f"{args.site}.yaml") if directory else None


def site_words(key: str, path: Path | None) -> Iterator[str]:
    """Give the hosts of a site config, or the value of a key of each of its agents.

    A file that cannot be read gives nothing; the command itself says what is wrong with it.
    """
    import yaml  # noqa: PLC0415 - only when these are asked for

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        hosts = dict(yaml.load(path.read_text("utf-8") if path else "", loader)["hosts"])
    except Exception:  # nobody wants a traceback at the prompt
        return
    for host, block in hosts.items():
        if key == "host":
            yield str(host)
            continue
        entries = block.get("agent-instances") if isinstance(block, dict) else None
        for entry in entries if isinstance(entries, list) else ():
            if isinstance(entry, dict) and entry.get("agent-class") != MANAGER_CLASS:
                word = entry.get(key)
                if isinstance(word, str) and not SHELL_CHARACTERS & set(word):
                    yield word
