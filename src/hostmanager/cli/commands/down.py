"""`hostmanager down`: stop agents."""

from typing import Any

from hostmanager.cli.change_command import add_change_parser, run_change

DESCRIPTION = """\
Stop agents: set their target to down, and wait until nothing of them is left. They stay down,
whatever else happens, until somebody requests `up`; only a start of the `manager` process after
it was stopped, or --initial-state of a manager that had ended in order, sets other targets.
`hostmanager stop` is another name of this command."""

EXAMPLES = """\
  hostmanager down acu1 --reason "cable work until noon"
      before somebody works on the hardware
  hostmanager down --host daq1 --all --yes
      everything on daq1, without a question
  hostmanager down 'cam*' --no-wait
"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    add_change_parser(
        subparsers,
        "down",
        DESCRIPTION,
        yes_help="do not ask before more than one agent is stopped",
        examples=EXAMPLES,
    )


run = run_change
