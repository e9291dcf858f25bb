"""`hostmanager restart`: stop agents and start them again."""

from typing import Any

from hostmanager.cli.change_command import add_change_parser, run_change

DESCRIPTION = """\
Restart agents: each agent whose target is up is stopped, and started again as soon as it has
ended. Those whose target is down are left down, and are listed. The managers carry that out, even
if this command, the router or the manager itself dies meanwhile; only `down` cancels it. A
compose service is stopped only once its new image is here. The service that runs the router is
restarted last, by itself."""

EXAMPLES = """\
  hostmanager restart acu1
  hostmanager restart --class FakeDataAgent
      all agents of the class whose target is up, on every host
  hostmanager restart --all --dry-run
      what a restart of everything would stop and start
"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    yes_help = "do not ask before all agents are restarted"
    add_change_parser(subparsers, "restart", DESCRIPTION, yes_help=yes_help, examples=EXAMPLES)


run = run_change
