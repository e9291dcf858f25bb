"""`hostmanager completion`: a script with which a shell completes the command."""

import argparse
import sys

from hostmanager.cli.completion.scripts import SCRIPTS
from hostmanager.cli.output import Output, command
from hostmanager.util.help_parser import HelpParser

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


def add_options(parser: HelpParser) -> None:
    """Add the options."""
    parser.add_argument("shell", type=_shell, metavar="{bash,zsh,fish}", help="the shell")


def _shell(text: str) -> str:
    if text not in SCRIPTS:
        raise argparse.ArgumentTypeError(f"{text!r} is none of the shells {', '.join(SCRIPTS)}")
    return text


@command
def run(args: argparse.Namespace, _: Output) -> int:
    """Print the script."""
    sys.stdout.write(SCRIPTS[args.shell])
    return 0
