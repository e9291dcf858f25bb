"""The question before something is stopped, and what takes its place without a terminal."""

import argparse
import contextlib
import sys
from collections.abc import Iterator

from hostmanager.cli.exit_codes import FAILED, INTERRUPTED, CommandError
from hostmanager.cli.output import Output
from hostmanager.client.change.stops import Stops

DRY_RUN = "Dry run: nothing was changed."

UNCHANGED = "Nothing was changed."


def confirm(stops: Stops, args: argparse.Namespace, output: Output) -> None:
    """Ask before more than one agent, or a manager, is stopped.

    Raises:
        CommandError: The answer is not yes; or there is no terminal, and no `--yes`.
    """
    if stops.needs_confirmation:
        confirm_action(stops.action, args, output)


def confirm_action(action: str, args: argparse.Namespace, output: Output) -> None:
    """Ask before something is done: ``stop 13 agents on daq2``. Raises as `confirm` does."""
    if args.yes:
        return
    if not output.can_ask:
        raise CommandError(
            f"This would {action}. There is no terminal to ask on: add --yes to confirm it. "
            f"{UNCHANGED}"
        )
    with nothing_changed_yet():
        answer = output.ask(f"{action[0].upper()}{action[1:]}?")
    if not answer:
        raise CommandError(UNCHANGED, FAILED)


@contextlib.contextmanager
def nothing_changed_yet() -> Iterator[None]:
    """Until this ends, no manager has got a request: Ctrl-C says so."""
    try:
        yield
    except KeyboardInterrupt:
        if sys.stderr.isatty():
            print(file=sys.stderr)  # after the "^C" that the terminal shows
        raise CommandError(f"Interrupted. {UNCHANGED}", INTERRUPTED) from None
