"""The command `hostmanager`: finds the subcommand, and imports nothing else.

A subcommand is a module with ``add_parser(subparsers)`` and ``run(args) -> int``, and a
line in `COMMANDS`. Only the module that was asked for is imported: the agent must not pay,
in start-up time and in memory, for what only people need.
"""

import argparse
import re
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

from hostmanager import __version__
from hostmanager.cli.exit_codes import INTERRUPTED, USAGE
from hostmanager.util.text import closest_match

COMMANDS = {
    "run": ("hostmanager.cli.commands.run", "run the manager of this host"),
    "install-systemd": (
        "hostmanager.cli.commands.install_systemd",
        "install the manager as a service of this host",
    ),
    "status": (
        "hostmanager.cli.commands.status",
        "show the status of all agents of the site; what is wrong first",
    ),
    "up": ("hostmanager.cli.commands.up", "start agents, and check that they stay up"),
    "down": (
        "hostmanager.cli.commands.down",
        "stop agents, and wait until nothing is left of them",
    ),
    "restart": ("hostmanager.cli.commands.restart", "stop agents and start them again"),
    "top": ("hostmanager.cli.top", "the whole site on one screen, live, with keys"),
    "logs": ("hostmanager.cli.commands.logs", "show the output of agents, of any host"),
    "history": (
        "hostmanager.cli.commands.history",
        "show who requested what, and what exited when",
    ),
    "diff": ("hostmanager.cli.commands.diff", "show what a reload of the site config would do"),
    "reload": ("hostmanager.cli.commands.reload", "have managers read the site config again"),
    "pull": ("hostmanager.cli.commands.pull", "have managers pull the images of their services"),
    "orphans": (
        "hostmanager.cli.commands.orphans",
        "show containers whose service is gone, or remove them",
    ),
    "die": ("hostmanager.cli.commands.die", "end managers, with their agents or without"),
    "check": (
        "hostmanager.cli.commands.check",
        "find errors in a site config before it is used",
    ),
    "completion": (
        "hostmanager.cli.commands.completion",
        "print the completion for bash, zsh or fish",
    ),
    "demo": (
        "hostmanager.cli.commands.demo",
        "run a router, a manager and a few agents as a demonstration",
    ),
}
"""Module and one line of help of each subcommand."""

DESCRIPTION = """\
The host manager of the Observatory Control System (OCS): it keeps every agent of a
host at its target, up or down. This command runs it, shows the status of all agents of
a site, and starts and stops them."""

EPILOG = """\
commands:
{commands}

  `hostmanager COMMAND --help` shows the options of a command.

exit status:
  0    done
  1    it did not succeed, or something is not as requested; the message says what
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
      run the manager of the host daq1; the same as `python -m hostmanager.agent ...`
  ocsbow status
      any OCS client can show and control it
"""


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line `args`, by default the process's own, and exit."""
    argv = list(sys.argv[1:] if args is None else args)
    try:
        raise SystemExit(_run(argv))
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None


def _run(argv: list[str]) -> int:
    parser = _make_parser()
    if not argv:
        parser.print_help(sys.stderr)
        return USAGE
    if argv[0] not in COMMANDS:
        if argv[0].startswith("-"):
            parser.parse_args(argv[:1])  # --help and --version exit, all else is an error
        parser.error(_unknown(argv[0]))
    module = import_module(COMMANDS[argv[0]][0])
    subparsers = parser.add_subparsers(dest="command", prog="hostmanager", parser_class=Parser)
    module.add_parser(subparsers)
    known, rest = parser.parse_known_args(argv)
    if rest:
        _refuse(subparsers.choices[argv[0]], rest)
    code: int = module.run(known)
    return code


def _refuse(parser: argparse.ArgumentParser, words: list[str]) -> NoReturn:
    """Name the arguments that a subcommand does not know, and what was probably meant."""
    options = set(re.findall(r"--[a-z][a-z-]+", parser.format_help()))
    nearest = closest_match(words[0], options)
    hint = f"; did you mean {nearest}?" if nearest else ""
    parser.error(f"unrecognized arguments: {' '.join(words)}{hint}")


class Parser(argparse.ArgumentParser):
    """The parser of a subcommand: an error is one sentence, without a page of usage."""

    def error(self, message: str) -> NoReturn:
        """Print the error, and how to get help."""
        self.exit(USAGE, f"{self.prog}: {message}\nSee `{self.prog} --help`.\n")


def _make_parser() -> argparse.ArgumentParser:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}} {text}" for name, (_, text) in COMMANDS.items()]
    parser = argparse.ArgumentParser(
        prog="hostmanager",
        usage="hostmanager [--help] [--version] COMMAND ...",
        description=DESCRIPTION,
        epilog=EPILOG.format(commands="\n".join(lines)),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"hostmanager {__version__}")
    return parser


SYNONYMS = {
    "start": "up",
    "stop": "down",
    "kill": "down",
    "list": "status",
    "ps": "status",
    "update": "up",
    "output": "logs",
    "log": "logs",
    "tail": "logs",
    "serve": "run",
}
"""Names that other programs, and OCS's operations, give to a command."""


def _unknown(word: str) -> str:
    meant = SYNONYMS.get(word) or closest_match(word, COMMANDS)
    hint = f" Did you mean {meant!r}?" if meant else ""
    return f"there is no command {word!r}.{hint} The commands are: {', '.join(COMMANDS)}."
