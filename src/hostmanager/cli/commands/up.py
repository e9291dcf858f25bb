"""`hostmanager up`: start agents."""

from hostmanager.cli.change_command import (
    WHAT_FOLLOWS,
    add_change_command,
    make_change_epilog,
    run_change,
)
from hostmanager.client.change.plan import Selection
from hostmanager.util.help_parser import HelpParser

DESCRIPTION = f"""\
Start agents: set their target to up, and wait until they work: until they have registered with the
router, as their heartbeats show. What has no heartbeats counts as up when it has been up for 5
seconds, and so do all with --no-wait-ready. One that dies later, while the command waits for
others, is reported, too. One that died and waits to be started again is
started at once. With --as-configured, the site config decides: what was stopped by hand is started,
what was started by hand is stopped, and the rest is left alone. `hostmanager start` is another name
of this command.

{WHAT_FOLLOWS}"""

EPILOG = make_change_epilog("""\
  hostmanager up fake1
  hostmanager up 'fake*' acu1 --timeout 2m
      all whose ids begin with "fake", and acu1
  hostmanager up --host daq1 --all
      everything on daq1
  hostmanager up --as-configured
      undo what was started and stopped by hand, on every host
  hostmanager up --class FakeDataAgent --dry-run
      show which agents of the class would be started
""")


def add_options(parser: HelpParser) -> None:
    """Add the options."""
    add_change_command(
        parser,
        "up",
        yes_help="do not ask before agents are stopped, as --as-configured may",
        selection=(
            "--as-configured",
            Selection.NOT_AS_CONFIGURED,
            "give the targets of the site config to all that were started or stopped by hand "
            "(of those named; without names, of all)",
        ),
    )


run = run_change
