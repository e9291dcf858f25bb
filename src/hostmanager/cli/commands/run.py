"""`hostmanager run`: the manager itself; every word after it is for the agent."""

from collections.abc import Sequence

from hostmanager.util.help_parser import HelpParser


def make_manager_help() -> HelpParser:
    """Make the parser of the manager, for its help: the manager has its own way to parse."""
    from ocs.site_config import add_arguments  # noqa: PLC0415 - only here

    from hostmanager.agent.options import make_manager_parser  # noqa: PLC0415 - only here

    parser = make_manager_parser("hostmanager run")
    parser.add_site_options(add_arguments)
    return parser


def run_manager(words: Sequence[str]) -> int:
    """Run the manager until it is stopped; exits by itself."""
    from hostmanager.agent.main import main  # noqa: PLC0415 - it begins to work when imported

    main(words, prog="hostmanager run")
    return 0
