"""`hostmanager down`: stop agents."""

from hostmanager.cli.change_command import (
    WHAT_FOLLOWS,
    add_change_command,
    make_change_epilog,
    run_change,
)
from hostmanager.util.help_parser import HelpParser

DESCRIPTION = f"""\
Stop agents: set their target to down, and wait until nothing of them is left. They stay down,
whatever else happens, until somebody requests `up`; only a start of the `manager` process after
it was stopped, or --initial-state of a manager that had ended in order, sets other targets.
`hostmanager stop` is another name of this command.

{WHAT_FOLLOWS}"""

EPILOG = make_change_epilog("""\
  hostmanager down acu1 --reason "cable work until noon"
      before somebody works on the hardware
  hostmanager down --host daq1 --all --yes
      everything on daq1, without a question
  hostmanager down 'cam*' --no-wait
""")


def add_options(parser: HelpParser) -> None:
    """Add the options."""
    add_change_command(
        parser,
        "down",
        yes_help="do not ask before more than one agent is stopped",
    )


run = run_change
