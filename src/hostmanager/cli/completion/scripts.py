"""The completion scripts, made from the parsers of all subcommands."""

import argparse
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module

from hostmanager.cli.main import COMMANDS

FILES = frozenset({"--site-file", "--log-dir", "--working-dir"})
HOSTS = frozenset({"--host", "--site-host"})
ASK = "hostmanager completion"


@dataclass(frozen=True, slots=True)
class Option:
    """One option: its names, whether it takes a value, which values, and what it is for."""

    names: tuple[str, ...]
    takes_value: bool
    choices: tuple[str, ...]
    text: str


@dataclass(frozen=True, slots=True)
class Command:
    """One subcommand: its options, the words that may follow, and whether those are ids."""

    name: str
    text: str
    options: tuple[Option, ...]
    choices: tuple[str, ...]
    takes_ids: bool


def commands() -> Iterator[Command]:
    """Look at the parsers."""
    for name, (module, text) in COMMANDS.items():
        subparsers = argparse.ArgumentParser().add_subparsers()
        import_module(module).add_parser(subparsers)
        yield _command(name, text, subparsers.choices[name])


def _command(name: str, text: str, parser: argparse.ArgumentParser) -> Command:
    options: list[Option] = []
    choices: tuple[str, ...] = ()
    takes_ids = False
    for action in parser._actions:
        if action.help == argparse.SUPPRESS:
            continue
        if not action.option_strings:
            takes_ids = takes_ids or action.dest == "pattern"
            metavar = action.metavar if isinstance(action.metavar, str) else ""
            shown = metavar.strip("{}").split(",") if metavar.startswith("{") else ()
            choices = tuple(shown or map(str, action.choices or ()))
            continue
        summary = " ".join((action.help or "").split()).replace("%%", "%").partition(". ")[0]
        if "%(" in summary:
            summary = summary.partition(" (default")[0]
        values = tuple(map(str, action.choices or ()))
        options.append(Option(tuple(action.option_strings), action.nargs != 0, values, summary))
    return Command(name, text, tuple(options), choices, takes_ids)


def script(shell: str) -> str:
    """Give the script for a shell."""
    makers = {"bash": bash, "zsh": zsh, "fish": fish}
    return makers[shell](list(commands()))


_BASH = """\
# bash completion for hostmanager; made by `hostmanager completion bash`
_hostmanager_words() {  # ids, hosts or classes, from the site config that is typed or usual
    local site=() i
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
            --site-file | --site)
                if [[ ${COMP_WORDS[i + 1]} == "=" ]]; then
                    site=("${COMP_WORDS[i]}" "${COMP_WORDS[i + 2]}")
                else
                    site=("${COMP_WORDS[i]}" "${COMP_WORDS[i + 1]}")
                fi ;;
        esac
    done
    hostmanager completion "$1" "${site[@]}" 2>/dev/null
}
_hostmanager_reply() {
    local IFS=$'\\n'
    COMPREPLY=($(compgen -W "$1" -- "$2"))
}
_hostmanager() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
    local command=${COMP_WORDS[1]} options= words=
    COMPREPLY=()
    if [[ $cur == "=" ]]; then
        cur=
    elif [[ $prev == "=" ]]; then
        prev=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    if ((COMP_CWORD == 1)); then
        _hostmanager_reply $'@COMMANDS@' "$cur"
        return
    fi
    case $prev in
        @HOSTS@) _hostmanager_reply "$(_hostmanager_words hosts)" "$cur"; return ;;
        --class) _hostmanager_reply "$(_hostmanager_words classes)" "$cur"; return ;;
        @FILES@) compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -f -- "$cur")); return ;;
    esac
    case $command:$prev in
@CHOICES@
        @VALUES@) return ;;
    esac
    case $command in
@CASES@
    esac
    if [[ $cur == -* ]]; then
        _hostmanager_reply "$options" "$cur"
    elif [[ $words == @ids ]]; then
        _hostmanager_reply "$(_hostmanager_words ids)" "$cur"
    else
        _hostmanager_reply "$words" "$cur"
    fi
}
complete -F _hostmanager hostmanager
"""


def _newlines(words: list[str]) -> str:
    return "\\n".join(words)


def bash(made: list[Command]) -> str:
    """Give the script for bash."""
    cases, choices, values = [], [], []
    for command in made:
        names = [name for option in command.options for name in option.names]
        words = "@ids" if command.takes_ids else _newlines(list(command.choices))
        cases.append(f"        {command.name}) options=$'{_newlines(names)}' words=$'{words}' ;;")
        for option in command.options:
            if not option.takes_value or set(option.names) & (FILES | HOSTS | {"--class"}):
                continue
            patterns = "|".join(f"{command.name}:{name}" for name in option.names)
            if option.choices:
                words = _newlines(list(option.choices))
                choices.append(
                    f"""        {patterns}) _hostmanager_reply $'{words}' "$cur"; return ;;"""
                )
            else:
                values.append(patterns)
    parts = {
        "@COMMANDS@": _newlines([command.name for command in made]),
        "@HOSTS@": " | ".join(sorted(HOSTS)),
        "@FILES@": " | ".join(sorted(FILES)),
        "@CHOICES@": "\n".join(choices),
        "@VALUES@": "|".join(values),
        "@CASES@": "\n".join(cases),
    }
    text = _BASH
    for mark, part in parts.items():
        text = text.replace(mark, part)
    return text


_ZSH = """\
#compdef hostmanager
# zsh completion for hostmanager; made by `hostmanager completion zsh`
_hostmanager_words() {
    local -a site found
    local i
    for ((i = 2; i < CURRENT; i++)); do
        case ${words[i]} in
            --site-file=*|--site=*) site=(${words[i]}) ;;
            --site-file|--site) site=(${words[i]} ${words[i+1]}) ;;
        esac
    done
    found=(${(f)"$(hostmanager completion $1 $site 2>/dev/null)"})
    compadd -a found
}
_hostmanager() {
    local -a commands
    local curcontext="$curcontext" state line
    commands=(
@COMMANDS@
    )
    if ((CURRENT == 2)); then
        _describe command commands
        return
    fi
    local command=${words[2]}
    shift words
    ((CURRENT--))
    case $command in
@CASES@
    esac
}
if [ "$funcstack[1]" = "_hostmanager" ]; then
    _hostmanager "$@"
else
    compdef _hostmanager hostmanager
fi
"""


def _zsh_text(text: str) -> str:
    for special in ("\\", "[", "]", ":"):
        text = text.replace(special, "\\" + special)
    return text


def zsh(made: list[Command]) -> str:
    """Give the script for zsh."""
    listed = [f"        {shlex.quote(f'{c.name}:{_zsh_text(c.text)}')}" for c in made]
    cases = []
    for command in made:
        specs = [_zsh_spec(name, option) for option in command.options for name in option.names]
        if command.takes_ids:
            specs.append("*:agent:{_hostmanager_words ids}")
        elif command.choices:
            specs.append(f"1:word:({' '.join(command.choices)})")
        quoted = " \\\n                ".join(shlex.quote(spec) for spec in specs)
        cases.append(
            f"        {command.name})\n            _arguments \\\n                {quoted} ;;"
        )
    return _ZSH.replace("@COMMANDS@", "\n".join(listed)).replace("@CASES@", "\n".join(cases))


def _zsh_spec(name: str, option: Option) -> str:
    value = ""
    if option.takes_value:
        value = ":value:"
        if name in FILES:
            value += "_files"
        elif name in HOSTS:
            value += "{_hostmanager_words hosts}"
        elif name == "--class":
            value += "{_hostmanager_words classes}"
        elif option.choices:
            value += f"({' '.join(option.choices)})"
    return f"*{name}[{_zsh_text(option.text)}]{value}"


_FISH = """\
# fish completion for hostmanager; made by `hostmanager completion fish`
function __hostmanager_words
    set -l site
    set -l typed (commandline -opc)
    for i in (seq (count $typed))
        switch $typed[$i]
            case '--site-file=*' '--site=*'
                set site $typed[$i]
            case --site-file --site
                set site $typed[$i] $typed[(math $i + 1)]
        end
    end
    hostmanager completion $argv[1] $site 2>/dev/null
end
complete -c hostmanager -f
"""


def fish(made: list[Command]) -> str:
    """Give the script for fish."""
    lines = [_FISH]
    for command in made:
        text = shlex.quote(command.text)
        lines.append(
            f"complete -c hostmanager -n __fish_use_subcommand -a {command.name} -d {text}"
        )
        seen = f"-n '__fish_seen_subcommand_from {command.name}'"
        if command.takes_ids:
            lines.append(f"complete -c hostmanager {seen} -a '(__hostmanager_words ids)'")
        elif command.choices:
            lines.append(f"complete -c hostmanager {seen} -a '{' '.join(command.choices)}'")
        lines += [f"complete -c hostmanager {seen} {_fish_spec(o)}" for o in command.options]
    return "\n".join(lines) + "\n"


def _fish_spec(option: Option) -> str:
    parts = [f"-s {n[1:]}" if len(n) == 2 else f"-l {n[2:]}" for n in option.names]
    if option.takes_value:
        is_file = set(option.names) & FILES
        parts.append("-r -F" if is_file else "-x")
        if set(option.names) & HOSTS:
            parts.append("-a '(__hostmanager_words hosts)'")
        elif "--class" in option.names:
            parts.append("-a '(__hostmanager_words classes)'")
        elif option.choices:
            parts.append(f"-a '{' '.join(option.choices)}'")
    return " ".join([*parts, f"-d {shlex.quote(option.text)}"])
