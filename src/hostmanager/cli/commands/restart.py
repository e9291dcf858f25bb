"""`hostmanager restart`: stop agents and start them again."""

from hostmanager.cli.change_command import (
    WHAT_FOLLOWS,
    add_change_command,
    make_change_epilog,
    run_change,
)
from hostmanager.client.change.plan import Selection
from hostmanager.util.help_parser import HelpParser

DESCRIPTION = f"""\
Restart agents: each agent whose target is up is stopped, and started again as soon as it has
ended. Those whose target is down are left down, and are listed. The managers carry that out, even
if this command, the router or the manager itself dies meanwhile; only `down` cancels it. A
compose service is stopped only once its new image is here. The service that runs the router is
restarted last, by itself.

--outdated goes by what the manager knows for certain: images, entries, settings. It does not know which
code a process has loaded: after an upgrade of OCS or a plugin, name the agents or their --class.

{WHAT_FOLLOWS}"""

EPILOG = make_change_epilog("""\
  hostmanager restart acu1
  hostmanager restart --class FakeDataAgent
      all agents of the class whose target is up, on every host
  hostmanager restart --outdated --dry-run
      what has changed since it was started, and why it would be restarted
  hostmanager restart --all --dry-run
      what a restart of everything would stop and start
""")


def add_options(parser: HelpParser) -> None:
    """Add the options."""
    add_change_command(
        parser,
        "restart",
        yes_help="do not ask before more than one agent is restarted",
        selection=(
            "--outdated",
            Selection.OUTDATED,
            "only those that a new start would run differently: another image, or another entry "
            "in the site config or compose file (of those named; without names, of all)",
        ),
    )


run = run_change
