"""`hostmanager restart`: stop agents and start them again."""

from typing import Any

from hostmanager.cli.change_command import add_change_parser, run_change
from hostmanager.client.change.plan import Selection

DESCRIPTION = """\
Restart agents: each agent whose target is up is stopped, and started again as soon as it has
ended. Those whose target is down are left down, and are listed. The managers carry that out, even
if this command, the router or the manager itself dies meanwhile; only `down` cancels it. A
compose service is stopped only once its new image is here. The service that runs the router is
restarted last, by itself.

--outdated goes by what the manager knows for certain: images, entries, settings. It does not know which
code a process has loaded: after an upgrade of OCS or a plugin, name the agents or their --class."""

EXAMPLES = """\
  hostmanager restart acu1
  hostmanager restart --class FakeDataAgent
      all agents of the class whose target is up, on every host
  hostmanager restart --outdated --dry-run
      what has changed since it was started, and why it would be restarted
  hostmanager restart --all --dry-run
      what a restart of everything would stop and start
"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    add_change_parser(
        subparsers,
        "restart",
        DESCRIPTION,
        yes_help="do not ask before more than one agent is restarted",
        examples=EXAMPLES,
        selection=(
            "--outdated",
            Selection.OUTDATED,
            "only those that a new start would run differently: another image, or another entry "
            "in the site config or compose file (of those named; without names, of all)",
        ),
    )


run = run_change
