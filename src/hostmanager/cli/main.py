"""The command `hostmanager`: finds the subcommand, and imports nothing else.

A subcommand is a module with ``DESCRIPTION``, ``EPILOG``, ``add_options(parser)`` and
``run(args) -> int``, and a line in `COMMANDS`. Only the module that was asked for is imported: the
agent must not pay, in start-up time and in memory, for what only people need.
"""

import gc
import re
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from types import ModuleType
from typing import Any, NoReturn

from hostmanager import __version__
from hostmanager.cli.exit_codes import FAILED, INTERRUPTED, USAGE
from hostmanager.cli.streams import (
    BROKEN_PIPE,
    UnwritableError,
    discard_output,
    flush_streams,
    prepare_streams,
)
from hostmanager.util.help_parser import HelpParser
from hostmanager.util.text import closest_match

COMMANDS = {
    "run": "run the manager of this host",
    "install-systemd": "install the manager, or the alarm service, as a service of this host",
    "status": "show the status of all agents of the site; what is wrong first",
    "up": "start agents, and check that they stay up",
    "down": "stop agents, and wait until nothing is left of them",
    "restart": "stop agents and start them again",
    "top": "the whole site on one screen, live, with keys",
    "logs": "show the output of agents, of any host",
    "history": "show who requested what, and what exited when",
    "blame": "show how long agents took to be ready, and what held them back",
    "diff": "show what a reload of the site config would do",
    "reload": "have managers read the site config again",
    "pull": "have managers pull the images of their services",
    "orphans": "show containers whose service is gone, or remove them",
    "silence": "do not warn of agents for a time",
    "alerts": "run the alarm service: it notifies people of what is wrong",
    "web": "run the page for the whole site, for browsers",
    "ack": "acknowledge an incident of the alarm service",
    "die": "end managers, with their agents or without",
    "check": "find errors in a site config before it is used",
    "integrations": "print alert rules and dashboards for Prometheus, Grafana, InfluxDB",
    "help": "show how a command is used",
    "version": "show which version this is",
    "completion": "print the completion for bash, zsh or fish",
    "demo": "run a router, a manager and a few agents as a demonstration",
}
"""One line of help of each subcommand; it is in the module of its name."""

ALIASES = {"start": "up", "stop": "down"}
"""Other names of subcommands."""

DESCRIPTION = """\
The host manager of the Observatory Control System (OCS): it keeps every agent of a
host at its target, up or down. This command runs it, shows the status of all agents of
a site, and starts and stops them."""

EPILOG = """\
commands:
{commands}

  `start` and `stop` are other names of `up` and `down`.
  `hostmanager help COMMAND` shows the options of a command.

exit status:
  0    done
  1    it did not succeed, or something is not as requested; the message names it
  2    usage error, or something that is needed is missing or wrong
  3    the router, or the manager of a host in question, does not answer
  130  interrupted (Ctrl-C)

examples:
  hostmanager status
      the status of all agents of the site, and first what is wrong
  hostmanager restart 'fake*' --host daq1
      stop agents and start them again, and check that they stay up
  hostmanager demo
      a demonstration on this machine, without any set-up
  hostmanager run --instance-id hm-daq1 --site-file site.yaml --site-host daq1
      run the manager of the host daq1 (`python -m hostmanager.agent` is the same)
  ocsbow status
      any OCS client can show and control it
"""


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line `args`, by default the process's own, and exit."""
    argv = list(sys.argv[1:] if args is None else args)
    if argv[:1] == ["run"]:  # its log, and all words after it, have rules of their own
        run = command_module("run")
        _enable_gc()
        raise SystemExit(run.run_manager(argv[1:]))
    try:
        prepare_streams()
        code: Any = _run_to_end(argv)
        flush_streams()
    except KeyboardInterrupt:
        code = INTERRUPTED
    except UnwritableError as error:
        code = BROKEN_PIPE if error.is_broken_pipe else FAILED
        if not error.is_broken_pipe:
            with suppress(UnwritableError):
                print(f"hostmanager: {error}", file=sys.stderr, flush=True)
        discard_output()
    if args is None:
        # Threads may still wait for an answer; a second Ctrl-C ends that at once.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    raise SystemExit(code)


def _run_to_end(argv: list[str]) -> Any:
    try:
        return _run(argv)
    except SystemExit as exit_:  # of argparse: there may be output left
        return exit_.code


def _run(argv: list[str]) -> int:
    if not argv:
        make_main_parser().print_help(sys.stderr)
        return USAGE
    name = ALIASES.get(argv[0], argv[0])
    if name not in COMMANDS:
        if name.startswith("-"):
            make_main_parser().parse_args(
                argv[:1]
            )  # --help and --version exit, all else is an error
        make_main_parser().error(unknown_command(name))
    parser = command_parser(name)
    known, rest = parser.parse_known_args(argv[1:])
    if rest:
        _refuse(parser, rest)
    known.command = name
    _enable_gc()
    code: int = command_module(name).run(known)
    return code


def _enable_gc() -> None:
    """Collect garbage from now on, but not among the modules that were imported without."""
    if not gc.isenabled():
        gc.freeze()
        gc.enable()


def _refuse(parser: HelpParser, words: list[str]) -> NoReturn:
    """Name the arguments that a subcommand does not know, and what was probably meant."""
    text = parser.format_help() + parser.format_site_help()
    options = set(re.findall(r"(?<=--)[a-z][a-z-]+", text))
    # Without the dashes: they would make any two options alike.
    word = words[0].lstrip("-") if words[0].startswith("-") else ""
    nearest = closest_match(word, options)
    hint = f"; did you mean --{nearest}?" if nearest else ""
    parser.error(f"unrecognized arguments: {' '.join(words)}{hint}")


class Parser(HelpParser):
    """The parser of a subcommand: an error is one sentence, without a page of usage."""

    def error(self, message: str) -> NoReturn:
        """Print the error, and how to get help."""
        self.exit(USAGE, f"{self.prog}: {message}\nSee `{self.prog} --help`.\n")


def make_main_parser() -> Parser:
    """Make the parser of what stands before a subcommand."""
    width = max(map(len, COMMANDS)) + 1
    lines = [f"  {name:<{width}} {text}" for name, text in COMMANDS.items()]
    parser = Parser(
        prog="hostmanager",
        usage="hostmanager [--help] [--version] COMMAND ...",
        description=DESCRIPTION,
        epilog=EPILOG.format(commands="\n".join(lines)),
    )
    parser.add_argument("--version", action="version", version=f"hostmanager {__version__}")
    return parser


def command_module(name: str) -> ModuleType:
    """The module of a subcommand, which is imported only when it is needed."""
    package = "hostmanager.cli" if name == "top" else "hostmanager.cli.commands"
    return import_module(f"{package}.{name.replace('-', '_')}")


def command_parser(name: str) -> HelpParser:
    """Make the parser of a subcommand."""
    module = command_module(name)
    if name == "run":
        made: HelpParser = module.make_manager_help()
        return made
    parser = Parser(
        prog=f"hostmanager {name}", description=module.DESCRIPTION, epilog=module.EPILOG
    )
    module.add_options(parser)
    return parser


SYNONYMS = {"list": "status", "ps": "status", "output": "logs", "log": "logs", "tail": "logs"}
"""Names that other programs, and OCS's operations, give to a command that changes nothing."""

HARMLESS = COMMANDS.keys() - {"run", "up", "down", "restart", "reload", "pull", "die"}
"""Commands that may be suggested for a word that is only similar."""

SIMILAR = 0.7
"""How alike the two must be; 1 is equal."""

TYPING_ERROR = 0.85
"""Similarity at which a word can only be another one with a typing error."""


def unknown_command(word: str) -> str:
    """Say that there is no such command; suggest one only if it is near and does no harm."""
    meant = (
        SYNONYMS.get(word)
        or closest_match(word, HARMLESS, SIMILAR)
        or closest_match(word, COMMANDS, TYPING_ERROR)
    )
    hint = f" Did you mean {meant!r}?" if meant else ""
    return f"there is no command {word!r}.{hint} The commands are: {', '.join(COMMANDS)}."
