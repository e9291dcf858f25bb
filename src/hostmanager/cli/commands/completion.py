"""`hostmanager completion`: what shells need to complete the command, ids of agents included.

The scripts are made from the parsers. While somebody types, they ask this module for ids, hosts
and classes; that has to be quick, so nothing of OCS is imported for it, and the site config is
read only as far as it takes.
"""

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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

SHELLS = ("bash", "zsh", "fish")
COMPLETION_KINDS = ("ids", "hosts", "classes")
"""What the scripts ask for."""

MANAGER_CLASS = "HostManager"

SPECIAL = frozenset(" \t\r\n'\"\\$`;&|<>()*?[]{}!#~")
"""What is not offered: characters that a shell would make something of."""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "completion",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "what",
        type=_shell,
        metavar="{bash,zsh,fish}",
        help="the shell (ids, hosts, classes: what the scripts ask for)",
    )
    parser.add_argument("--site", help=argparse.SUPPRESS)
    parser.add_argument("--site-file", help=argparse.SUPPRESS)


def _shell(text: str) -> str:
    if text not in SHELLS + COMPLETION_KINDS:
        raise argparse.ArgumentTypeError(f"{text!r} is none of the shells {', '.join(SHELLS)}")
    return text


def run(args: argparse.Namespace) -> int:
    """Print the script, or the words that it asks for."""
    if args.what in COMPLETION_KINDS:
        print(*sorted(set(complete(args.what, _site_file(args)))), sep="\n")
        return 0
    from hostmanager.cli.completion.scripts import script  # noqa: PLC0415 - imports all parsers

    sys.stdout.write(script(args.what))
    return 0


def _site_file(args: argparse.Namespace) -> Path | None:
    if args.site_file:
        return Path(args.site_file).expanduser()
    directory = os.environ.get("OCS_CONFIG_DIR")
    return Path(directory, f"{args.site or 'default'}.yaml") if directory else None


def complete(what: str, path: Path | None) -> Iterator[str]:
    """Give the ids, hosts or classes in a site config; nothing if it cannot be read.

    A file that is broken completes nothing; the command itself says what is wrong with it.
    """
    import yaml  # noqa: PLC0415 - only when words are asked for

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        data = yaml.load(path.read_text("utf-8") if path else "", loader)
        hosts = dict(data["hosts"])
    except Exception:  # nobody wants a traceback at the prompt
        return
    for host, block in hosts.items():
        if what == "hosts":
            yield str(host)
            continue
        entries = block.get("agent-instances") if isinstance(block, dict) else None
        for entry in entries if isinstance(entries, list) else ():
            if isinstance(entry, dict) and entry.get("agent-class") != MANAGER_CLASS:
                word = entry.get("instance-id" if what == "ids" else "agent-class")
                if isinstance(word, str) and not SPECIAL & set(word):
                    yield word
